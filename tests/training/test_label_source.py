"""Labels from a file: one order whatever the file's, and what a user must know of them is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from features.event_log import EventLog
from features.journey import DEFAULT_JOURNEY
from features.touchpoints import read_touchpoints
from training.label_source import labelled_rows

DAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    """Six customers who visited on the first of January, the last of them a month later."""
    visits = {
        "customer_id": [f"c{n}" for n in range(6)],
        "occurred_at": [DAY] * 5 + [DAY + timedelta(days=31)],
        "channel": ["web"] * 6,
        "action": ["visited"] * 6,
    }
    pl.DataFrame(visits).write_parquet(tmp_path / "touchpoints.parquet")
    return EventLog.from_frame(read_touchpoints(tmp_path / "touchpoints.parquet").frame)


def labels_of(customers: list[str], horizon_days: int | None = 30) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "customer_id": customers,
            "as_of": [DAY + timedelta(days=1)] * len(customers),
            "stage": ["awareness"] * len(customers),
            "converted": [customer in ("c1", "c3") for customer in customers],
            "horizon_days": [horizon_days] * len(customers),
        },
        schema_overrides={"horizon_days": pl.Int32},
    )


def read(log: EventLog, labels: pl.DataFrame, folder: Path) -> tuple[list[tuple[str, int, int]], list[str]]:
    """Each row's customer, stage and first outcome; and what was told."""
    labels.write_parquet(folder / "labels.parquet")
    told: list[str] = []
    source = str(folder / "labels.parquet")
    rows = labelled_rows(DEFAULT_JOURNEY, log, source, None, 0.05, str(folder / "rejects.csv"), told.append)
    return list(zip(rows.customer_id, rows.stage.tolist(), rows.converted[:, 0].tolist(), strict=True)), told


def test_the_order_of_the_labels_changes_nothing(log: EventLog, tmp_path: Path) -> None:
    labels = labels_of(["c0", "c1", "c2", "c3"])
    in_order = read(log, labels, tmp_path)

    assert read(log, labels.sample(fraction=1.0, shuffle=True, seed=3), tmp_path) == in_order
    assert in_order == (
        [("c0", 0, 0), ("c1", 0, 1), ("c2", 0, 0), ("c3", 0, 1)],
        ["4 labels read, 0 rejected"],
    )


def test_labels_that_nothing_can_be_told_from_are_counted(log: EventLog, tmp_path: Path) -> None:
    _, told = read(log, labels_of(["c0", "c1", "C2", "c5"]), tmp_path)  # written otherwise; seen later alone

    assert told[1] == "2 of 4 labelled rows have no touchpoint that was known by their as_of: no_data"


def test_labels_without_a_horizon_are_said_to_be_about_the_end(log: EventLog, tmp_path: Path) -> None:
    _, told = read(log, labels_of(["c0", "c1"], horizon_days=None), tmp_path)

    assert told[1].startswith("the labels have no horizon_days, so their `converted` says who converts in the end; ")
