"""A checked table: the rows of files that keep a contract, and where the other rows are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import dataframely as dy
import numpy as np
import polars as pl

from features.columns import NAIVE, UNREAD, match_columns, read_columns
from features.errors import BadData
from features.raw_table import RawTable
from features.rejects import (
    SEPARATOR,
    check_reject_options,
    join_rejects,
    refuse_above_share,
    rejected_rows,
    write_rejects,
)
from features.table_files import read_table

MAX_REJECT_SHARE = 0.05
"""A few bad rows are somebody's slips; more than one in twenty is a fault of the export."""


class Row(dy.Schema):
    """What a contract's row schema starts from: where the row stands. `file` indexes the files read, `row` is 1-based.

    A rule's name is its reason code; `rejects.reason_code` names those of the columns' own checks.
    """

    file = dy.UInt32()
    row = dy.Int64()


@dataclass(frozen=True)
class CheckedTable:
    """The contract's columns of the rows that keep it (file by file, in the files' order), and the rejected rows.

    `rejects` has `file`, `row` (1-based data row in that file) and `codes` (joined by ';'). `rows_read` counts both
    kinds of row. `ignored_columns` were found and are no part of the contract.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    rows_read: int
    ignored_columns: tuple[str, ...]


@dataclass(frozen=True)
class CheckedBatch(CheckedTable):
    """Some rows of one file; those that keep the contract have the data rows `rows` there."""

    path: Path
    rows: pl.Series


class Agreement(NamedTuple):
    """Rows that are equal in `keys` must not differ in `column`, wherever they stand; a null says nothing."""

    column: str
    keys: tuple[str, ...]


def read_checked(
    files: Sequence[Path],
    schema: type[Row],
    required: Collection[str],
    max_reject_share: float = MAX_REJECT_SHARE,
    reject_file: str | Path | None = None,
    agreements: Sequence[Agreement] = (),
) -> CheckedTable:
    """Read the files' rows and check each by all rules of `schema`; columns that are not `required` may be absent.

    Rows that keep these but break one of the `agreements` are rejected as `<column>_contradicted`, all that are equal
    in its keys. Where any row is rejected, `reject_file` (CSV, Parquet or JSON Lines) is written, if one is named.

    Raises BadData with the faults of all files that cannot be read into the contract's columns, or when more than
    `max_reject_share` of the rows are rejected; BadUsage for a share outside 0 to 1 or a
    reject file of another kind.
    """
    check_reject_options(max_reject_share, reject_file, files)
    batches = list(check_files(files, schema, required))
    frame = pl.concat([batch.frame for batch in batches])
    rejects = pl.concat([batch.rejects for batch in batches])
    if agreements:
        frame, contradicted = _agreeing(frame, batches, agreements)
        rejects = _in_order(pl.concat([rejects, contradicted]), files)
    rows_read = sum(batch.rows_read for batch in batches)
    if rejects.height and reject_file is not None:
        write_rejects(rejects, reject_file)
    refuse_above_share(rejects, rows_read, max_reject_share, reject_file)
    ignored = dict.fromkeys(name for batch in batches for name in batch.ignored_columns)
    return CheckedTable(frame, rejects, rows_read, tuple(ignored))


def check_files(files: Sequence[Path], schema: type[Row], required: Collection[str]) -> Iterator[CheckedBatch]:
    """What `read_checked` reads, batch by batch, in the files' order and none of them in memory for longer.

    Raises BadData at the end, with the faults of all files that cannot be read.
    """
    types = contract_types(schema)
    faults: list[BadData] = []
    for path in files:
        try:
            for raw in read_table(path, _chooser(path, types, required)):
                if not faults:
                    yield check_rows(path, raw, schema)
        except BadData as fault:
            faults.append(fault)
    if faults:
        codes = {fault.code for fault in faults}
        raise BadData(
            codes.pop() if len(codes) == 1 else "bad_files", [each for fault in faults for each in fault.faults]
        )


def check_rows(path: Path, raw: RawTable, schema: type[Row]) -> CheckedBatch:
    """Check rows that were read from `path`. Raises BadData where a column cannot be read into the contract's type."""
    types = contract_types(schema)
    place = raw.frame.select(pl.lit(0, pl.UInt32).alias("file"), "row")
    good, failure = schema.filter(place.hstack(read_columns(path, raw.frame, types)))
    rejects = join_rejects(rejected_rows(failure, schema), [raw.broken], [path])
    rows_read = raw.frame.height + raw.broken.height
    return CheckedBatch(good.select(*types), rejects, rows_read, raw.ignored_columns, path, good["row"])


def contract_types(schema: type[Row]) -> dict[str, pl.DataType]:
    """The contract's own columns and types: those of the row schema without the ones that only serve the check."""
    names = [name for name in schema.column_names() if name not in Row.column_names() and not name.endswith(UNREAD)]
    return {name: schema.columns()[name].dtype for name in names}


def word(*, nullable: bool) -> dy.String:
    """A text column. A NUL is junk in any text: ids with it end early elsewhere, and a broken \\ud800 reads as one."""
    return dy.String(nullable=nullable, check={"has_nul": lambda text: text.map_batches(_is_without_nul, pl.Boolean)})


def unread_time() -> dy.String:
    """What could not be read as a time, told apart by whether only the zone is missing."""
    naive = {"naive": lambda text: ~_is_naive(text), "unreadable": _is_naive}
    return dy.String(nullable=True, check=naive)


def unread() -> dy.String:
    """What could not be read as a number, a whole number, or true or false."""
    return dy.String(nullable=True, check={"unreadable": lambda text: text.is_null()})


def is_given(column: str) -> pl.Expr:
    """Whether a column that is no text has anything in it, readable or not."""
    return pl.col(column).is_not_null() | pl.col(column + UNREAD).is_not_null()


def _is_without_nul(text: pl.Series) -> pl.Series:
    # To look at all bytes of a column at once takes half the time that looking into each text does.
    content = text.drop_nulls().to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()[2]
    if content is None or np.frombuffer(content, np.uint8).min(initial=255) > 0:
        return pl.repeat(True, len(text), eager=True)
    return ~text.str.contains("\0", literal=True)


def _agreeing(
    frame: pl.DataFrame, batches: Sequence[CheckedBatch], agreements: Sequence[Agreement]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that agree, and the others as rejects."""
    codes = [
        pl.when(pl.col(column).min().over(keys) != pl.col(column).max().over(keys)).then(
            pl.lit(f"{column}_contradicted")
        )
        for column, keys in agreements
    ]
    broken = frame.select(pl.concat_list(codes).list.drop_nulls().list.join(SEPARATOR)).to_series()
    places = pl.concat([batch.rows.to_frame().select(file=pl.lit(str(batch.path)), row="row") for batch in batches])
    return frame.filter(broken == ""), places.with_columns(codes=broken).filter(broken != "")


def _in_order(rejects: pl.DataFrame, files: Sequence[Path]) -> pl.DataFrame:
    places = {str(path): place for place, path in enumerate(files)}
    return rejects.sort(pl.col("file").replace_strict(places, return_dtype=pl.Int64), "row")


def _is_naive(text: pl.Expr) -> pl.Expr:
    return text.str.strip_chars().str.contains(NAIVE)


def _chooser(
    path: Path, types: dict[str, pl.DataType], required: Collection[str]
) -> Callable[[Sequence[str]], list[str]]:
    return lambda found: match_columns(path, found, types, required)
