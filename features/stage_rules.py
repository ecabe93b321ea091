"""The journey's rules read on the log: which stage each customer was in, and the furthest one reached, at a moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from features.event_log import DAY_US, Bools, EventLog, Int64s, has_known, is_known
from features.journey import Evidence, Journey
from features.stage_records import stage_records

NO_STAGE = -1
NO_CUSTOMER = -1
NOT_YET = np.iinfo(np.int64).max  # the moment of what has not happened

# One rule and what has been counted for it. `after` and `within_us` are -1 where the rule has none; the latest
# `at_least` matching moments stand in a ring of `latest_us` that begins at `ring`.
RULE = np.dtype([(field, np.int64) for field in ("stage", "after", "at_least", "within_us", "ring", "matches")])

Stages = npt.NDArray[np.int8]


class _Touchpoints(NamedTuple):
    """What the rules read of the log. `counts[row, rule]` says whether the touchpoint is the rule's evidence."""

    offsets: Int64s
    occurred_us: Int64s
    known_us: Int64s
    counts: Bools


class _Progress(NamedTuple):
    """How far one customer's history has taken each rule and stage."""

    rules: npt.NDArray[np.void]
    latest_us: Int64s
    first_met_us: Int64s


def stages_at(journey: Journey, log: EventLog, customer: Int64s, as_of_us: Int64s) -> Stages:
    """The stage of each customer at each moment: that of the last rule met, by what was known then.

    `customer` indexes `log.customer_ids` (-1: not in the log), `as_of_us` is UTC microseconds; both have shape (rows,).
    Returns indices into `journey.stages`, -1 where no rule is met. Raises ValueError when the shapes differ.
    """
    return _read(journey, log, customer, as_of_us)[0]


def furthest_stages(journey: Journey, log: EventLog, customer: Int64s, as_of_us: Int64s) -> Stages:
    """The furthest stage, in the journey's order, whose rule was met at any moment up to `as_of_us`.

    Arguments, result and errors are those of `stages_at`; a window that has passed since takes nothing back here.
    """
    return _read(journey, log, customer, as_of_us)[1]


def already_converted(journey: Journey, log: EventLog, customer: Int64s, as_of_us: Int64s) -> Bools:
    """Who is known to have converted by as_of, where only the first conversion counts; else nobody. Shape (rows,)."""
    if journey.conversion.repeatable:
        return np.zeros(len(customer), dtype=np.bool_)
    converting = evidence_rows([Evidence(actions=frozenset(journey.conversion.actions))], log)
    return has_known(log, converting & ~stage_records(log, journey.stages), customer, as_of_us)


def evidence_rows(evidence: Iterable[Evidence], log: EventLog) -> Bools:
    """Touchpoints of the log that belong to any of the evidence. Shape (touchpoints,)."""
    rows = np.zeros(len(log), dtype=np.bool_)
    for part in evidence:
        rows |= _of_part(part, log)
    return rows


def _of_part(part: Evidence, log: EventLog) -> Bools:
    if part.channels is None and part.actions is None:
        return np.ones(len(log), dtype=np.bool_)
    of_channels = None if part.channels is None else _chosen(log.channels, part.channels)[log.channel]
    of_actions = None if part.actions is None else _chosen(log.actions, part.actions)[log.action]
    if of_channels is None or of_actions is None:
        return of_actions if of_channels is None else of_channels  # type: ignore[return-value]
    return of_channels & of_actions


def _read(journey: Journey, log: EventLog, customer: Int64s, as_of_us: Int64s) -> tuple[Stages, Stages]:
    if customer.shape != as_of_us.shape:
        raise ValueError(f"customer has shape {customer.shape} and as_of_us {as_of_us.shape}; give one moment for each")
    current = np.full(len(customer), NO_STAGE, dtype=np.int8)
    furthest = np.full(len(customer), NO_STAGE, dtype=np.int8)
    if journey.labels.rules:
        by_customer_and_moment = np.lexsort((as_of_us, customer))
        rows = by_customer_and_moment[customer[by_customer_and_moment] != NO_CUSTOMER]
        _read_rows(rows, customer, as_of_us, _touchpoints(journey, log), _beginning(journey, log), current, furthest)
    return current, furthest


def _touchpoints(journey: Journey, log: EventLog) -> _Touchpoints:
    counts = np.column_stack([evidence_rows([rule.evidence], log) for rule in journey.labels.rules])
    counts &= ~stage_records(log, journey.stages)[:, None]  # what the CRM believed is nobody's act
    return _Touchpoints(log.offsets, log.occurred_us, log.known_us, counts)


