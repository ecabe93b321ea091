"""A CRM's stage history as rows of the touchpoint table."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from features.errors import BadData
from features.event_log import EventLog, to_us
from features.stage_history_file import as_touchpoints, read_stage_history, unknown_stages
from features.touchpoints import TOUCHPOINT_TYPES, drop_duplicates, read_touchpoints

HISTORY = """\
customer_id,stage,since,recorded_at,owner
b,won,2024-01-02T00:00:00+01:00,,eve
a,keen,2024-01-03T00:00:00Z,2024-01-05T00:00:00Z,eve
a,keen,2024-01-03T00:00:00Z,2024-01-05T00:00:00Z,eve
a,lost,2024-01-04T00:00:00Z,2024-01-01T00:00:00Z,eve
a,,2024-01-04T00:00:00Z,,eve
a,keen,2024-01-04T00:00:00,,eve
"""


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "history.csv"
    path.write_text(HISTORY)
    return path


def test_six_rows_become_touchpoints_of_the_company_in_the_crm(history: Path) -> None:
    read = read_stage_history(history, max_reject_share=0.5)
    rows = drop_duplicates(as_touchpoints(read.frame))

    assert read.rejects["codes"].to_list() == ["stage_missing", "since_naive"]
    assert (read.rows_read, read.ignored_columns) == (6, ("owner",))
    assert rows.schema == TOUCHPOINT_TYPES
    assert rows.select("customer_id", "occurred_at", "channel", "action", "recorded_at", "actor").rows() == [
        ("a", day(3), "crm", "stage: keen", day(5), "company"),
        ("a", day(4), "crm", "stage: lost", day(1), "company"),
        ("b", datetime(2024, 1, 1, 23, tzinfo=UTC), "crm", "stage: won", None, "company"),
    ]
    assert EventLog.from_frame(rows).known_us.tolist() == [to_us(day(5)), to_us(day(4)), to_us(rows[2, "occurred_at"])]


def test_a_history_without_rows_is_no_touchpoints(history: Path) -> None:
    history.write_text(HISTORY.splitlines()[0])
    rows = as_touchpoints(read_stage_history(history).frame)

    assert (rows.height, rows.schema) == (0, TOUCHPOINT_TYPES)


def test_the_rows_survive_a_file_of_touchpoints(history: Path, tmp_path: Path) -> None:
    rows = drop_duplicates(as_touchpoints(read_stage_history(history, max_reject_share=0.5).frame))
    rows.write_parquet(tmp_path / "touchpoints.parquet")

    assert read_touchpoints(tmp_path / "touchpoints.parquet").frame.equals(rows)


def test_labels_are_no_stage_history(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("customer_id,as_of,stage\na,2024-01-03T00:00:00Z,keen\n")

    with pytest.raises(BadData, match="expected 'since'"):
        read_stage_history(path)


def test_stages_that_the_journey_does_not_know_are_named() -> None:
    frame = pl.DataFrame({"stage": ["won", "lost", "keen", "gone", "lost"]})

    assert unknown_stages(frame, ("keen", "won")) == ["gone", "lost"]


def day(number: int) -> datetime:
    return datetime(2024, 1, number, tzinfo=UTC)
