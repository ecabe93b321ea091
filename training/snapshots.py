"""Which (customer, as_of) to learn from when nobody says: a calendar grid over the customers known by then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import numpy as np
from numba import njit

from features.event_log import DAY_US, ONE_US, EventLog, Int64s, from_us, to_us

LEAST_MOMENTS = 6  # fewer month starts than this in the record: weeks, then days
MOST_MOMENTS = 120  # ten years of months; a stray date of long ago must not stretch the grid
SEEN_WITHIN_DAYS = 365


def calendar_grid(log: EventLog) -> Int64s:
    """Month starts (UTC) within the record, or Mondays, or days where these are too few.

    Rising, shape (moments,); of more than 120, the last 120.
    """
    if len(log) == 0:
        return np.zeros(0, dtype=np.int64)
    first, last = from_us(log.occurred_us.min()), from_us(log.known_us.max())
    grid: list[datetime] = []
    for previous in (_month_before, _week_before, _day_before):
        grid = list(_backwards(first, last, previous))
        if len(grid) >= LEAST_MOMENTS:
            break
    return np.array([to_us(moment) for moment in reversed(grid)], dtype=np.int64)


def snapshots(log: EventLog, grid_us: Int64s) -> tuple[Int64s, Int64s]:
    """Rows (customer, as_of) by customer and time: who was known at a moment and seen in the 365 days before it."""
    seen = np.zeros((len(log.customer_ids), len(grid_us)), dtype=np.bool_)
    # Moments from `begin` on know the touchpoint (`is_known`), and those before `end` still count it as lately seen.
    begin = np.searchsorted(grid_us, log.known_us, side="left")
    end = np.searchsorted(grid_us, log.known_us + SEEN_WITHIN_DAYS * DAY_US, side="left")
    _mark(log.offsets, begin, end, seen)
    customer, moment = np.nonzero(seen)
    return customer.astype(np.int64), grid_us[moment]


def _backwards(first: datetime, last: datetime, previous: Callable[[datetime], datetime]) -> Iterator[datetime]:
    moment = previous(last + ONE_US)  # so that the last moment itself may stand on the grid
    for _ in range(MOST_MOMENTS):
        if moment <= first:
            return
        yield moment
        moment = previous(moment)


def _month_before(moment: datetime) -> datetime:
    return _midnight(moment - ONE_US).replace(day=1)


def _week_before(moment: datetime) -> datetime:
    before = _midnight(moment - ONE_US)
    return before - timedelta(days=before.weekday())


def _day_before(moment: datetime) -> datetime:
    return _midnight(moment - ONE_US)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


@njit(cache=True)
def _mark(offsets, begin, end, seen):  # type: ignore[no-untyped-def]
    for customer in range(len(offsets) - 1):
        for event in range(offsets[customer], offsets[customer + 1]):
            seen[customer, begin[event] : end[event]] = True
