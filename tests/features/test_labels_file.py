from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from features.errors import BadData
from features.labels_file import Labels, read_labels
from features.stage_history_file import StageHistory

DAY = datetime(2024, 1, 1, tzinfo=UTC)
NEXT_DAY = datetime(2024, 1, 2, tzinfo=UTC)

CSV = """customer_id,as_of,stage,converted,horizon_days,split
c2,2024-01-02T00:00:00Z,advocacy,,30,train
c1,2024-01-01T00:00:00Z,awareness,true,30,train
c1,2024-01-01T00:00:00Z,awareness,False,90,train
c1,2024-01-02T01:00:00+01:00,,1,,test
3,2024-01-01T00:00:00Z,,0,,
c1,2024-01-01T00:00:00Z,awareness,true,30,train
"""
LABELS = [
    ("c2", NEXT_DAY, "advocacy", None, 30, "train"),
    ("c1", DAY, "awareness", True, 30, "train"),
    ("c1", DAY, "awareness", False, 90, "train"),
    ("c1", NEXT_DAY, None, True, None, "test"),
    ("3", DAY, None, False, None, None),
    ("c1", DAY, "awareness", True, 30, "train"),
]
TYPES = {
    "customer_id": pl.String,
    "as_of": pl.Datetime("us", "UTC"),
    "stage": pl.String,
    "converted": pl.Boolean,
    "horizon_days": pl.Int32,
    "split": pl.String,
}


def write(folder: Path, content: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(content)
    return path


def test_six_labels_are_the_same_in_every_format(tmp_path: Path) -> None:
    frame = pl.DataFrame(LABELS, schema=TYPES, orient="row")
    frame.write_parquet(tmp_path / "labels.parquet")
    frame.with_columns(pl.col("as_of").dt.to_string("iso:strict")).write_ndjson(tmp_path / "labels.jsonl")
    write(tmp_path, CSV)
    for name in ("labels.csv", "labels.parquet", "labels.jsonl"):
        labels = read_labels(tmp_path / name)
        assert isinstance(labels, Labels)
        assert labels.frame.rows() == LABELS
        assert labels.frame.schema == TYPES


def test_absent_columns_are_null(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "customer_id,as_of,stage,note\nc1,2024-01-01T00:00:00Z,awareness,x\n"))
    assert labels.frame.rows() == [("c1", DAY, "awareness", None, None, None)]
    assert labels.ignored_columns == ("note",)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (",2024-01-01T00:00:00Z,s,true,30", "customer_id_missing"),
        ("c1,,s,true,30", "as_of_missing"),
        ("c1,2024-01-01T00:00:00,s,true,30", "as_of_naive"),
        ("c1,x,s,true,30", "as_of_unreadable"),
        ("c1,2024-01-01T00:00:00Z,s,maybe,30", "converted_unreadable"),
        ("c1,2024-01-01T00:00:00Z,s,true,30.5", "horizon_days_unreadable"),
        ("c1,2024-01-01T00:00:00Z,s,true,0", "horizon_days_not_positive"),
        ("c1,2024-01-01T00:00:00Z", "row_wrong_width"),
    ],
)
def test_each_bad_row_is_rejected_with_its_code(tmp_path: Path, row: str, code: str) -> None:
    good = "c0,2024-01-01T00:00:00Z,s,true,30"
    labels = read_labels(write(tmp_path, f"customer_id,as_of,stage,converted,horizon_days\n{good}\n{row}\n"), 1.0)
    assert labels.frame["customer_id"].to_list() == ["c0"]
    assert labels.rejects.select("row", "codes").rows() == [(2, code)]


