"""The one pass over the event log that makes touchpoint features, for one customer or fifty million.

Training, lists and the endpoint all call `aggregate`: what a model learns from is what it is asked with.

A customer's history is read forward once, through all moments asked in turn: what has been tallied by one moment stands
for the next. Of what is tallied only the windows depend on the moment, and those are whole numbers; so a row has the
same bits alone, in a crowd and in a grid. All that is compiled stands in this file: Numba's cache on disk is renewed
when the file of the function called changes, and for no other.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from features.event_log import DAY_US, Bools, EventLog, Floats, Int32s, Int64s, is_known
from features.journey import Spans
from features.vocabulary import FAMILIES, Int8s, KindCodes, Vocabulary

Float32s = npt.NDArray[np.float32]

EVER = np.inf
RECENT = 3  # so many gaps, or values, are the recent ones


class OfKind(IntEnum):
    """What is measured of each kind of touchpoint, in column order, after its windows and its half-lives."""

    DAYS_SINCE_LAST = 0
    DAYS_SINCE_FIRST = 1
    TOUCHPOINTS_SINCE_LAST = 2
    VALUE_SUM_30D = 3
    VALUE_SUM = 4
    VALUE_MEAN = 5
    VALUE_LAST = 6


class OfHistory(IntEnum):
    """What is measured of the history as a whole, in column order, after all kinds."""

    DAYS_SINCE_SECOND_LAST = 0
    GAP_MEAN_DAYS = 1
    GAP_DEVIATION_DAYS = 2
    GAP_NOW_TO_MEAN = 3
    GAP_RECENT_TO_MEAN = 4
    BURSTINESS = 5
    ACTIVE_DAYS_30D = 6
    ACTIVE_DAYS = 7
    SESSIONS_30D = 8
    SESSIONS = 9
    COMPANY_SHARE = 10
    RESPONSES = 11
    RESPONSE_HOURS = 12
    NIGHT_SHARE = 13
    WEEKEND_SHARE = 14
    CHANNEL_ENTROPY = 15
    DISTINCT_ACTIONS = 16
    UNHEARD_OF_SHARE = 17
    GAP_TREND_DAYS = 18
    GAP_FIRST_DAYS = 19
    BUSIEST_HOUR_SHARE = 20
    REPEAT_SHARE = 21
    BACKWARD_SHARE = 22
    DEPTH = 23
    DEPTH_OF_LAST = 24
    VALUE_TREND = 25
    DEPTH_OF_SECOND_LAST = 26
    DEPTH_OF_THIRD_LAST = 27
    HOUR_ENTROPY = 28


class OfRecord(IntEnum):
    """What is measured of the stages that a CRM recorded, in column order, last of all; only where training had any."""

    RECORDED_STAGE = 0
    DAYS_IN_RECORDED_STAGE = 1
    STAGE_CHANGES = 2
    STAGE_STEPS_BACK = 3
    FURTHEST_RECORDED_STAGE = 4


KIND_MEASURES = tuple(measure.name.lower() for measure in OfKind)
HISTORY_MEASURES = tuple(measure.name.lower() for measure in OfHistory)
RECORD_MEASURES = tuple(measure.name.lower() for measure in OfRecord)
KIND_WIDTH, HISTORY_WIDTH, RECORD_WIDTH = len(OfKind), len(OfHistory), len(OfRecord)

LARGEST = np.finfo(np.float32).max
NOBODY_YET = -2  # a customer that nobody asks for
NOT_YET = np.iinfo(np.int64).max  # the moment of what has not happened
LIMIT_30D_US = 30 * DAY_US  # of the measures that name 30 days, whatever windows are chosen
MOST_HALF_LIVES = 512.0  # from a decayed sum's reference to its newest touchpoint: float64 holds 2^1023
MINUTE_US = 60_000_000
HOUR_US = 3_600_000_000
HOURS_OF_WEEK = 168
TIMES_LOGS = np.array([times * np.log(max(times, 1)) for times in range(100)])  # each log costs as much as a count
ACTION = FAMILIES.index("action")

GAPS = [("gap_mean", np.float64), ("gap_square_sum", np.float64), ("gap_product_sum", np.float64)]
COUNTS = ("values", "company", "unheard_of", "responses", "response_us", "night", "weekend", "busiest_hour")
STEPS = ("repeats", "steps", "backward_steps", "furthest", "latest", "second_latest", "third_latest")
RECORD = ("stage", "since_us", "known_us", "stage_before", "began_us", "changes", "steps_back", "furthest_stage")
HOURS = [("hour_logs", np.float64), ("beyond_30d", np.int64)]
TALLY = np.dtype([*GAPS, *HOURS, *((name, np.int64) for name in COUNTS + STEPS + RECORD)])


class Touchpoints(NamedTuple):
    """What is read of the log: its columns, one entry a touchpoint, and what their codes stand for."""

    offsets: Int64s
    occurred_us: Int64s
    known_us: Int64s
    hidden: Bools
    is_company: Bools
    channel: Int32s
    action: Int32s
    campaign: Int32s
    text: Int32s
    value: Floats
    codes: KindCodes


class SpansUs(NamedTuple):
    """The spans that are looked back over, in microseconds; the window "ever" has no limit."""

    limits: Int64s
    half_lives: Floats
    session_gap: int


class Seen(NamedTuple):
    """One customer's touchpoints that count so far, in order of time. `day` and `session` number them from 1."""

    occurred_us: Int64s
    kinds: Int32s  # (touchpoints, families)
    value: Floats
    is_company: Bools
    unheard_of: Bools
    action: Int32s
    place: Int32s
    day: Int32s
    session: Int32s


