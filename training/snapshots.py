"""Which (customer, as_of) to learn from when nobody says: moments of a calendar, or of chosen acts, and a cohort."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Final

import numpy as np
from numba import njit

from features.errors import BadData
from features.event_log import DAY_US, ONE_US, EventLog, Int64s, from_us, has_known, is_known, to_us
from features.journey import Evidence, Journey
from features.stage_rules import evidence_rows
from training.settings import Snapshots

LEAST_MOMENTS = 6  # fewer month starts than this in the record: weeks, then days
MOST_MOMENTS = 120  # ten years of months; a stray date of long ago must not stretch the grid
DEFAULT_SNAPSHOTS: Final = Snapshots()


def calendar_grid(log: EventLog, every: str = "auto") -> Int64s:
    """Month starts (UTC) within the record, or Mondays, or days; "auto" takes the first of these that are not too few.

    Rising, shape (moments,); of more than 120, the last 120.
    """
    if len(log) == 0:
        return np.zeros(0, dtype=np.int64)
    first, last = from_us(log.occurred_us.min()), from_us(log.known_us.max())
    grid: list[datetime] = []
    for previous in GRIDS.values() if every == "auto" else (GRIDS[every],):
        grid = list(_backwards(first, last, previous))
        if len(grid) >= LEAST_MOMENTS:
            break
    return np.array([to_us(moment) for moment in reversed(grid)], dtype=np.int64)


def choose_snapshots(
    log: EventLog, journey: Journey, chosen: Snapshots = DEFAULT_SNAPSHOTS
) -> tuple[Int64s, Int64s, dict[str, int]]:
    """Rows (customer, as_of) by customer and time, and how many the cohort's rules left out, by rule.

    Who was not seen within the days asked for is nobody's row, and is not counted. Raises BadData for an action that
    the log does not hold.
    """
    if chosen.every == "event":
        customer, as_of_us = _at_events(log, chosen.actions)
    else:
        customer, as_of_us = snapshots(log, calendar_grid(log, chosen.every), chosen.seen_within_days)
    known, first_us = _known_by(log, customer, as_of_us)
    converting = evidence_rows([Evidence(actions=frozenset(journey.conversion.actions))], log)
    unfit = {
        "snapshots of customers who had converted": chosen.not_yet_converted
        & has_known(log, converting, customer, as_of_us),
        f"snapshots of customers known for less than {chosen.known_for_days} days": as_of_us - first_us
        < chosen.known_for_days * DAY_US,
        f"snapshots of customers with fewer than {chosen.at_least_touchpoints} touchpoints": known
        < chosen.at_least_touchpoints,
    }
    kept = np.ones(len(customer), dtype=np.bool_)
    left_out = {}
    for rule, rows in unfit.items():
        left_out[rule] = int((kept & rows).sum())
        kept &= ~rows
    return customer[kept], as_of_us[kept], {rule: count for rule, count in left_out.items() if count}


def snapshots(log: EventLog, grid_us: Int64s, seen_within_days: int = 365) -> tuple[Int64s, Int64s]:
    """Rows (customer, as_of) by customer and time: who was known at a moment and seen in the days before it."""
    seen = np.zeros((len(log.customer_ids), len(grid_us)), dtype=np.bool_)
    # Moments from `begin` on know the touchpoint (`is_known`), and those before `end` still count it as lately seen.
    begin = np.searchsorted(grid_us, log.known_us, side="left")
    end = np.searchsorted(grid_us, log.known_us + seen_within_days * DAY_US, side="left")
    _mark(log.offsets, begin, end, seen)
    customer, moment = np.nonzero(seen)
    return customer.astype(np.int64), grid_us[moment]


def _at_events(log: EventLog, actions: tuple[str, ...]) -> tuple[Int64s, Int64s]:
    """When a touchpoint of one of the actions became known, each moment of a customer once."""
    if unknown := sorted(set(actions) - set(log.actions)):
        near = [name for action in unknown for name in get_close_matches(action, log.actions, n=1)]
        hint = f"did you mean {near[0]}?" if near else "check how the actions are written"
        raise BadData("no_such_action", f"no touchpoint has the action {', '.join(unknown)} of [snapshots]; {hint}")
    rows = evidence_rows([Evidence(actions=frozenset(actions))], log)
    customer = np.repeat(np.arange(len(log.customer_ids)), np.diff(log.offsets))[rows]
    pairs = np.unique(np.stack([customer, log.known_us[rows]], axis=1), axis=0)
    return pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)


def _known_by(log: EventLog, customer: Int64s, as_of_us: Int64s) -> tuple[Int64s, Int64s]:
    """How many touchpoints were known at each row's as_of, and when the customer's first became known."""
    known, first_us = np.zeros(len(customer), dtype=np.int64), np.zeros(len(customer), dtype=np.int64)
    _count_known(log.offsets, log.known_us, customer, as_of_us, known, first_us)
    return known, first_us


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


GRIDS: Final = {"month": _month_before, "week": _week_before, "day": _day_before}


@njit(cache=True)
def _mark(offsets, begin, end, seen):  # type: ignore[no-untyped-def]
    for customer in range(len(offsets) - 1):
        for event in range(offsets[customer], offsets[customer + 1]):
            seen[customer, begin[event] : end[event]] = True


@njit(cache=True)
def _count_known(offsets, known_us, customer, as_of_us, known, first_us):  # type: ignore[no-untyped-def]
    for row in range(len(customer)):
        first_us[row] = np.iinfo(np.int64).max
        for event in range(offsets[customer[row]], offsets[customer[row] + 1]):
            first_us[row] = min(first_us[row], known_us[event])
            known[row] += is_known(known_us[event], as_of_us[row])
