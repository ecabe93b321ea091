"""Parquet files: columns keep the types they were written with."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from features.errors import BadData
from features.raw_table import BROKEN_ROWS, ChooseColumns, RawTable

# A damaged file can also make the reader panic, which is no PolarsError.
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


def parquet_column_names(path: Path) -> list[str]:
    """The file's column names. Raises BadData when it is cut off or no Parquet."""
    try:
        with path.open("rb") as file:
            return list(pl.read_parquet_schema(file))
    except UNREADABLE:
        raise _unreadable(path) from None


def read_parquet(path: Path, choose: ChooseColumns) -> RawTable:
    """The chosen columns, typed as in the file. Raises BadData when it is damaged, and whatever `choose` refuses."""
    names = parquet_column_names(path)
    chosen = choose(names)
    try:
        frame = pl.read_parquet(path, columns=chosen, glob=False, hive_partitioning=False)
    except UNREADABLE:
        raise _unreadable(path) from None
    return RawTable(
        frame=frame.with_row_index("row", 1).with_columns(pl.col("row").cast(pl.Int64)),
        broken=pl.DataFrame(schema=BROKEN_ROWS),
        ignored_columns=tuple(name for name in names if name not in chosen),
    )


def _unreadable(path: Path) -> BadData:
    return BadData("file_unreadable", f"{path} is cut off, damaged or not Parquet: export it again")