class Kinds(NamedTuple):
    """What is tallied of each kind; the first axis is the kind.

    `in_window[kind, w]` counts those within window `w` and no shorter one. `decayed[kind, h]` sums 2^((occurred_us -
    reference_us[h]) / half-life): one power for each touchpoint and half-life, whatever moments are asked.
    """

    in_window: Int64s
    decayed: Floats
    reference_us: Int64s
    times: Int64s
    first_us: Int64s
    last_us: Int64s
    last: Int64s
    values: Int64s
    value_sum: Floats
    value_sum_30d: Floats
    value_last: Floats


class History(NamedTuple):
    """What is tallied of the history as a whole: one record TALLY, and what does not fit in it."""

    tally: npt.NDArray[np.void]
    beyond: Int64s  # how many touchpoints are older than each limit
    in_hour: Int64s  # how many fell in each hour of the week
    recent_values: Floats  # a ring
    transitions: Int64s  # how often each was gone


def aggregate(
    log: EventLog,
    vocabulary: Vocabulary,
    hidden: Bools,
    customer: Int64s,
    as_of_us: Int64s,
    beside: Float32s | None = None,
) -> Float32s:
    """Touchpoint features of each row (customer, as_of), from what was known at its as_of and is not `hidden`.

    `customer` indexes the log's customers, -1 for one without touchpoints. Rows may come in any order. Shape (rows,
    columns of `catalog.touchpoint_features`): counts are 0 and times NaN where nothing happened. The columns of
    `beside` (rows, more columns), where given, follow.
    """
    columns = width(vocabulary)
    rows = np.empty((len(customer), columns + (0 if beside is None else beside.shape[1])), dtype=np.float32)
    if beside is not None:
        rows[:, columns:] = beside
    spans = _spans_us(vocabulary.spans)
    longest = int(np.diff(log.offsets).max(initial=0))
    touchpoints = Touchpoints(
        log.offsets, log.occurred_us, log.known_us, hidden, log.is_company,
        log.channel, log.action, log.campaign, log.text, log.value, vocabulary.codes(log),
    )  # fmt: skip
    _fill_rows(
        _in_order(customer, as_of_us),
        customer,
        as_of_us,
        touchpoints,
        spans,
        _room_for_seen(longest),
        _room_for_kinds(len(vocabulary.kinds), spans),
        _room_for_history(len(vocabulary.transitions), spans),
        columns,
        rows,
    )
    # A value of 1e300 is lawful and beyond float32; infinity would spoil every sum of effects.
    np.clip(rows[:, :columns], -LARGEST, LARGEST, out=rows[:, :columns])
    return rows


