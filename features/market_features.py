"""Where a customer stands in the market, as feature columns; and what the market does as a whole, in figures.

What the market does as a whole is no column: it is the same for all at a moment and tells a model the date, and with it
what came of the others of that date. Measured, it made later forecasts worse (docs/adr/0010-the-market-at-a-moment.md).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.catalog import Feature
from features.event_log import Bools, EventLog, Floats, Int32s, Int64s, is_known
from features.market import (
    HOUR_US,
    LATELY_DAYS,
    LATELY_US,
    YEAR_DAYS,
    Market,
    Standing,
    Tally,
    Touchpoints,
    bin_of,
    touchpoints_of,
)
from features.vocabulary import Vocabulary

STANDINGS = len(Standing)
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
)


def market_features(
    market: Market, log: EventLog, vocabulary: Vocabulary, hidden: Bools, customer: Int64s, as_of_us: Int64s
) -> Float32s:
    """The columns of `MARKET_FEATURES` for each row; `customer` is -1 for one without touchpoints. NaN where the market
    or the customer gives no answer, and all of a row before the first survey."""
    rows = np.full((len(customer), len(MARKET_FEATURES)), np.nan, dtype=np.float32)
    surveyed = np.searchsorted(market.moments_us, as_of_us, side="right") - 1
    _place(touchpoints_of(log, vocabulary, hidden), customer, as_of_us, surveyed, market.mix, market.histograms, rows)
    return rows


def market_trends(market: Market) -> Floats:
    """What the market does as a whole at each moment. Shape (moments, 4).

    Touchpoints and newcomers a day, last 30 days against last 365; customers who converted in 365 days / customers seen
    in them; those who converted a day, last 30 days against last 365.
    """
    tally: Floats = market.tallies.astype(np.float64)
    month = YEAR_DAYS / LATELY_DAYS
    with np.errstate(divide="ignore", invalid="ignore"):
        trends: Floats = np.column_stack(
            [
                month * tally[:, Tally.TOUCHPOINTS_30D] / tally[:, Tally.TOUCHPOINTS_365D],
                month * tally[:, Tally.NEWCOMERS_30D] / tally[:, Tally.NEWCOMERS_365D],
                tally[:, Tally.CONVERTED_365D] / tally[:, Tally.CUSTOMERS_365D],
                month * tally[:, Tally.CONVERTED_30D] / tally[:, Tally.CONVERTED_365D],
            ]
        )
    return trends  # 0 of 0 is NaN, and nothing is divided by 0 that counts a part of it


@njit(cache=True, nogil=True)
def _place(
    log: Touchpoints,
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
        if customer[row] >= 0 and surveyed[row] >= 0 and _stand(log, customer[row], as_of_us[row], bins, own):
            for standing in range(STANDINGS):
                rows[row, standing] = _rank(histograms[surveyed[row], standing], bins[standing])
            rows[row, STANDINGS] = _distance(own, mix[surveyed[row]], log.codes.channel_kinds)
            rows[row, STANDINGS + 1] = _distance(own, mix[surveyed[row]], log.codes.action_kinds)


@njit(cache=True, nogil=True)
def _stand(log: Touchpoints, customer: int, now: int, bins: Int64s, own: Int64s) -> bool:
    """Fill the bin of each standing of a customer, and how many touchpoints of each kind. Whether any is known."""
    seen, lately, first_us, last_us, value_sum = 0, 0, np.int64(0), np.int64(0), 0.0
    own[:] = 0
    for i in range(log.offsets[customer], log.offsets[customer + 1]):
        if log.hidden[i] or not is_known(log.known_us[i], now):
            continue
        first_us = log.occurred_us[i] if seen == 0 else first_us
        last_us = log.occurred_us[i]
        seen += 1
        lately += int(now - last_us < LATELY_US)
        value_sum += 0.0 if np.isnan(log.value[i]) else log.value[i]
        _count_kinds(log, i, own)
    bins[Standing.TOUCHPOINTS_30D] = bin_of(float(lately))
    bins[Standing.TOUCHPOINTS] = bin_of(float(seen))
    bins[Standing.HOURS_SINCE_LAST] = bin_of((now - last_us) / HOUR_US)
    bins[Standing.HOURS_SINCE_FIRST] = bin_of((now - first_us) / HOUR_US)
    bins[Standing.VALUE_SUM] = bin_of(value_sum)
    return seen > 0


@njit(cache=True, nogil=True)
def _count_kinds(log: Touchpoints, i: int, own: Int64s) -> None:
    for kind in (log.codes.channel[log.channel[i]], log.codes.action[log.action[i]]):
        if kind >= 0:
            own[kind] += 1


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
