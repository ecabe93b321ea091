from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.simulated_calendar import breaks, clock, moment, rate_lifts

MENU, VOUCHER, VIDEOS, OFFER = range(4)


@pytest.mark.parametrize(
    ("campaign", "day", "interest", "purchase"),
    [
        (MENU, 95.3, 1.0, 1.0),
        (MENU, 95.4, 1.8, 1.0),
        (VOUCHER, 200.0, 1.0, 2.2),
        (VOUCHER, 204.4, 1.0, 1.0),
        (VIDEOS, 261.0, 2.0, 1.0),
        (OFFER, 341.0, 1.3, 1.6),
    ],
)
def test_a_campaign_lifts_the_rates_of_those_reached_while_it_runs(
    campaign: int, day: float, interest: float, purchase: float
) -> None:
    reached = np.zeros((2, 4), dtype=bool)
    reached[0, campaign] = True
    lifts = rate_lifts(reached, np.array([day, day]))
    assert lifts[0].tolist() == pytest.approx([interest, 1.0])
    assert lifts[1].tolist() == pytest.approx([purchase, 1.0])


def test_breaks_are_every_start_and_end_and_the_last_day() -> None:
    ends = [95.4, 116.4, 190.4, 204.4, 260.5, 290.5, 340.4, 354.4, 399.4, 429.4, 547.0]
    assert breaks().tolist() == pytest.approx(ends)


def test_clock_bends_the_day_and_keeps_midnight() -> None:
    times = clock(pl.Series("since", [0.0, 0.02, 1.55, 2.0])).to_list()
    assert times == [
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 1, 6, tzinfo=UTC),
        datetime(2024, 1, 2, 17, tzinfo=UTC),
        datetime(2024, 1, 3, tzinfo=UTC),
    ]


@given(days=st.lists(st.floats(0.0, 546.99), min_size=2, max_size=20))
def test_clock_keeps_the_order_and_the_date(days: list[float]) -> None:
    times = clock(pl.Series(sorted(days)))
    assert times.is_sorted()
    for day, time in zip(sorted(days), times, strict=True):
        assert abs(time - moment(day)) < timedelta(hours=24)