def width(vocabulary: Vocabulary) -> int:
    """How many columns `aggregate` makes."""
    spans, of_record = vocabulary.spans, RECORD_WIDTH if vocabulary.stages_recorded else 0
    of_a_kind = len(spans.windows_days) + 1 + len(spans.half_lives_days) + KIND_WIDTH
    return len(vocabulary.kinds) * of_a_kind + HISTORY_WIDTH + len(vocabulary.transitions) + of_record


def _in_order(customer: Int64s, as_of_us: Int64s) -> Int64s:
    """The rows by customer, then by moment."""
    in_order = _is_in_order(customer, as_of_us)
    return np.arange(len(customer)) if in_order else np.lexsort((as_of_us, customer))


def _room_for_seen(touchpoints: int) -> Seen:
    return Seen(
        occurred_us=np.empty(touchpoints, dtype=np.int64),
        kinds=np.empty((touchpoints, len(FAMILIES)), dtype=np.int32),
        value=np.empty(touchpoints),
        is_company=np.empty(touchpoints, dtype=np.bool_),
        unheard_of=np.empty(touchpoints, dtype=np.bool_),
        action=np.empty(touchpoints, dtype=np.int32),
        place=np.empty(touchpoints, dtype=np.int32),
        day=np.empty(touchpoints, dtype=np.int32),
        session=np.empty(touchpoints, dtype=np.int32),
    )


def _spans_us(spans: Spans) -> SpansUs:
    limits_us = np.array(spans.windows_days, dtype=np.int64) * DAY_US
    half_lives_us = np.array(spans.half_lives_days, dtype=np.float64) * DAY_US
    return SpansUs(limits_us, half_lives_us, spans.session_gap_minutes * MINUTE_US)


def _room_for_kinds(kinds: int, spans: SpansUs) -> Kinds:
    whole, real = np.zeros((6, kinds), dtype=np.int64), np.zeros((3, kinds))
    return Kinds(
        in_window=np.zeros((kinds, len(spans.limits) + 1), dtype=np.int64),
        decayed=np.zeros((kinds, len(spans.half_lives))),
        reference_us=np.zeros(len(spans.half_lives), dtype=np.int64),
        times=whole[0],
        first_us=whole[1],
        last_us=whole[2],
        last=whole[3],
        values=whole[4],
        value_sum=real[0],
        value_sum_30d=real[1],
        value_last=real[2],
    )


def _room_for_history(transitions: int, spans: SpansUs) -> History:
    return History(
        tally=np.zeros(1, dtype=TALLY),
        beyond=np.zeros(len(spans.limits), dtype=np.int64),
        in_hour=np.zeros(HOURS_OF_WEEK, dtype=np.int64),
        recent_values=np.zeros(RECENT),
        transitions=np.zeros(transitions, dtype=np.int64),
    )


@njit(cache=True, nogil=True)
def _is_in_order(customer: Int64s, as_of_us: Int64s) -> bool:
    for row in range(1, len(customer)):
        if customer[row] < customer[row - 1]:
            return False
        if customer[row] == customer[row - 1] and as_of_us[row] < as_of_us[row - 1]:
            return False
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_rows(
    order: Int64s,
    customer: Int64s,
    as_of_us: Int64s,
    log: Touchpoints,
    spans: SpansUs,
    seen: Seen,
    kinds: Kinds,
    history: History,
    columns: int,
    rows: Float32s,
) -> None:
    """Fill `columns` of the `rows` in `order`: by customer and moment, so that each history is read once, forward.

    Only where a touchpoint that occurred before an earlier moment became known since is the history read again from its
    beginning.
    """
    reading, position, end, old, late_us = NOBODY_YET, 0, 0, 0, NOT_YET
    for row in order:
        now = as_of_us[row]
        if customer[row] != reading or is_known(late_us, now):
            reading = customer[row]
            position = log.offsets[reading] if reading >= 0 else 0
            end = log.offsets[reading + 1] if reading >= 0 else 0
            old, late_us = 0, NOT_YET
            _begin(kinds, history)
        position, new, late_us = _read_on(log, position, end, late_us, now, seen, old, history)
        _pass_limits(seen, old, new, now, spans.limits, kinds, history)
        _count(seen, old, new, now, spans.limits, kinds)
        _sum_decayed(seen, old, new, spans.half_lives, kinds)
        _sum_values(seen, old, new, kinds, history)
        _sum_values_30d(seen, new, kinds, history)
        _measure_gaps(seen, old, new, history)
        _number_days_and_sessions(seen, old, new, spans.session_gap)
        _place_in_week(seen, old, new, history)
        _follow_answers(seen, old, new, history)
        _follow_steps(seen, old, new, log.codes.transition, history)
        at = _write_kinds(kinds, spans.half_lives, new, now, rows[row])
        _write_gaps(seen, new, now, history, rows[row, at:])
        _write_days_and_sessions(seen, new, history, rows[row, at:])
        _write_shares(new, history, rows[row, at:])
        _write_variety(new, kinds, log.codes, rows[row, at:])
        _write_steps(new, history, log.codes, rows[row, at:])
        _write_value_trend(kinds, history, log.codes, rows[row, at:])
        at += HISTORY_WIDTH
        _write_transitions(history, rows[row, at:])
        at += len(history.transitions)
        if at < columns:
            _write_record(now, history, rows[row, at:])
        old = new


