"""How touchpoints are divided on disk."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from serving.partitions import MOST_BUCKETS, count_buckets, divide_buckets


def test_there_are_as_many_buckets_as_a_files_rows_or_bytes_ask_for(tmp_path: Path) -> None:
    packed, text = tmp_path / "packed.parquet", tmp_path / "text.csv"
    pl.DataFrame({"day": [1] * 10_000}).write_parquet(packed)  # a few hundred bytes
    text.write_bytes(b"x" * 10_000)

    assert count_buckets([packed], 100_000) == 40  # 100 bytes a row, four buckets a partition
    assert count_buckets([text], 100_000) == 2  # 6 bytes a byte
    assert count_buckets([packed, text], 100_000) == 42
    assert count_buckets([packed], 10**9) == 1
    assert count_buckets([packed], 1) == MOST_BUCKETS


def test_neighbouring_buckets_share_a_partition_as_long_as_they_fit() -> None:
    assert divide_buckets([3, 3, 3, 9, 12, 1, 0, 2], 10) == [
        range(0, 3), range(3, 4), range(4, 5), range(5, 8),
    ]  # fmt: skip