def _beginning(journey: Journey, log: EventLog) -> _Progress:
    index = {stage: position for position, stage in enumerate(journey.stages)} | {None: -1}
    # A threshold beyond the longest history is out of reach, and would only make its ring larger.
    out_of_reach = int(np.diff(log.offsets).max(initial=0)) + 1
    rules = np.zeros(len(journey.labels.rules), dtype=RULE)
    for encoded, rule in zip(rules, journey.labels.rules, strict=True):
        encoded["stage"], encoded["after"] = index[rule.stage], index[rule.after]
        encoded["at_least"] = min(rule.at_least, out_of_reach)
        encoded["within_us"] = -1 if rule.within_days is None else rule.within_days * DAY_US
    rules["ring"] = np.cumsum(rules["at_least"]) - rules["at_least"]
    latest_us = np.zeros(rules["at_least"].sum(), dtype=np.int64)
    return _Progress(rules, latest_us, np.full(len(journey.stages), NOT_YET, dtype=np.int64))


def _chosen(names: list[str], wanted: frozenset[str]) -> Bools:
    return np.array([name in wanted for name in names], dtype=np.bool_)


@njit(cache=True, nogil=True)
def _read_rows(
    rows: Int64s,
    customer: Int64s,
    as_of_us: Int64s,
    touchpoints: _Touchpoints,
    progress: _Progress,
    current: Stages,
    furthest: Stages,
) -> None:
    """Fill `current` and `furthest`, reading each history once, forward through its asked moments.

    `rows` lists what is asked by customer and moment. Only where a touchpoint that occurred before an earlier moment
    became known since is the history read again from its beginning.
    """
    reading, position, late_us = NO_CUSTOMER, 0, NOT_YET
    for row in rows:
        if customer[row] != reading or is_known(late_us, as_of_us[row]):
            reading, position, late_us = customer[row], touchpoints.offsets[customer[row]], NOT_YET
            _begin_again(progress)
        end = touchpoints.offsets[reading + 1]
        position, late_us = _read_on(position, end, late_us, as_of_us[row], touchpoints, progress)
        current[row] = _last_met(progress, as_of_us[row])
        furthest[row] = _furthest_met(progress)


@njit(cache=True, nogil=True)
def _begin_again(progress: _Progress) -> None:
    for rule in range(len(progress.rules)):
        progress.rules[rule]["matches"] = 0
    progress.first_met_us[:] = NOT_YET


@njit(cache=True, nogil=True)
def _read_on(
    position: int, end: int, late_us: int, as_of_us: int, touchpoints: _Touchpoints, progress: _Progress
) -> tuple[int, int]:
    """Count what occurred up to `as_of_us` and was known then.

    Returns where it stopped, and when the next touchpoint that was passed over becomes known.
    """
    occurred_us, known_us, counts = touchpoints.occurred_us, touchpoints.known_us, touchpoints.counts
    rules, latest_us, first_met_us = progress.rules, progress.latest_us, progress.first_met_us
    while position < end and occurred_us[position] <= as_of_us:
        if not is_known(known_us[position], as_of_us):
            late_us = min(late_us, known_us[position])
        else:
            for rule in range(len(rules)):
                if counts[position, rule]:
                    _count(rules[rule], occurred_us[position], latest_us, first_met_us)
        position += 1
    return position, late_us


@njit(cache=True, nogil=True)
def _count(rule: np.void, moment_us: int, latest_us: Int64s, first_met_us: Int64s) -> None:
    if rule["after"] >= 0 and moment_us <= first_met_us[rule["after"]]:
        return
    latest_us[rule["ring"] + rule["matches"] % rule["at_least"]] = moment_us
    rule["matches"] += 1
    if first_met_us[rule["stage"]] == NOT_YET and _is_met(rule, moment_us, latest_us):
        first_met_us[rule["stage"]] = moment_us


@njit(cache=True, nogil=True)
def _is_met(rule: np.void, moment_us: int, latest_us: Int64s) -> bool:
    if rule["matches"] < rule["at_least"]:
        return False
    # The place in the ring to be overwritten next holds the earliest of the latest `at_least` matches.
    earliest_us = latest_us[rule["ring"] + rule["matches"] % rule["at_least"]]
    return bool(rule["within_us"] < 0 or earliest_us > moment_us - rule["within_us"])


@njit(cache=True, nogil=True)
def _last_met(progress: _Progress, as_of_us: int) -> int:
    for rule in range(len(progress.rules) - 1, -1, -1):
        if _is_met(progress.rules[rule], as_of_us, progress.latest_us):
            return int(progress.rules[rule]["stage"])
    return NO_STAGE


@njit(cache=True, nogil=True)
def _furthest_met(progress: _Progress) -> int:
    for stage in range(len(progress.first_met_us) - 1, -1, -1):
        if progress.first_met_us[stage] != NOT_YET:
            return stage
    return NO_STAGE
