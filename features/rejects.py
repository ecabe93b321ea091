"""Rejected rows: where they are and why, never what they hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import dataframely as dy
import polars as pl

from features.columns import UNREAD
from features.errors import BadData, BadEnvironment, BadUsage

REJECTS = pl.Schema({"file": pl.String(), "row": pl.Int64(), "codes": pl.String()})
SEPARATOR = ";"
CHECK_NAMES = {"nullability": "missing", "inf": "not_finite", "nan": "not_finite"}
WRITERS: Mapping[str, Callable[[pl.DataFrame, Path], None]] = {
    ".csv": pl.DataFrame.write_csv,
    ".parquet": pl.DataFrame.write_parquet,
    ".jsonl": pl.DataFrame.write_ndjson,
    ".ndjson": pl.DataFrame.write_ndjson,
}


def rejected_rows(failure: dy.FailureInfo, schema: type[dy.Schema]) -> pl.DataFrame:
    """The rows that failed, in their order: `file` (its index), `row` and all `codes` of the row, joined by ';'."""
    if not len(failure):  # asking it for details takes longer than the check of a batch
        return pl.DataFrame(schema={"file": pl.UInt32, "row": pl.Int64, "codes": pl.String})
    details = failure.details()
    rules = [name for name in details.columns if name not in schema.column_names()]
    codes = pl.concat_list(pl.when(pl.col(rule) == "invalid").then(pl.lit(reason_code(rule))) for rule in rules)
    joined = codes.list.drop_nulls().list.unique(maintain_order=True).list.join(SEPARATOR)
    return details.select("file", "row", codes=joined)


def reason_code(rule: str) -> str:
    """The stable reason code of a rule that dataframely names `column`, `column|check` or `column|check__name`."""
    column, _, check = rule.partition("|")
    check = check.removeprefix("check__")
    return f"{column.removesuffix(UNREAD)}_{CHECK_NAMES.get(check, check)}" if check else column


def count_codes(rejects: pl.DataFrame) -> dict[str, int]:
    """How many rows carry each reason code, the most frequent first; a row with two codes counts for both."""
    codes = rejects["codes"].str.split(SEPARATOR).explode()
    return dict(codes.value_counts().sort("count", "codes", descending=[True, False]).iter_rows())


def check_reject_options(max_reject_share: float, reject_file: str | Path | None, files: Sequence[Path]) -> None:
    """Raise BadUsage unless the share is from 0 to 1 and the reject file can be written without harm to `files`."""
    if not 0.0 <= max_reject_share <= 1.0:
        raise BadUsage("bad_reject_share", f"the reject share is {max_reject_share}; expected a number from 0 to 1")
    if reject_file is None:
        return
    _writer(Path(reject_file))
    if Path(reject_file).resolve() in {path.resolve() for path in files}:
        raise BadUsage("bad_reject_file", f"{reject_file} is one of the files to read; name another reject file")


def refuse_above_share(
    rejects: pl.DataFrame, rows_read: int, max_reject_share: float, reject_file: str | Path | None
) -> None:
    """Raise BadData, naming how often each reason code came, when more than that share of the rows is rejected."""
    if rejects.height:
        where = f"see {reject_file}" if reject_file else f"the first is row {rejects['row'][0]} of {rejects['file'][0]}"
        refuse_counts_above_share(rejects.height, count_codes(rejects), rows_read, max_reject_share, where)


def refuse_counts_above_share(
    rejected: int, codes: Mapping[str, int], rows_read: int, max_reject_share: float, where: str
) -> None:
    """`refuse_above_share`, of rows that were only counted; `where` tells where they are to be found."""
    if rejected <= max_reject_share * rows_read:
        return
    by_count = sorted(codes.items(), key=lambda code: (-code[1], code[0]))
    counts = ", ".join(f"{code} {count}" for code, count in by_count)
    raise BadData(
        "too_many_rejects",
        f"rejected {rejected} of {rows_read} rows ({rejected / rows_read:.1%}), expected at most"
        f" {max_reject_share:.1%}: {counts}; {where}. Mend them or allow more with --max-reject-share",
    )


def write_rejects(rejects: pl.DataFrame, path: str | Path) -> None:
    """Write the rejects as CSV, Parquet or JSON Lines by the file's ending; the file appears only when complete.

    Raises BadUsage for another ending, BadEnvironment where the file cannot be written.
    """
    path = Path(path)
    write = _writer(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(rejects, partial)
        partial.replace(path)
    except OSError as error:
        raise BadEnvironment("file_unwritable", f"{path} cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


class RejectWriter:
    """Writes rejects as CSV, batch by batch; made by `reject_writer`. `rows` counts them."""

    def __init__(self, file: IO[bytes]) -> None:
        self.rows = 0
        self._file = file

    def write(self, rejects: pl.DataFrame) -> None:
        """Add these, in their order."""
        if rejects.height:
            rejects.write_csv(self._file, include_header=self.rows == 0)
            self.rows += rejects.height


@contextmanager
def reject_writer(path: Path) -> Iterator[RejectWriter]:
    """A CSV file for rejects that come in many batches, too many to be held."""
    with path.open("wb") as file:
        yield RejectWriter(file)


def join_rejects(checked: pl.DataFrame, broken: Sequence[pl.DataFrame], files: Sequence[Path]) -> pl.DataFrame:
    """The rejects of all files, by file and row, with the files' paths: those a check found and those broken before."""
    indexed = [frame.select(pl.lit(at, pl.UInt32).alias("file"), "row", "codes") for at, frame in enumerate(broken)]
    rejects = pl.concat([checked, *indexed]).sort("file", "row")
    paths = pl.Series("file", [str(path) for path in files], dtype=pl.String)
    return rejects.with_columns(file=paths.gather(rejects["file"])).match_to_schema(REJECTS)


def _writer(path: Path) -> Callable[[pl.DataFrame, Path], None]:
    if path.suffix.lower() not in WRITERS:
        raise BadUsage("bad_reject_file", f"{path} ends in '{path.suffix}'; expected {', '.join(WRITERS)}")
    return WRITERS[path.suffix.lower()]
