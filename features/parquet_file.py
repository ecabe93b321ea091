"""Parquet files: columns keep the types they were written with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from features.errors import BadData
from features.raw_table import BROKEN_ROWS, ChooseColumns, RawTable

BATCH_ROWS = 100_000
# A damaged file can also make the reader panic, which is no PolarsError.
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


def parquet_column_names(path: Path) -> list[str]:
    """The file's column names. Raises BadData when it is cut off or no Parquet."""
    return parquet_schema(path).names()


def parquet_schema(path: Path) -> pl.Schema:
    """The file's columns and their types. Raises BadData when it is cut off or no Parquet."""
    try:
        with path.open("rb") as file:
            return pl.Schema(pl.read_parquet_schema(file))
    except UNREADABLE:
        raise _unreadable(path) from None


def parquet_rows(path: Path) -> int:
    """How many rows the file has, by its footer. Raises BadData when it is cut off or no Parquet."""
    try:
        return int(_scan(path).select(pl.len()).collect().item())
    except UNREADABLE:
        raise _unreadable(path) from None


def read_parquet(path: Path, choose: ChooseColumns) -> Iterator[RawTable]:
    """The chosen columns, typed as in the file, batch by batch.

    Raises BadData when the file is damaged, and whatever `choose` refuses.
    """
    names = parquet_column_names(path)
    chosen = choose(names)
    ignored = tuple(name for name in names if name not in chosen)
    row = 1
    try:
        for frame in _batches(path, chosen):
            numbered = frame.with_row_index("row", row).with_columns(pl.col("row").cast(pl.Int64))
            yield RawTable(numbered, pl.DataFrame(schema=BROKEN_ROWS), ignored)
            row += frame.height
    except UNREADABLE:
        raise _unreadable(path) from None


def _batches(path: Path, chosen: list[str]) -> Iterator[pl.DataFrame]:
    """At least one, so that the columns are known of a file without rows."""
    scan, rows = _scan(path), parquet_rows(path)
    for start in range(0, max(rows, 1), BATCH_ROWS):
        # Slices, not collect_batches: that reads ahead, and held five times as much.
        yield scan.select(chosen).slice(start, BATCH_ROWS).collect()


def _scan(path: Path) -> pl.LazyFrame:
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def _unreadable(path: Path) -> BadData:
    return BadData("file_unreadable", f"{path} is cut off, damaged or not Parquet: export it again")
