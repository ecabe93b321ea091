from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from features.errors import BadData
from features.snapshots_file import read_snapshots

DAY = datetime(2024, 1, 1, tzinfo=UTC)
NEXT_DAY = datetime(2024, 1, 2, tzinfo=UTC)
SIX = [("c2", DAY), ("c1", NEXT_DAY), ("c1", DAY), ("3", DAY), ("c2", DAY), ("c0", DAY)]


def test_six_snapshots_keep_their_order_and_repeats_in_every_format(tmp_path: Path) -> None:
    frame = pl.DataFrame(SIX, schema={"customer_id": pl.String, "as_of": pl.Datetime("us", "UTC")}, orient="row")
    text = frame.with_columns(pl.col("as_of").dt.to_string("iso:strict"))
    frame.with_columns(note=pl.lit("x")).write_parquet(tmp_path / "snapshots.parquet")
    text.write_csv(tmp_path / "snapshots.csv")
    text.write_ndjson(tmp_path / "snapshots.jsonl")
    for name in ("snapshots.parquet", "snapshots.csv", "snapshots.jsonl"):
        assert read_snapshots(tmp_path / name).rows() == SIX
        assert read_snapshots(tmp_path / name).schema == frame.schema


def test_one_bad_row_is_enough_to_refuse(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.csv"
    good = "".join(f"c{n},2024-01-01T00:00:00Z\n" for n in range(100))
    path.write_text(f"customer_id,as_of\n{good},2024-01-01\n")
    with pytest.raises(
        BadData, match=r"rejected 1 of 101 rows: as_of_naive 1, customer_id_missing 1; see .*: mend them or leave"
    ) as raised:
        read_snapshots(path, tmp_path / "rejects.csv")
    assert raised.value.code == "bad_snapshots"
    assert (tmp_path / "rejects.csv").read_text() == f"file,row,codes\n{path},101,customer_id_missing;as_of_naive\n"


def test_real_labels_name_snapshots(real_data: Path) -> None:
    path = real_data / "donations" / "labels.parquet"
    assert read_snapshots(path).equals(pl.read_parquet(path, columns=["customer_id", "as_of"]))
