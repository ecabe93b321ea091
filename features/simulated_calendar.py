"""The calendar of the simulation: the observed period, the spike, the campaigns and their effects, the split test.

Days count from `BEGINS`, so that nothing depends on when the simulation is run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

BEGINS: Final = datetime(2024, 1, 1, tzinfo=UTC)
OBSERVED_DAYS: Final = 547
SPIKE_DAY: Final = 316.0  # a post goes viral: many arrive at once, hardly interested

_DAY_US: Final = 86_400_000_000
_WAKING: Final = ((0.0, 0.02, 0.14, 0.55, 0.97, 1.0), (0.0, 6.0, 9.0, 17.0, 23.0, 24.0))  # share of acts, by hour


class Campaign(NamedTuple):
    """What the company ran: the lifts multiply the reached customers' rates from `start_day` for `days`."""

    name: str
    channel: str
    start_day: float
    days: float
    reach: float
    interest_lift: float
    purchase_lift: float


CAMPAIGNS: Final = (
    Campaign("simulated-spring-menu", "email", 95.4, 21.0, 0.7, 1.8, 1.0),
    Campaign("simulated-summer-voucher", "email", 190.4, 14.0, 0.6, 1.0, 2.2),
    Campaign("simulated-cooking-videos", "social", 260.5, 30.0, 0.5, 2.0, 1.0),
    Campaign("simulated-winter-offer", "email", 340.4, 14.0, 0.7, 1.3, 1.6),
)
RETARGETING: Final = "simulated-retargeting"  # shown most to those who consider anyway: no effect, looks like one
NEWSLETTER: Final = "simulated-newsletter"  # no effect


class SplitTest(NamedTuple):
    """A campaign whose arm B multiplies each reached customer's odds of a first purchase within `days`."""

    name: str
    arms: tuple[str, str]
    start_day: float
    days: float
    odds_ratio: float


SPLIT_TEST: Final = SplitTest("simulated-first-order", ("A", "B"), 399.4, 30.0, 1.8)


def moment(day: float) -> datetime:
    """The moment in UTC that many days after the beginning."""
    return BEGINS + timedelta(days=day)


def clock(days: pl.Series) -> pl.Series:
    """Moments in UTC (µs) for days since the beginning, bent within each day, in order, so that nights are quiet."""
    whole, part = np.divmod(days.to_numpy(), 1.0)
    hours = np.interp(part, *_WAKING)
    microseconds = whole.astype(np.int64) * _DAY_US + np.round(hours * 3.6e9).astype(np.int64)
    begins_us = int(BEGINS.timestamp()) * 1_000_000
    return pl.Series(days.name, microseconds + begins_us).cast(pl.Datetime("us", "UTC"))


def breaks() -> NDArray[np.float64]:
    """The days on which some rate may change, the last observed one included."""
    edges = [edge for run in (*CAMPAIGNS, SPLIT_TEST) for edge in (run.start_day, run.start_day + run.days)]
    return np.array(sorted({*edges, float(OBSERVED_DAYS)}))


def rate_lifts(reached: NDArray[np.bool_], day: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the campaigns running on each day multiply the interest and purchase rates by.

    `reached` is customers × campaigns, `day` one entry a customer.
    """
    starts = np.array([campaign.start_day for campaign in CAMPAIGNS])
    ends = starts + np.array([campaign.days for campaign in CAMPAIGNS])
    runs = reached & (starts <= day[:, None]) & (day[:, None] < ends)
    log_interest = np.log([campaign.interest_lift for campaign in CAMPAIGNS])
    log_purchase = np.log([campaign.purchase_lift for campaign in CAMPAIGNS])
    return np.exp(runs @ log_interest), np.exp(runs @ log_purchase)
