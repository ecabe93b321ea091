"""Files of scores: which are read and written, by their endings, row after row in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from features.errors import BadUsage
from models.bundle_files import check_target

ENDINGS = (".parquet", ".csv", ".jsonl", ".ndjson")
ROW_GROUP_ROWS = 100_000


def check_output(out: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise BadUsage where scores cannot be written to a path of this name, or would replace one of the inputs or
    lie in a bundle."""
    if out.suffix not in ENDINGS:
        raise BadUsage("out_format", f"--out {out} has no known ending; expected one of {', '.join(ENDINGS)}")
    if out.is_dir():
        raise BadUsage("out_folder", f"--out {out} is a folder; name a file in it")
    check_target(out, inputs)


def write_scores(parts: Iterable[pl.DataFrame], schema: pl.Schema, path: Path) -> None:
    """Write by the file's ending; equal rows give equal bytes, however they are divided into parts.

    Raises OSError where the file cannot be written.
    """
    if path.suffix == ".parquet":
        _scan(parts, schema).sink_parquet(path, row_group_size=ROW_GROUP_ROWS, maintain_order=True)
        return
    with path.open("wb") as file:
        if path.suffix == ".csv":
            as_text(pl.DataFrame(schema=schema)).write_csv(file)
        for part in parts:
            if path.suffix == ".csv":
                as_text(part).write_csv(file, include_header=False)
            else:
                with_times_as_text(part).write_ndjson(file)


def as_text(scores: pl.DataFrame) -> pl.DataFrame:
    """Scores as a CSV file holds them: sets are joined by `|`, reasons become JSON text."""
    sets = [pl.col(name).list.join("|") for name in scores.columns if name == "plausible_stages"]
    reasons = [
        pl.col(name).map_elements(lambda row: pl.DataFrame(row.struct.unnest()).write_json(), return_dtype=pl.String)
        for name in scores.columns
        if name == "reasons"
    ]
    return with_times_as_text(scores).with_columns(*sets, *reasons)


def with_times_as_text(scores: pl.DataFrame) -> pl.DataFrame:
    """Scores whose as_of is text, in ISO 8601."""
    return scores.with_columns(pl.col("as_of").dt.to_string("iso:strict"))


def _scan(parts: Iterable[pl.DataFrame], schema: pl.Schema) -> pl.LazyFrame:
    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        del with_columns, predicate, n_rows, batch_size  # a sink of everything asks for everything
        yield from parts

    return register_io_source(source, schema=schema)