@njit(cache=True, nogil=True, forceinline=True)
def _begin(kinds: Kinds, history: History) -> None:
    kinds.in_window[:] = 0
    kinds.decayed[:] = 0.0
    kinds.times[:] = 0
    kinds.values[:] = 0
    kinds.value_sum[:] = 0.0
    history.beyond[:] = 0
    history.in_hour[:] = 0
    history.transitions[:] = 0
    tally = history.tally[0]
    tally["hour_logs"] = 0.0
    tally["beyond_30d"] = 0
    tally["gap_mean"] = tally["gap_square_sum"] = tally["gap_product_sum"] = 0.0
    tally["values"] = tally["company"] = tally["unheard_of"] = tally["responses"] = tally["response_us"] = 0
    tally["night"] = tally["weekend"] = tally["busiest_hour"] = 0
    tally["repeats"] = tally["steps"] = tally["backward_steps"] = 0
    tally["furthest"] = tally["latest"] = tally["second_latest"] = tally["third_latest"] = -1
    tally["stage"] = tally["stage_before"] = tally["furthest_stage"] = -1
    tally["changes"] = tally["steps_back"] = 0


@njit(cache=True, nogil=True, forceinline=True)
def _read_on(
    log: Touchpoints, position: int, end: int, late_us: int, now: int, seen: Seen, n: int, history: History
) -> tuple[int, int, int]:
    """Take in what had occurred by `now`, is known and not hidden; a stage that the CRM recorded is no touchpoint.

    Returns where it stopped, how many are seen, and when the next that was passed over becomes known.
    """
    crm, stage = log.codes.crm, log.codes.stage
    while position < end and log.occurred_us[position] <= now:
        if not log.hidden[position]:
            if not is_known(log.known_us[position], now):
                late_us = min(late_us, log.known_us[position])
            elif log.channel[position] == crm and stage[log.action[position]] >= 0:
                _record_stage(
                    log.occurred_us[position], log.known_us[position], stage[log.action[position]], history.tally[0]
                )
            else:
                _take_in(log, position, seen, n)
                n += 1
        position += 1
    return position, n, late_us


@njit(cache=True, nogil=True)
def _record_stage(since_us: int, known_us: int, stage: int, tally: np.void) -> None:
    """Of stages begun at once the one recorded last counts, and of these the furthest; what stood before is settled."""
    if tally["stage"] >= 0 and since_us == tally["since_us"]:
        if known_us > tally["known_us"] or (known_us == tally["known_us"] and stage > tally["stage"]):
            tally["known_us"], tally["stage"] = known_us, stage
        return
    if tally["stage"] >= 0:
        if tally["stage"] != tally["stage_before"]:
            tally["began_us"] = tally["since_us"]
        tally["changes"] += int(tally["stage_before"] >= 0 and tally["stage"] != tally["stage_before"])
        tally["steps_back"] += int(tally["stage"] < tally["stage_before"])
        tally["furthest_stage"] = max(tally["furthest_stage"], tally["stage"])
        tally["stage_before"] = tally["stage"]
    tally["since_us"], tally["known_us"], tally["stage"] = since_us, known_us, stage


