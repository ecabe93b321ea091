"""Where the market stands at a moment, by what was known then, and where a customer stands in it.

A market is surveyed at a few moments. A row reads the latest survey that is not later than its as_of, so that training
sees what the endpoint, which is asked about one customer, finds in the bundle. Traffic itself is not a feature but its
change is: a level that only grows would tell a model the date, and what came of the others of that date.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.catalog import Feature
from features.event_log import DAY_US, Bools, EventLog, Floats, Int32s, Int64s, is_known
from features.journey import Evidence, Journey
from features.stage_rules import evidence_rows, stages_at
from features.vocabulary import KindCodes, Vocabulary

LATELY_DAYS, YEAR_DAYS = 30, 365
MOST_MOMENTS = 64
BINS = 80
BINS_OF_AN_OCTAVE = 4
HOURS_OF_A_DAY = 24


class Standing(IntEnum):
    """What customers are ranked by."""

    TOUCHPOINTS_30D = 0
    TOUCHPOINTS = 1
    DAYS_SINCE_LAST = 2
    DAYS_SINCE_FIRST = 3
    VALUE_SUM = 4


STANDINGS = len(Standing)


class Tally(IntEnum):
    """What is counted of the market, within the last 30 and the last 365 days."""

    TOUCHPOINTS_30D = 0
    TOUCHPOINTS_365D = 1
    CUSTOMERS_30D = 2
    CUSTOMERS_365D = 3
    NEWCOMERS_30D = 4
    NEWCOMERS_365D = 5
    CONVERTED_30D = 6
    CONVERTED_365D = 7


_OF_THE_MARKET = "of the customers seen in the last 365 days"
MARKET_FEATURES = (
    *(
        Feature(f"market: rank by {words}", "share", f"Share {_OF_THE_MARKET} with less; half of those with as much.")
        for words in (
            "touchpoints in 30 days",
            "touchpoints",
            "days since the last touchpoint",
            "days since the first touchpoint",
            "value",
        )
    ),
    Feature("market: unusual channels", "share", "Share of own touchpoints to move to have the market's channels."),
    Feature("market: unusual actions", "share", "Share of own touchpoints to move to have the market's actions."),
    Feature("market: touchpoints now", "ratio", "All touchpoints a day, last 30 days against last 365."),
    Feature("market: newcomers now", "ratio", "New customers a day, last 30 days against last 365."),
    Feature("market: conversion rate", "share", "Customers who converted in 365 days / customers seen in them."),
    Feature("market: conversion rate now", "ratio", "Conversion rate of the last 30 days / a month's share of 365."),
)


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


def survey_moments(as_of_us: Int64s, known_until_us: int) -> Int64s:
    """When to survey for rows of these moments: UTC midnights a whole number of days apart, and `known_until_us`."""
    first = int(as_of_us.min()) // DAY_US
    last = max(int(as_of_us.max()), known_until_us) // DAY_US
    step = max(1, -(-(last - first) // (MOST_MOMENTS - 1)))
    midnights = np.arange(first, last + 1, step, dtype=np.int64) * DAY_US
    return np.unique(np.append(midnights, max(known_until_us, int(midnights[-1]))))


def survey(log: EventLog, vocabulary: Vocabulary, journey: Journey, hidden: Bools, moments_us: Int64s) -> Market:
    """Survey the market of the log at each moment. A `hidden` touchpoint counts in no figure but the conversions."""
    market = _unsurveyed(np.unique(moments_us), vocabulary, journey)
    converting = evidence_rows([Evidence(actions=frozenset(journey.conversion.actions))], log)
    everybody = np.arange(len(log.customer_ids), dtype=np.int64)
    for i, moment_us in enumerate(market.moments_us):
        stage = stages_at(journey, log, everybody, np.full(len(everybody), moment_us, dtype=np.int64))
        _survey(
            log.offsets, log.occurred_us, log.known_us, hidden, converting, log.value, log.channel, log.action,
            vocabulary.codes(log), stage, moment_us,
            market.tallies[i], market.mix[i], market.stages[i], market.histograms[i],
        )  # fmt: skip
    return market


def no_market(vocabulary: Vocabulary, journey: Journey) -> Market:
    """A market that nobody has surveyed: every market feature is NaN."""
    return _unsurveyed(np.zeros(0, dtype=np.int64), vocabulary, journey)


def _unsurveyed(moments_us: Int64s, vocabulary: Vocabulary, journey: Journey) -> Market:
    n = len(moments_us)
    return Market(
        moments_us=moments_us,
        tallies=np.zeros((n, len(Tally)), dtype=np.int64),
        mix=np.zeros((n, len(vocabulary.kinds)), dtype=np.int64),
        stages=np.zeros((n, len(journey.stages)), dtype=np.int64),
        histograms=np.zeros((n, len(Standing), BINS), dtype=np.int64),
    )


def market_features(
    market: Market, log: EventLog, vocabulary: Vocabulary, hidden: Bools, customer: Int64s, as_of_us: Int64s
) -> Float32s:
    """The columns of `MARKET_FEATURES` for each row; `customer` is -1 for one without touchpoints. NaN where the market
    or the customer gives no answer, and all of a row before the first survey."""
    rows = np.full((len(customer), len(MARKET_FEATURES)), np.nan, dtype=np.float32)
    codes = vocabulary.codes(log)
    surveyed = np.searchsorted(market.moments_us, as_of_us, side="right") - 1
    _place(
        log.offsets, log.occurred_us, log.known_us, hidden, log.value, log.channel, log.action, codes,
        customer, as_of_us, surveyed, market.mix, market.histograms, rows,
    )  # fmt: skip
    rows[surveyed >= 0, len(Standing) + 2 :] = _trends(market)[surveyed[surveyed >= 0]]
    return rows


def _trends(market: Market) -> Floats:
    """What the market does as a whole at each moment, as ratios. Shape (moments, 4)."""
    tally: Floats = market.tallies.astype(np.float64)
    month = YEAR_DAYS / LATELY_DAYS
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = tally[:, Tally.CONVERTED_365D] / tally[:, Tally.CUSTOMERS_365D]
        trends: Floats = np.column_stack(
            [
                month * tally[:, Tally.TOUCHPOINTS_30D] / tally[:, Tally.TOUCHPOINTS_365D],
                month * tally[:, Tally.NEWCOMERS_30D] / tally[:, Tally.NEWCOMERS_365D],
                np.where(tally[:, Tally.CONVERTED_365D].max(initial=0) > 0, rate, np.nan),
                month * tally[:, Tally.CONVERTED_30D] / tally[:, Tally.CONVERTED_365D],
            ]
        )
    trends[~np.isfinite(trends)] = np.nan
    return trends


@njit(cache=True, inline="always")
def _bin(value: Any) -> Any:
    return min(BINS - 1, int(BINS_OF_AN_OCTAVE * np.log2(1.0 + max(value, 0.0))))


@njit(cache=True, nogil=True)
def _stand(
    occurred_us: Int64s, known_us: Int64s, hidden: Bools, value: Floats, start: int, end: int, now: int, bins: Int64s
) -> int:
    """Fill the bin of each standing of a customer, whose touchpoints are start:end. Returns how many were known."""
    seen, lately, first_us, last_us, worth = 0, 0, np.int64(0), np.int64(0), 0.0
    for i in range(start, end):
        if occurred_us[i] > now:
            break
        if hidden[i] or not is_known(known_us[i], now):
            continue
        if seen == 0:
            first_us = occurred_us[i]
        last_us = occurred_us[i]
        seen += 1
        lately += int(now - occurred_us[i] < LATELY_DAYS * DAY_US)
        if not np.isnan(value[i]):
            worth += value[i]
    if seen > 0:
        bins[Standing.TOUCHPOINTS_30D] = _bin(float(lately))
        bins[Standing.TOUCHPOINTS] = _bin(float(seen))
        bins[Standing.DAYS_SINCE_LAST] = _bin((now - last_us) / DAY_US * HOURS_OF_A_DAY)
        bins[Standing.DAYS_SINCE_FIRST] = _bin((now - first_us) / DAY_US * HOURS_OF_A_DAY)
        bins[Standing.VALUE_SUM] = _bin(worth)
    return seen


@njit(cache=True, nogil=True)
def _survey(
    offsets: Int64s,
    occurred_us: Int64s,
    known_us: Int64s,
    hidden: Bools,
    converting: Bools,
    value: Floats,
    channel: Int32s,
    action: Int32s,
    codes: KindCodes,
    stage: Any,
    now: int,
    tallies: Int64s,
    mix: Int64s,
    stages: Int64s,
    histograms: Int64s,
) -> None:
    bins = np.zeros(STANDINGS, dtype=np.int64)
    for customer in range(len(offsets) - 1):
        year, lately, converted_year, converted_lately = 0, 0, False, False
        first_us = now + 1
        for i in range(offsets[customer], offsets[customer + 1]):
            if occurred_us[i] > now:
                break
            if not is_known(known_us[i], now):
                continue
            age_us = now - occurred_us[i]
            if converting[i]:
                converted_year |= age_us < YEAR_DAYS * DAY_US
                converted_lately |= age_us < LATELY_DAYS * DAY_US
            if hidden[i]:
                continue
            first_us = min(first_us, occurred_us[i])
            if age_us < YEAR_DAYS * DAY_US:
                year += 1
                for kind in (codes.channel[channel[i]], codes.action[action[i]]):
                    if kind >= 0:
                        mix[kind] += 1
            lately += int(age_us < LATELY_DAYS * DAY_US)
        tallies[Tally.CONVERTED_30D] += int(converted_lately)
        tallies[Tally.CONVERTED_365D] += int(converted_year)
        if year == 0:
            continue
        tallies[Tally.TOUCHPOINTS_30D] += lately
        tallies[Tally.TOUCHPOINTS_365D] += year
        tallies[Tally.CUSTOMERS_30D] += int(lately > 0)
        tallies[Tally.CUSTOMERS_365D] += 1
        tallies[Tally.NEWCOMERS_30D] += int(now - first_us < LATELY_DAYS * DAY_US)
        tallies[Tally.NEWCOMERS_365D] += int(now - first_us < YEAR_DAYS * DAY_US)
        if stage[customer] >= 0:
            stages[stage[customer]] += 1
        _stand(occurred_us, known_us, hidden, value, offsets[customer], offsets[customer + 1], now, bins)
        for standing in range(len(bins)):
            histograms[standing, bins[standing]] += 1


@njit(cache=True, nogil=True)
def _place(
    offsets: Int64s,
    occurred_us: Int64s,
    known_us: Int64s,
    hidden: Bools,
    value: Floats,
    channel: Int32s,
    action: Int32s,
    codes: KindCodes,
    customer: Int64s,
    as_of_us: Int64s,
    surveyed: Int64s,
    mix: Int64s,
    histograms: Int64s,
    rows: Float32s,
) -> None:
    bins = np.zeros(STANDINGS, dtype=np.int64)
    own = np.zeros(mix.shape[1], dtype=np.int64)
    for row in range(len(customer)):
        if customer[row] < 0 or surveyed[row] < 0:
            continue
        start, end = offsets[customer[row]], offsets[customer[row] + 1]
        if _stand(occurred_us, known_us, hidden, value, start, end, as_of_us[row], bins) == 0:
            continue
        for standing in range(len(bins)):
            rows[row, standing] = _rank(histograms[surveyed[row], standing], bins[standing])
        own[:] = 0
        for i in range(start, end):
            if not hidden[i] and is_known(known_us[i], as_of_us[row]):
                for kind in (codes.channel[channel[i]], codes.action[action[i]]):
                    if kind >= 0:
                        own[kind] += 1
        rows[row, len(bins)] = _distance(own, mix[surveyed[row]], codes.channel_kinds)
        rows[row, len(bins) + 1] = _distance(own, mix[surveyed[row]], codes.action_kinds)


@njit(cache=True, nogil=True)
def _rank(histogram: Int64s, own: int) -> float:
    total = histogram.sum()
    return (histogram[:own].sum() + 0.5 * histogram[own]) / total if total > 0 else np.nan


@njit(cache=True, nogil=True)
def _distance(own: Int64s, mix: Int64s, kinds: Int32s) -> float:
    """The total variation between two mixes of these kinds."""
    owns, others = 0, 0
    for kind in kinds:
        owns += own[kind]
        others += mix[kind]
    if owns == 0 or others == 0:
        return np.nan
    distance = 0.0
    for kind in kinds:
        distance += abs(own[kind] / owns - mix[kind] / others)
    return 0.5 * distance
