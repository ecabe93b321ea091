"""What changed between two lists, by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from features.errors import BadData
from serving.changes import band_of, check_scores, write_changes

OLDER = {
    "customer_id": ["stays", "rises", "buys", "goes", "moves"],
    "as_of": ["2026-01-01T00:00:00Z"] * 5,
    "stage": ["new", "new", "active", "new", "new"],
    "conversion_30d": [0.1, 0.1, 0.5, 0.1, 0.1],
    "conversion_percentile": [10.0, 69.9, 95.0, 10.0, 10.0],
}
NEWER = {
    "customer_id": ["comes", "stays", "rises", "buys", "moves"],
    "as_of": ["2026-02-01T00:00:00Z"] * 5,
    "stage": ["new", "new", "new", "active", "active"],
    "conversion_30d": [0.3, 0.2, 0.4, None, 0.1],
    "conversion_percentile": [75.0, 11.0, 70.0, None, 10.0],
}


@pytest.fixture(params=["parquet", "csv", "jsonl"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write = {"parquet": pl.DataFrame.write_parquet, "csv": pl.DataFrame.write_csv, "jsonl": pl.DataFrame.write_ndjson}
    older, newer = tmp_path / f"older.{request.param}", tmp_path / f"newer.{request.param}"
    write[request.param](pl.DataFrame(OLDER), older)
    write[request.param](pl.DataFrame(NEWER), newer)
    write_changes(older, newer, tmp_path)
    return tmp_path


def test_a_band_begins_at_its_percentile() -> None:
    frame = pl.DataFrame({"p": [100.0, 90.0, 89.9, 70.0, 69.9, 40.0, 39.9, 0.0, None]})
    assert frame.select(band_of(pl.col("p"))).to_series().to_list() == [
        "top_10", "top_10", "next_20", "next_20", "next_30", "next_30", "rest", "rest", "converted",
    ]  # fmt: skip


def test_who_moved_stage_or_band_likeliest_first(written: Path) -> None:
    assert (written / "moved.csv").read_text().splitlines() == [
        "customer_id,stage_before,stage_after,band_before,band_after,conversion_before,conversion_after",
        "rises,new,new,next_30,next_20,0.1,0.4",
        "moves,new,active,rest,rest,0.1,0.1",
        "buys,active,active,top_10,converted,0.5,",
    ]


def test_transitions_count_everybody_those_who_stayed_and_those_of_one_list_included(written: Path) -> None:
    assert (written / "transitions.csv").read_text().splitlines() == [
        "of,before,after,customers",
        "stage,,new,1",
        "stage,active,active,1",
        "stage,new,,1",
        "stage,new,active,1",
        "stage,new,new,2",
        "band,,next_20,1",
        "band,next_30,next_20,1",
        "band,rest,,1",
        "band,rest,rest,2",
        "band,top_10,converted,1",
    ]


def test_each_band_has_its_list(written: Path) -> None:
    assert (written / "retarget.next_20.csv").read_text().splitlines() == [
        "customer_id,stage,conversion,band_before",
        "rises,new,0.4,next_30",
        "comes,new,0.3,",
    ]
    assert pl.read_csv(written / "retarget.rest.csv")["customer_id"].to_list() == ["stays", "moves"]
    assert pl.read_csv(written / "retarget.top_10.csv").height == 0


def test_of_a_customer_who_comes_several_times_the_latest_counts(tmp_path: Path) -> None:
    scores = {"customer_id": ["a", "a"], "as_of": ["2026-02-01", "2026-01-01"], "stage": ["late", "early"]}
    pl.DataFrame(scores).write_parquet(tmp_path / "scores.parquet")
    write_changes(tmp_path / "scores.parquet", tmp_path / "scores.parquet", tmp_path)
    assert (tmp_path / "transitions.csv").read_text().splitlines()[1] == "stage,late,late,1"


def test_scores_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    scores = tmp_path / "scores.csv"
    scores.write_text("customer_id,as_of,conversion,conversion_percentile\nc1,2026-01-01T00:00:00Z,0.5,9")
    with pytest.raises(BadData, match="not as journeycast score wrote it"):
        check_scores(scores)

    scores.write_text("customer_id,as_of,conversion\nc1,2026-01-01T00:00:00Z,0.5\n")
    with pytest.raises(BadData, match="lacks conversion_percentile"):
        check_scores(scores)

    scores.write_text("customer_id,as_of,conversion,conversion_percentile\nc1,2026-01-01T00:00:00Z,0.5,90\n")
    check_scores(scores)
    told = {"output": {"sha256": hashlib.sha256(scores.read_bytes()).hexdigest()}}
    (tmp_path / "scores.csv.manifest.json").write_text(json.dumps(told))
    check_scores(scores)
    scores.write_text(scores.read_text().replace("c1", "c2"))
    with pytest.raises(BadData, match="not as journeycast score wrote it"):
        check_scores(scores)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b""])
def test_what_holds_no_scores_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.csv").write_bytes(content)
    with pytest.raises(BadData) as caught:
        write_changes(tmp_path / "other.csv", tmp_path / "other.csv", tmp_path)
    assert caught.value.code == "no_scores"


def test_of_whom_nothing_is_known_nobody_is_to_be_addressed(tmp_path: Path) -> None:
    known = {"reliability": ["no_data", "ok", "ok", "ok", "ok"]}
    pl.DataFrame(OLDER).write_csv(tmp_path / "older.csv")
    pl.DataFrame(NEWER | known).write_csv(tmp_path / "newer.csv")
    write_changes(tmp_path / "older.csv", tmp_path / "newer.csv", tmp_path)
    assert pl.read_csv(tmp_path / "retarget.next_20.csv")["customer_id"].to_list() == ["rises"]  # and not "comes"
    assert "band,,no_data,1" in (tmp_path / "transitions.csv").read_text().splitlines()