@njit(cache=True, nogil=True, forceinline=True)
def _take_in(log: Touchpoints, position: int, seen: Seen, i: int) -> None:
    codes, company = log.codes, int(log.is_company[position])
    channel, action = log.channel[position], log.action[position]
    seen.occurred_us[i] = log.occurred_us[position]
    seen.value[i] = log.value[position]
    seen.is_company[i] = log.is_company[position]
    seen.unheard_of[i] = codes.unheard_channel[channel] or codes.unheard_action[action]
    seen.action[i] = action
    seen.place[i] = codes.place[action]
    seen.kinds[i, 0] = codes.any
    seen.kinds[i, 1] = codes.actor[company]
    seen.kinds[i, 2] = codes.channel[channel]
    seen.kinds[i, 3] = codes.action[action]
    seen.kinds[i, 4] = codes.pair[codes.pair_row[channel], action]
    seen.kinds[i, 5] = codes.campaign[log.campaign[position]]
    seen.kinds[i, 6] = codes.message[company + 2 * int(log.text[position] >= 0)]


@njit(cache=True, nogil=True, forceinline=True)
def _pass_limits(seen: Seen, old: int, new: int, now: int, limits_us: Int64s, kinds: Kinds, history: History) -> None:
    """Note what is older than each window by now; what was counted at an earlier moment leaves the window."""
    i = history.tally[0]["beyond_30d"]
    while i < new and now - seen.occurred_us[i] >= LIMIT_30D_US:
        i += 1
    history.tally[0]["beyond_30d"] = i
    for limit in range(len(limits_us)):
        i = history.beyond[limit]
        while i < new and now - seen.occurred_us[i] >= limits_us[limit]:
            if i < old:
                _leave_window(seen, i, limit, kinds)
            i += 1
        history.beyond[limit] = i


@njit(cache=True, nogil=True, forceinline=True)
def _leave_window(seen: Seen, i: int, window: int, kinds: Kinds) -> None:
    for family in range(len(FAMILIES)):
        kind = seen.kinds[i, family]
        if kind >= 0:
            kinds.in_window[kind, window] -= 1
            kinds.in_window[kind, window + 1] += 1


@njit(cache=True, nogil=True, forceinline=True)
def _count(seen: Seen, old: int, new: int, now: int, limits_us: Int64s, kinds: Kinds) -> None:
    window = len(limits_us)
    for i in range(old, new):
        when = seen.occurred_us[i]
        while window > 0 and now - when < limits_us[window - 1]:
            window -= 1
        for family in range(len(FAMILIES)):
            kind = seen.kinds[i, family]
            if kind >= 0:
                kinds.in_window[kind, window] += 1
                if kinds.times[kind] == 0:
                    kinds.first_us[kind] = when
                kinds.times[kind] += 1
                kinds.last_us[kind] = when
                kinds.last[kind] = i


@njit(cache=True, nogil=True, forceinline=True, error_model="numpy")
def _sum_decayed(seen: Seen, old: int, new: int, half_lives_us: Floats, kinds: Kinds) -> None:
    when, kinds_of, decayed, reference_us = seen.occurred_us, seen.kinds, kinds.decayed, kinds.reference_us
    for h in range(len(half_lives_us)):
        if old == 0 and new > 0:
            reference_us[h] = when[0]
        for i in range(old, new):
            half_lives = (when[i] - reference_us[h]) / half_lives_us[h]
            if half_lives > MOST_HALF_LIVES:
                for kind in range(len(decayed)):
                    decayed[kind, h] *= 2.0**-half_lives
                reference_us[h], half_lives = when[i], 0.0
            weight = 2.0**half_lives
            for family in range(len(FAMILIES)):
                if kinds_of[i, family] >= 0:
                    decayed[kinds_of[i, family], h] += weight


@njit(cache=True, nogil=True, forceinline=True)
def _sum_values(seen: Seen, old: int, new: int, kinds: Kinds, history: History) -> None:
    tally = history.tally[0]
    for i in range(old, new):
        value = seen.value[i]
        if np.isnan(value):
            continue
        history.recent_values[tally["values"] % RECENT] = value
        tally["values"] += 1
        for family in range(len(FAMILIES)):
            kind = seen.kinds[i, family]
            if kind >= 0:
                kinds.values[kind] += 1
                kinds.value_sum[kind] += value
                kinds.value_last[kind] = value


