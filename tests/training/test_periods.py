"""The calendar, in stretches few enough to be shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from features.event_log import to_us
from training.periods import periods_of


def moments(*times: datetime) -> np.ndarray:
    return np.array([to_us(time) for time in times], dtype=np.int64)


def test_six_days_are_told_apart() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    periods = periods_of(moments(*(start + timedelta(days=day) for day in (2, 0, 0, 1, 2, 40))))

    assert periods.names == ["2026-03-01", "2026-03-02", "2026-03-03", "2026-04-10"]
    assert periods.of_row.tolist() == [2, 0, 0, 1, 2, 3]


def test_too_many_days_are_months_then_quarters_then_years() -> None:
    start = datetime(2024, 11, 15, tzinfo=UTC)
    months = moments(*(start + timedelta(days=30 * month) for month in range(6)))

    assert periods_of(months, 5).names == ["2024 Q4", "2025 Q1", "2025 Q2"]
    assert periods_of(months, 2).names == ["2024", "2025"]
    assert periods_of(months, 1).names == ["2024", "2025"]
    days = moments(*(start + timedelta(days=day) for day in range(40)))
    assert periods_of(days).names == ["2024-11", "2024-12"]


def test_of_no_moment_there_is_no_period() -> None:
    names, of_row = periods_of(np.zeros(0, dtype=np.int64))

    assert (names, len(of_row)) == ([], 0)
