from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from features.errors import BadData
from features.parquet_file import parquet_column_names, read_parquet


def write(folder: Path) -> Path:
    path = folder / "table[1]=*.parquet"
    pl.DataFrame({"a": [1, 2], "b": ["x", None], "c": [True, False]}).write_parquet(path)
    return path


def test_chosen_columns_keep_their_types(tmp_path: Path) -> None:
    tables = list(read_parquet(write(tmp_path), lambda names: ["b", "a"] if names == ["a", "b", "c"] else []))
    frame = pl.concat([table.frame for table in tables])
    assert frame.select("b", "a", "row").rows() == [("x", 1, 1), (None, 2, 2)]
    assert frame.schema == {"row": pl.Int64, "b": pl.String, "a": pl.Int64}
    assert {table.ignored_columns for table in tables} == {("c",)}
    assert [table.broken.rows() for table in tables] == [[]]


def test_a_long_file_comes_in_batches_whose_rows_count_on(tmp_path: Path) -> None:
    pl.DataFrame({"a": range(250_000)}).write_parquet(tmp_path / "long.parquet", row_group_size=60_000)
    frames = [table.frame for table in read_parquet(tmp_path / "long.parquet", list)]
    assert max(frame.height for frame in frames) <= 100_000
    assert pl.concat(frames).rows() == [(row + 1, row) for row in range(250_000)]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(BadData, match="cut off, damaged or not Parquet"):
            list(read_parquet(path, list))


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(BadData, match="cut off, damaged or not Parquet"):
        parquet_column_names(path)