@njit(cache=True, nogil=True, forceinline=True)
def _sum_values_30d(seen: Seen, new: int, kinds: Kinds, history: History) -> None:
    """Sum anew at each moment: taking old values off a sum would leave other bits than a sum of the new ones."""
    kinds.value_sum_30d[:] = 0.0
    for i in range(history.tally[0]["beyond_30d"], new):
        if not np.isnan(seen.value[i]):
            for family in range(len(FAMILIES)):
                kind = seen.kinds[i, family]
                if kind >= 0:
                    kinds.value_sum_30d[kind] += seen.value[i]


@njit(cache=True, nogil=True, forceinline=True, error_model="numpy")
def _measure_gaps(seen: Seen, old: int, new: int, history: History) -> None:
    """Moments of the gaps and of their trend, updated one by one (Welford 1962): equal gaps deviate by exactly 0."""
    tally = history.tally[0]
    for i in range(max(old, 1), new):  # the i-th gap
        gap = float(seen.occurred_us[i] - seen.occurred_us[i - 1])
        deviation = gap - tally["gap_mean"]
        tally["gap_mean"] += deviation / i
        tally["gap_square_sum"] += deviation * (gap - tally["gap_mean"])
        tally["gap_product_sum"] += 0.5 * i * (gap - tally["gap_mean"])


