"""Which (customer, as_of) to learn from when nobody says: a calendar grid over the customers known by then."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from numba import njit

from features.event_log import DAY_US, EventLog, Int64s, from_us, is_known, to_us

LEAST_MOMENTS = 6  # fewer month starts than this in the record: weeks, then days
SEEN_WITHIN_DAYS = 365


def calendar_grid(log: EventLog) -> Int64s:
    """Month starts (UTC) within the record, or Mondays, or days where it is too short. Rising, shape (moments,)."""
    if len(log) == 0:
        return np.zeros(0, dtype=np.int64)
    first, last = from_us(log.occurred_us.min()), from_us(log.known_us.max())
    for step in (_next_month, _next_week, _next_day):
        moments = [first]
        while (following := step(moments[-1])) <= last:
            moments.append(following)
        if len(moments) > LEAST_MOMENTS:
            break
    return np.array([to_us(moment) for moment in moments[1:]], dtype=np.int64)


def snapshots(log: EventLog, grid_us: Int64s) -> tuple[Int64s, Int64s]:
    """Rows (customer, as_of) by customer and time: who was known at a moment and seen in the 365 days before it."""
    seen = _seen(log.offsets, log.known_us, grid_us, SEEN_WITHIN_DAYS * DAY_US)
    customer, moment = np.nonzero(seen)
    return customer.astype(np.int64), grid_us[moment]


def _next_month(moment: datetime) -> datetime:
    return (_midnight(moment).replace(day=1) + timedelta(days=32)).replace(day=1)


def _next_week(moment: datetime) -> datetime:
    return _midnight(moment) + timedelta(days=7 - moment.weekday())


def _next_day(moment: datetime) -> datetime:
    return _midnight(moment) + timedelta(days=1)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


@njit(cache=True)
def _seen(offsets, known_us, grid_us, within_us):  # type: ignore[no-untyped-def]
    seen = np.zeros((len(offsets) - 1, len(grid_us)), dtype=np.bool_)
    for customer in range(len(offsets) - 1):
        for event in range(offsets[customer], offsets[customer + 1]):
            for moment in range(len(grid_us)):
                now = grid_us[moment]
                if is_known(known_us[event], now) and now - known_us[event] < within_us:
                    seen[customer, moment] = True
    return seen