def test_labels_that_contradict_each_other_are_rejected(tmp_path: Path) -> None:
    rows = [
        "c1,2024-01-01T00:00:00Z,awareness,true,30",
        "c1,2024-01-01T00:00:00Z,awareness,false,30",
        "c2,2024-01-01T00:00:00Z,awareness,true,30",
        "c2,2024-01-01T00:00:00Z,advocacy,true,90",
        "c3,2024-01-01T00:00:00Z,awareness,true,",
        "c3,2024-01-01T00:00:00Z,,,",
        "c3,2024-01-02T00:00:00Z,advocacy,false,",
    ]
    labels = read_labels(
        write(tmp_path, "customer_id,as_of,stage,converted,horizon_days\n" + "\n".join(rows) + "\n"), 1.0
    )
    assert labels.rejects.select("row", "codes").rows() == [
        (1, "converted_contradicted"),
        (2, "converted_contradicted"),
        (3, "stage_contradicted"),
        (4, "stage_contradicted"),
    ]
    assert labels.frame["customer_id"].to_list() == ["c3"] * 3


def test_labels_contradict_each_other_across_files_and_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    label = {"customer_id": "c1", "as_of": DAY}
    first = pl.DataFrame([label | {"stage": "awareness"}, label | {"customer_id": "c2", "stage": "awareness"}])
    second = pl.DataFrame([label | {"stage": "advocacy"}])
    for name, frame in (("a", first), ("b", second), ("c", pl.concat([first, second]))):
        frame.write_parquet(tmp_path / f"{name}.parquet")
    monkeypatch.setattr("features.parquet_file.BATCH_ROWS", 2)

    of_two_files = read_labels([tmp_path / "a.parquet", tmp_path / "b.parquet"], 1.0)
    of_two_batches = read_labels(tmp_path / "c.parquet", 1.0)

    assert of_two_files.rejects.rows() == [
        (str(tmp_path / "a.parquet"), 1, "stage_contradicted"),
        (str(tmp_path / "b.parquet"), 1, "stage_contradicted"),
    ]
    assert of_two_batches.rejects["row"].to_list() == [1, 3]
    assert of_two_batches.frame["customer_id"].to_list() == ["c2"]


def test_labels_of_unknown_time_contradict_nothing(tmp_path: Path) -> None:
    rows = "c1,2024-01-01,awareness,true\nc1,2024-01-02,advocacy,false\n"
    labels = read_labels(write(tmp_path, "customer_id,as_of,stage,converted\n" + rows), 1.0)
    assert labels.rejects["codes"].to_list() == ["as_of_naive", "as_of_naive"]


def test_a_stage_history_is_recognised_by_its_columns(tmp_path: Path) -> None:
    history = read_labels(
        write(
            tmp_path,
            "customer_id,stage,since,recorded_at\n"
            "c1,awareness,2024-01-01T00:00:00Z,\n"
            "c1,advocacy,2024-01-02T00:00:00Z,2024-01-01T00:00:00Z\n"
            "c2,,2024-01-02,never\n",
        ),
        max_reject_share=0.5,
    )
    assert isinstance(history, StageHistory)
    assert history.frame.rows() == [("c1", "awareness", DAY, None), ("c1", "advocacy", NEXT_DAY, DAY)]
    assert history.rejects["codes"].to_list() == ["stage_missing;since_naive;recorded_at_unreadable"]
    assert history.rows_read == 3


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("customer_id,as_of,horizon_days", "found neither 'stage' nor 'converted'"),
        ("customer_id,asof,stage", "found 'asof', expected 'as_of'"),
        ("customer_id,since", "found none, expected 'stage'"),
        ("customer_id,as_of,stage,Horizon Days", "found 'Horizon Days', expected 'horizon_days'"),
    ],
)
def test_columns_of_neither_form_are_refused(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(BadData, match=message):
        read_labels(write(tmp_path, header + "\n"))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("bank_loans", 22_406),
        ("lean_community", 5_275),
        ("donations", 1_017),
        ("pizza_requests", 4_040),
        ("grocery_coupons", 6_589),
    ],
)
def test_real_labels_keep_the_contract(real_data: Path, name: str, count: int) -> None:
    path = real_data / name / "labels.parquet"
    frame = read_labels(path, max_reject_share=0.0).frame
    given = pl.read_parquet(path)
    assert frame.height == count
    assert frame.select(given.columns).equals(given)