@njit(cache=True, nogil=True, forceinline=True)
def _number_days_and_sessions(seen: Seen, old: int, new: int, session_gap_us: int) -> None:
    for i in range(old, new):
        if i == 0:
            seen.day[0] = seen.session[0] = 1
            continue
        when, before = seen.occurred_us[i], seen.occurred_us[i - 1]
        seen.day[i] = seen.day[i - 1] + int(when // DAY_US != before // DAY_US)
        seen.session[i] = seen.session[i - 1] + int(when - before > session_gap_us)


@njit(cache=True, nogil=True, forceinline=True)
def _place_in_week(seen: Seen, old: int, new: int, history: History) -> None:
    tally = history.tally[0]
    for i in range(old, new):
        day = seen.occurred_us[i] // DAY_US
        weekday = (day + 3) % 7  # 1970-01-01 was a Thursday, Monday is 0
        hour = (seen.occurred_us[i] - day * DAY_US) // HOUR_US
        tally["night"] += int(hour < 6)
        tally["weekend"] += int(weekday >= 5)
        times = history.in_hour[24 * weekday + hour] + 1
        history.in_hour[24 * weekday + hour] = times
        tally["busiest_hour"] = max(tally["busiest_hour"], times)
        if times > 1:
            tally["hour_logs"] += _times_log(times) - _times_log(times - 1)


@njit(cache=True, nogil=True, forceinline=True)
def _times_log(times: int) -> float:
    return float(TIMES_LOGS[times] if times < len(TIMES_LOGS) else times * np.log(times))


@njit(cache=True, nogil=True, forceinline=True)
def _follow_answers(seen: Seen, old: int, new: int, history: History) -> None:
    tally = history.tally[0]
    for i in range(old, new):
        tally["unheard_of"] += int(seen.unheard_of[i])
        tally["company"] += int(seen.is_company[i])
        if i > 0 and seen.is_company[i - 1] and not seen.is_company[i]:
            tally["responses"] += 1
            tally["response_us"] += seen.occurred_us[i] - seen.occurred_us[i - 1]


@njit(cache=True, nogil=True, forceinline=True)
def _follow_steps(seen: Seen, old: int, new: int, transition: Int8s, history: History) -> None:
    tally = history.tally[0]
    for i in range(old, new):
        place = seen.place[i]
        if i > 0:
            tally["repeats"] += int(seen.action[i] == seen.action[i - 1])
            gone = transition[seen.kinds[i - 1, ACTION], seen.kinds[i, ACTION]]
            if gone >= 0:
                history.transitions[gone] += 1
        if place >= 0:
            tally["steps"] += int(tally["latest"] >= 0)
            tally["backward_steps"] += int(place < tally["latest"])
            tally["third_latest"], tally["second_latest"] = tally["second_latest"], tally["latest"]
            tally["latest"] = place
            tally["furthest"] = max(tally["furthest"], place)


@njit(cache=True, nogil=True, forceinline=True, error_model="numpy")
def _write_kinds(kinds: Kinds, half_lives_us: Floats, seen: int, now: int, row: Float32s) -> int:
    """Returns how many columns were written."""
    scale = np.empty(len(half_lives_us))
    for h in range(len(half_lives_us)):
        scale[h] = 2.0 ** ((kinds.reference_us[h] - now) / half_lives_us[h])
    at, windows = 0, kinds.in_window.shape[1]
    for kind in range(len(kinds.times)):
        times = 0
        for window in range(windows):
            times += kinds.in_window[kind, window]
            row[at + window] = times
        at += windows
        for h in range(len(half_lives_us)):
            row[at + h] = kinds.decayed[kind, h] * scale[h]
        at += len(half_lives_us)
        if times > 0:
            row[at + OfKind.DAYS_SINCE_LAST] = (now - kinds.last_us[kind]) / DAY_US
            row[at + OfKind.DAYS_SINCE_FIRST] = (now - kinds.first_us[kind]) / DAY_US
            row[at + OfKind.TOUCHPOINTS_SINCE_LAST] = seen - 1 - kinds.last[kind]
        else:
            row[at : at + OfKind.VALUE_SUM_30D] = np.nan
        if kinds.values[kind] > 0:
            row[at + OfKind.VALUE_SUM_30D] = kinds.value_sum_30d[kind]
            row[at + OfKind.VALUE_SUM] = kinds.value_sum[kind]
            row[at + OfKind.VALUE_MEAN] = kinds.value_sum[kind] / kinds.values[kind]
            row[at + OfKind.VALUE_LAST] = kinds.value_last[kind]
        else:
            row[at + OfKind.VALUE_SUM_30D : at + KIND_WIDTH] = np.nan
        at += KIND_WIDTH
    return at


@njit(cache=True, nogil=True, forceinline=True, error_model="numpy")
def _write_gaps(seen: Seen, n: int, now: int, history: History, row: Float32s) -> None:
    row[OfHistory.DAYS_SINCE_SECOND_LAST : OfHistory.ACTIVE_DAYS_30D] = np.nan
    row[OfHistory.GAP_TREND_DAYS] = row[OfHistory.GAP_FIRST_DAYS] = np.nan
    if n < 2:
        return
    tally, when, gaps = history.tally[0], seen.occurred_us, n - 1
    mean = (when[n - 1] - when[0]) / gaps
    deviation = np.sqrt(tally["gap_square_sum"] / gaps)
    row[OfHistory.DAYS_SINCE_SECOND_LAST] = (now - when[n - 2]) / DAY_US
    row[OfHistory.GAP_FIRST_DAYS] = (when[1] - when[0]) / DAY_US
    row[OfHistory.GAP_MEAN_DAYS] = mean / DAY_US
    row[OfHistory.GAP_DEVIATION_DAYS] = deviation / DAY_US
    if gaps > 1:
        row[OfHistory.GAP_TREND_DAYS] = tally["gap_product_sum"] / (gaps * (gaps * gaps - 1.0) / 12.0) / DAY_US
    if mean > 0:
        recent = min(gaps, RECENT)
        row[OfHistory.GAP_NOW_TO_MEAN] = (now - when[n - 1]) / mean
        row[OfHistory.GAP_RECENT_TO_MEAN] = (when[n - 1] - when[n - 1 - recent]) / recent / mean
        row[OfHistory.BURSTINESS] = (deviation - mean) / (deviation + mean)


@njit(cache=True, nogil=True, forceinline=True)
def _write_days_and_sessions(seen: Seen, n: int, history: History, row: Float32s) -> None:
    row[OfHistory.ACTIVE_DAYS] = seen.day[n - 1] if n > 0 else 0
    row[OfHistory.SESSIONS] = seen.session[n - 1] if n > 0 else 0
    first = history.tally[0]["beyond_30d"]
    row[OfHistory.ACTIVE_DAYS_30D] = seen.day[n - 1] - seen.day[first] + 1 if first < n else 0
    row[OfHistory.SESSIONS_30D] = seen.session[n - 1] - seen.session[first] + 1 if first < n else 0


@njit(cache=True, nogil=True, forceinline=True, error_model="numpy")
def _write_shares(n: int, history: History, row: Float32s) -> None:
    """The shares of 0 touchpoints are 0 / 0, NaN."""
    tally = history.tally[0]
    row[OfHistory.COMPANY_SHARE] = tally["company"] / n
    row[OfHistory.RESPONSES] = tally["responses"]
    row[OfHistory.RESPONSE_HOURS] = tally["response_us"] / tally["responses"] / HOUR_US
    row[OfHistory.NIGHT_SHARE] = tally["night"] / n
    row[OfHistory.WEEKEND_SHARE] = tally["weekend"] / n
    row[OfHistory.BUSIEST_HOUR_SHARE] = tally["busiest_hour"] / n
    row[OfHistory.HOUR_ENTROPY] = max(0.0, np.log(n) - tally["hour_logs"] / n) if n > 0 else np.nan
    row[OfHistory.UNHEARD_OF_SHARE] = tally["unheard_of"] / n if n > 0 else 0.0


@njit(cache=True, nogil=True, forceinline=True, error_model="numpy")
def _write_variety(n: int, kinds: Kinds, codes: KindCodes, row: Float32s) -> None:
    entropy, distinct = 0.0, 0
    for kind in codes.channel_kinds:
        if kinds.times[kind] > 0:
            entropy -= kinds.times[kind] / n * np.log(kinds.times[kind] / n)
    for kind in codes.action_kinds:
        distinct += int(kinds.times[kind] > 0)
    row[OfHistory.CHANNEL_ENTROPY] = entropy if n > 0 else np.nan
    row[OfHistory.DISTINCT_ACTIONS] = distinct if n > 0 else np.nan


@njit(cache=True, nogil=True, forceinline=True, error_model="numpy")
def _write_steps(n: int, history: History, codes: KindCodes, row: Float32s) -> None:
    tally, farthest = history.tally[0], codes.places - 1
    row[OfHistory.REPEAT_SHARE] = tally["repeats"] / (n - 1) if n > 1 else np.nan
    row[OfHistory.BACKWARD_SHARE] = tally["backward_steps"] / tally["steps"]
    row[OfHistory.DEPTH] = tally["furthest"] / farthest if tally["furthest"] >= 0 else np.nan
    row[OfHistory.DEPTH_OF_LAST] = tally["latest"] / farthest if tally["latest"] >= 0 else np.nan
    row[OfHistory.DEPTH_OF_SECOND_LAST] = tally["second_latest"] / farthest if tally["second_latest"] >= 0 else np.nan
    row[OfHistory.DEPTH_OF_THIRD_LAST] = tally["third_latest"] / farthest if tally["third_latest"] >= 0 else np.nan


@njit(cache=True, nogil=True, forceinline=True, error_model="numpy")
def _write_value_trend(kinds: Kinds, history: History, codes: KindCodes, row: Float32s) -> None:
    values = history.tally[0]["values"]
    recent = min(values, RECENT)
    mean = kinds.value_sum[codes.any] / values
    row[OfHistory.VALUE_TREND] = history.recent_values[:recent].sum() / recent - mean


@njit(cache=True, nogil=True, forceinline=True)
def _write_transitions(history: History, row: Float32s) -> None:
    for transition in range(len(history.transitions)):
        row[transition] = history.transitions[transition]


@njit(cache=True, nogil=True)
def _write_record(now: int, history: History, row: Float32s) -> None:
    tally = history.tally[0]
    stage, before = tally["stage"], tally["stage_before"]
    row[OfRecord.STAGE_CHANGES] = tally["changes"] + int(before >= 0 and stage != before)
    row[OfRecord.STAGE_STEPS_BACK] = tally["steps_back"] + int(stage < before)
    if stage < 0:
        row[OfRecord.RECORDED_STAGE] = row[OfRecord.DAYS_IN_RECORDED_STAGE] = np.nan
        row[OfRecord.FURTHEST_RECORDED_STAGE] = np.nan
        return
    began_us = tally["began_us"] if stage == before else tally["since_us"]
    row[OfRecord.RECORDED_STAGE] = stage
    row[OfRecord.DAYS_IN_RECORDED_STAGE] = (now - began_us) / DAY_US
    row[OfRecord.FURTHEST_RECORDED_STAGE] = max(tally["furthest_stage"], stage)
