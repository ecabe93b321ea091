"""Where the market stands at a moment, by what was known then.

A market is surveyed at a few moments. A row reads the latest survey that is not later than its as_of, so that training
sees what the endpoint, which is asked about one customer, finds in the bundle.

Each history is read once for all moments: a touchpoint counts from the first moment that knows it until the first at
which it is too old, so it is added at the one and taken away at the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from features.event_log import DAY_US, Bools, EventLog, Floats, Int32s, Int64s, is_known
from features.journey import Evidence, Journey
from features.stage_rules import evidence_rows, stages_at
from features.vocabulary import KindCodes, Vocabulary

LATELY_DAYS, YEAR_DAYS = 30, 365
LATELY_US, YEAR_US = LATELY_DAYS * DAY_US, YEAR_DAYS * DAY_US
MOST_MOMENTS = 64
MOMENTS_AT_ONCE = 8  # stages read together: more would only take memory
BINS = 80
BINS_OF_AN_OCTAVE = 4
HOUR_US = 3_600_000_000
NOT_YET = np.iinfo(np.int64).max  # the moment of what has not happened


class Standing(IntEnum):
    """What customers are ranked by."""

    TOUCHPOINTS_30D = 0
    TOUCHPOINTS = 1
    HOURS_SINCE_LAST = 2
    HOURS_SINCE_FIRST = 3
    VALUE_SUM = 4


class Tally(IntEnum):
    """What is counted of the market, within the last 30 and the last 365 days.

    Whoever converted counts where they were seen in those 365 days, so that a rate is a share of those seen.
    """

    TOUCHPOINTS_30D = 0
    TOUCHPOINTS_365D = 1
    CUSTOMERS_30D = 2
    CUSTOMERS_365D = 3
    NEWCOMERS_30D = 4
    NEWCOMERS_365D = 5
    CONVERTED_30D = 6
    CONVERTED_365D = 7


@dataclass(frozen=True, eq=False)
class Market:
    """Surveys of the market at rising `moments_us`, each by what was known then. First axis: moments.

    `tallies` has the columns of `Tally`, `mix` counts the touchpoints of 365 days of each kind, `stages` the customers
    of 365 days by the stage that the journey's rules give them, `histograms` (moments, standings, bins) those same
    customers by bins of each standing.
    """

    moments_us: Int64s
    tallies: Int64s
    mix: Int64s
    stages: Int64s
    histograms: Int64s


class Touchpoints(NamedTuple):
    """What the market reads of the log: its columns, one entry a touchpoint, and what their codes stand for."""

    offsets: Int64s
    occurred_us: Int64s
    known_us: Int64s
    hidden: Bools
    channel: Int32s
    action: Int32s
    value: Floats
    codes: KindCodes


class _Known(NamedTuple):
    """What each moment knows of one customer; what is counted stands as changes until it is added up."""

    touchpoints: Int64s
    touchpoints_30d: Int64s
    touchpoints_365d: Int64s
    converting_30d: Int64s
    converting_365d: Int64s
    first_us: Int64s
    last_us: Int64s
    value_sum: Floats


class _Figures(NamedTuple):
    """The figures of `Market`, and who was seen within 365 days of each moment. First axis: moments, but for `mix`.

    `mix` has one row more, for what leaves after the last moment.
    """

    tallies: Int64s
    mix: Int64s
    histograms: Int64s
    is_seen: Bools


def survey_moments(as_of_us: Int64s, known_until_us: int) -> Int64s:
    """When to survey for rows of these moments: UTC midnights a whole number of days apart, and `known_until_us`.

    The first is not later than any row, and there are at most MOST_MOMENTS.
    """
    first = int(as_of_us.min(initial=known_until_us)) // DAY_US
    last = int(as_of_us.max(initial=known_until_us)) // DAY_US
    step = max(1, -(-(last - first) // (MOST_MOMENTS - 2)))
    midnights = np.arange(first, last + 1, step, dtype=np.int64) * DAY_US
    return np.unique(np.append(midnights, max(known_until_us, int(midnights[-1]))))


def survey(log: EventLog, vocabulary: Vocabulary, journey: Journey, hidden: Bools, moments_us: Int64s) -> Market:
    """Survey the market of the log at each moment. A `hidden` touchpoint counts in no figure but the conversions."""
    moments_us = np.unique(moments_us)
    figures = _room_for_figures(len(moments_us), len(vocabulary.kinds), len(log.customer_ids))
    converting = evidence_rows([Evidence(actions=frozenset(journey.conversion.actions))], log)
    touchpoints = touchpoints_of(log, vocabulary, hidden)
    _survey(touchpoints, converting, moments_us, _room_for_known(len(moments_us)), figures)
    mix = np.cumsum(figures.mix[:-1], axis=0)
    stages = _count_stages(log, journey, moments_us, figures.is_seen)
    return Market(moments_us, figures.tallies, mix, stages, figures.histograms)


def no_market(vocabulary: Vocabulary, journey: Journey) -> Market:
    """A market that nobody has surveyed: every market feature is NaN."""
    return Market(
        moments_us=np.zeros(0, dtype=np.int64),
        tallies=np.zeros((0, len(Tally)), dtype=np.int64),
        mix=np.zeros((0, len(vocabulary.kinds)), dtype=np.int64),
        stages=np.zeros((0, len(journey.stages)), dtype=np.int64),
        histograms=np.zeros((0, len(Standing), BINS), dtype=np.int64),
    )


def touchpoints_of(log: EventLog, vocabulary: Vocabulary, hidden: Bools) -> Touchpoints:
    """The columns of the log that the compiled passes read."""
    return Touchpoints(
        log.offsets, log.occurred_us, log.known_us, hidden, log.channel, log.action, log.value, vocabulary.codes(log)
    )


def _room_for_figures(moments: int, kinds: int, customers: int) -> _Figures:
    return _Figures(
        tallies=np.zeros((moments, len(Tally)), dtype=np.int64),
        mix=np.zeros((moments + 1, kinds), dtype=np.int64),
        histograms=np.zeros((moments, len(Standing), BINS), dtype=np.int64),
        is_seen=np.zeros((moments, customers), dtype=np.bool_),
    )


def _room_for_known(moments: int) -> _Known:
    whole = np.zeros((7, moments + 1), dtype=np.int64)
    return _Known(
        touchpoints=whole[0],
        touchpoints_30d=whole[1],
        touchpoints_365d=whole[2],
        converting_30d=whole[3],
        converting_365d=whole[4],
        first_us=whole[5],
        last_us=whole[6],
        value_sum=np.zeros(moments + 1),
    )


def _count_stages(log: EventLog, journey: Journey, moments_us: Int64s, is_seen: Bools) -> Int64s:
    """How many of those seen stand at each stage. Shape (moments, stages)."""
    stages = np.zeros((len(moments_us), len(journey.stages)), dtype=np.int64)
    everybody = np.arange(len(log.customer_ids), dtype=np.int64)
    for start in range(0, len(moments_us), MOMENTS_AT_ONCE):
        some = moments_us[start : start + MOMENTS_AT_ONCE]
        at = stages_at(journey, log, np.repeat(everybody, len(some)), np.tile(some, len(everybody)))
        for i, stage in enumerate(at.reshape(len(everybody), len(some)).T, start):
            stages[i] = np.bincount(stage[is_seen[i] & (stage >= 0)], minlength=len(journey.stages))
    return stages


@njit(cache=True, inline="always")
def bin_of(value: Any) -> Any:
    """The bin of a standing: four to each doubling of 1 + value, none for what is negative."""
    return int(min(BINS - 1.0, BINS_OF_AN_OCTAVE * np.log2(1.0 + max(value, 0.0))))


@njit(cache=True, nogil=True)
def _survey(log: Touchpoints, converting: Bools, moments_us: Int64s, known: _Known, figures: _Figures) -> None:
    for customer in range(len(log.offsets) - 1):
        _begin(known)
        for i in range(log.offsets[customer], log.offsets[customer + 1]):
            first = _first_to_know(log.known_us[i], moments_us)
            past_30d = _first_at(log.occurred_us[i] + LATELY_US, moments_us, first)
            past_365d = _first_at(log.occurred_us[i] + YEAR_US, moments_us, past_30d)
            if converting[i]:
                _add_between(known.converting_30d, first, past_30d)
                _add_between(known.converting_365d, first, past_365d)
            if not log.hidden[i]:
                _add_between(known.touchpoints_30d, first, past_30d)
                _add_between(known.touchpoints_365d, first, past_365d)
                _take_in(log, i, first, known)
                _mix_in(log, i, first, past_365d, figures.mix)
        _add_up(known)
        _count(known, customer, moments_us, figures)


@njit(cache=True, nogil=True, forceinline=True)
def _begin(known: _Known) -> None:
    known.touchpoints[:] = 0
    known.touchpoints_30d[:] = 0
    known.touchpoints_365d[:] = 0
    known.converting_30d[:] = 0
    known.converting_365d[:] = 0
    known.first_us[:] = NOT_YET
    known.last_us[:] = -NOT_YET
    known.value_sum[:] = 0.0


@njit(cache=True, nogil=True, forceinline=True)
def _first_to_know(known_us: int, moments_us: Int64s) -> int:
    """The first moment that knows what became known at `known_us`; their number where none does."""
    low, high = 0, len(moments_us)
    while low < high:
        middle = (low + high) // 2
        if is_known(known_us, moments_us[middle]):
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True, nogil=True, forceinline=True)
def _first_at(when_us: int, moments_us: Int64s, first: int) -> int:
    """The first moment from `first` on that is not before `when_us`."""
    while first < len(moments_us) and moments_us[first] < when_us:
        first += 1
    return first


@njit(cache=True, nogil=True, forceinline=True)
def _add_between(changes: Int64s, start: int, end: int) -> None:
    changes[start] += 1
    changes[end] -= 1


@njit(cache=True, nogil=True, forceinline=True)
def _take_in(log: Touchpoints, i: int, first: int, known: _Known) -> None:
    known.touchpoints[first] += 1
    known.first_us[first] = min(known.first_us[first], log.occurred_us[i])
    known.last_us[first] = max(known.last_us[first], log.occurred_us[i])
    if not np.isnan(log.value[i]):
        # Each sum goes by time, as for one row: a sum of sums would have other last bits.
        for moment in range(first, len(known.value_sum)):
            known.value_sum[moment] += log.value[i]


@njit(cache=True, nogil=True, forceinline=True)
def _mix_in(log: Touchpoints, i: int, start: int, end: int, mix: Int64s) -> None:
    for kind in (log.codes.channel[log.channel[i]], log.codes.action[log.action[i]]):
        if kind >= 0:
            mix[start, kind] += 1
            mix[end, kind] -= 1


@njit(cache=True, nogil=True, forceinline=True)
def _add_up(known: _Known) -> None:
    for moment in range(1, len(known.touchpoints)):
        known.touchpoints[moment] += known.touchpoints[moment - 1]
        known.touchpoints_30d[moment] += known.touchpoints_30d[moment - 1]
        known.touchpoints_365d[moment] += known.touchpoints_365d[moment - 1]
        known.converting_30d[moment] += known.converting_30d[moment - 1]
        known.converting_365d[moment] += known.converting_365d[moment - 1]
        known.first_us[moment] = min(known.first_us[moment], known.first_us[moment - 1])
        known.last_us[moment] = max(known.last_us[moment], known.last_us[moment - 1])


@njit(cache=True, nogil=True, forceinline=True)
def _count(known: _Known, customer: int, moments_us: Int64s, figures: _Figures) -> None:
    for moment in range(len(moments_us)):
        if known.touchpoints_365d[moment] > 0:
            figures.is_seen[moment, customer] = True
            _tally(known, moment, moments_us[moment], figures.tallies[moment])
            _rank_in(known, moment, moments_us[moment], figures.histograms[moment])


@njit(cache=True, nogil=True, forceinline=True)
def _tally(known: _Known, moment: int, now: int, tallies: Int64s) -> None:
    tallies[Tally.TOUCHPOINTS_30D] += known.touchpoints_30d[moment]
    tallies[Tally.TOUCHPOINTS_365D] += known.touchpoints_365d[moment]
    tallies[Tally.CUSTOMERS_30D] += int(known.touchpoints_30d[moment] > 0)
    tallies[Tally.CUSTOMERS_365D] += 1
    tallies[Tally.NEWCOMERS_30D] += int(now - known.first_us[moment] < LATELY_US)
    tallies[Tally.NEWCOMERS_365D] += int(now - known.first_us[moment] < YEAR_US)
    tallies[Tally.CONVERTED_30D] += int(known.converting_30d[moment] > 0)
    tallies[Tally.CONVERTED_365D] += int(known.converting_365d[moment] > 0)


@njit(cache=True, nogil=True, forceinline=True)
def _rank_in(known: _Known, moment: int, now: int, histograms: Int64s) -> None:
    histograms[Standing.TOUCHPOINTS_30D, bin_of(float(known.touchpoints_30d[moment]))] += 1
    histograms[Standing.TOUCHPOINTS, bin_of(float(known.touchpoints[moment]))] += 1
    histograms[Standing.HOURS_SINCE_LAST, bin_of((now - known.last_us[moment]) / HOUR_US)] += 1
    histograms[Standing.HOURS_SINCE_FIRST, bin_of((now - known.first_us[moment]) / HOUR_US)] += 1
    histograms[Standing.VALUE_SUM, bin_of(known.value_sum[moment])] += 1
