"""Equal content has an equal digest, any other content another, and no row is in it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from features.event_log import EventLog
from features.journey import DEFAULT_JOURNEY
from features.touchpoints import read_touchpoints
from training.fingerprint import of_labelled_rows, of_touchpoints
from training.labels import LabelledRows

SIX = {
    "customer_id": ["a", "a", "a", "b", "b", "c"],
    "occurred_at": [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4, 5, 6)],
    "channel": ["web", "web", "chat", "web", "store", "web"],
    "action": ["visited", "visited", "asked", "visited", "purchase", "visited"],
    "text": [None, None, "CANARY what does it cost", None, None, None],
}


def log_of(tmp_path, columns=None, name="six.parquet") -> EventLog:
    path = tmp_path / name
    frame = pl.DataFrame({**SIX, **(columns or {})})
    frame.write_parquet(path) if name.endswith("parquet") else frame.write_csv(path)
    return EventLog.from_frame(read_touchpoints(path).frame)


def test_six_touchpoints_by_their_counts(tmp_path) -> None:
    found = of_touchpoints(log_of(tmp_path))
    assert found.counts == {
        "rows": 6,
        "customers": 3,
        "texts": 1,
        "first occurred_at": "2026-01-01T00:00:00+00:00",
        "last occurred_at": "2026-01-06T00:00:00+00:00",
    }
    assert len(found.digest) == 10
    assert "CANARY" not in repr(found)


def test_the_order_of_rows_and_exact_duplicates_change_nothing(tmp_path) -> None:
    ids = {"event_id": list("uvwxyz")}
    reversed_rows = {name: [*values][::-1] for name, values in {**SIX, **ids}.items()}
    twice = {name: [*values, values[2]] for name, values in {**SIX, **ids}.items()}
    digests = {of_touchpoints(log_of(tmp_path, columns)).digest for columns in (ids, reversed_rows, twice)}
    assert len(digests) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"channel": ["web", "web", "chat", "web", "store", "ads"]},
        {"text": [None, None, "CANARY what does it cast", None, None, None]},
        {"customer_id": ["a", "a", "a", "b", "b", "b"]},
        {"occurred_at": [day + timedelta(microseconds=1) for day in SIX["occurred_at"]]},
        {"value": [None, None, None, None, 1.0, None]},
    ],
)
def test_any_other_content_has_another_digest(tmp_path, change) -> None:
    assert of_touchpoints(log_of(tmp_path, change)).digest != of_touchpoints(log_of(tmp_path)).digest


def labelled() -> LabelledRows:
    return LabelledRows(
        customer_id=["a", "b", "c", "a"],
        customer=np.array([0, 1, 2, 0]),
        as_of_us=np.array([1, 1, 1, 2]) * 86_400_000_000,
        stage=np.array([0, 1, -1, 2], dtype=np.int8),
        horizons_days=(30, 90),
        converted=np.array([[0, 1], [0, -1], [1, 1], [-1, -1]], dtype=np.int8),
        stage_by_rule=False,
        left_out={},
    )


def test_four_labelled_rows_by_their_counts() -> None:
    found = of_labelled_rows("labelled rows", labelled(), DEFAULT_JOURNEY)
    assert found.name == "labelled rows"
    assert found.types == {
        "customer_id": "string", "as_of": "datetime", "stage": "string",
        "conversion_30d": "boolean", "conversion_90d": "boolean",
    }  # fmt: skip
    assert found.counts == {
        "rows": 4,
        "customers": 3,
        "in stage awareness": 1,
        "in stage consideration": 1,
        "in stage conversion": 1,
        "in stage advocacy": 0,
        "conversion_30d known": 3,
        "conversion_30d converted": 1,
        "conversion_90d known": 2,
        "conversion_90d converted": 2,
        "first as_of": "1970-01-02T00:00:00+00:00",
        "last as_of": "1970-01-03T00:00:00+00:00",
    }


def test_labelled_rows_in_another_order_are_the_same_and_with_another_label_are_not() -> None:
    rows = labelled()
    digest = of_labelled_rows("labelled rows", rows, DEFAULT_JOURNEY).digest
    assert of_labelled_rows("labelled rows", rows.take(np.array([3, 1, 0, 2])), DEFAULT_JOURNEY).digest == digest
    other = replace(rows, stage=np.array([0, 1, -1, 3], dtype=np.int8))
    assert of_labelled_rows("labelled rows", other, DEFAULT_JOURNEY).digest != digest
    assert (
        of_labelled_rows("labelled rows", rows.take(np.array([], dtype=np.int64)), DEFAULT_JOURNEY).counts["rows"] == 0
    )
