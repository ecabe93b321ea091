"""When not to trust a score: reason codes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.event_log import Bools, Floats, Int64s

LITTLE_DATA_TOUCHPOINTS = 3  # fewer than this
STALE_TIMES_OWN_GAP = 10.0
STALE_LEAST_DAYS = 90.0
UNHEARD_OF_SHARE = 0.5
OUTER_SHARE = 0.001  # of training rows beyond each edge of a column's usual range
UNUSUAL_SHARE = 0.005  # of training rows that are called unusual
EARLIER_SHARE = 2 / 3  # of training rows, by as_of, whose ranges the later ones are held against


class Reliability(StrEnum):
    """Why a score deserves doubt; the first that applies, in this order."""

    NO_DATA = "no_data"
    UNKNOWN_VOCABULARY = "unknown_vocabulary"
    UNUSUAL = "unusual"
    LITTLE_DATA = "little_data"
    STALE = "stale"
    STAGE_BY_EXAMPLES = "stage_by_examples"
    OK = "ok"


@dataclass(frozen=True)
class History:
    """What reliability is judged by, one value a row: shape (rows,) each; NaN where it does not exist."""

    touchpoints: Floats
    days_since_last: Floats
    mean_gap_days: Floats
    unheard_of_share: Floats


@dataclass(frozen=True)
class UsualRange:
    """The range of each column in training, and how many columns a usual row may have outside it."""

    columns: Int64s
    low: Floats
    high: Floats
    most_outside: int

    def unusual(self, features: Float32s) -> Bools:
        """Rows with more columns outside their usual range than training rows had. Shape (rows,)."""
        return self.outside(features) > self.most_outside

    def outside(self, features: Float32s) -> Int64s:
        """How many columns lie outside their usual range. Shape (rows,)."""
        outside = np.empty(len(features), dtype=np.int64)
        _count_outside(features, self.columns, self.low, self.high, outside)
        return outside


def learn_usual_range(features: Float32s, columns: Int64s, as_of_us: Int64s) -> UsualRange:
    """Learn from training rows what is usual, so that later rows are not unusual for being later.

    features (rows, all columns); as_of_us (rows,), microseconds since 1970. The later third of the rows is held against
    the ranges of the earlier ones: a column that drifts out of them, as tenure does where the record has a first day,
    is left out, and a row may have as many columns outside as is usual in either.
    """
    earlier = as_of_us <= np.quantile(as_of_us, EARLIER_SHARE, method="inverted_cdf")
    before, later = features[earlier], features[earlier if earlier.all() else ~earlier]
    by_chance = 2 / (len(before) + 1)  # beyond the least and the greatest of so many
    lasting = columns[_shares_outside(later, _ranges(before, columns)) <= max(UNUSUAL_SHARE, by_chance)]
    usual = _ranges(features, lasting)
    counts = usual.outside(features), _ranges(before, lasting).outside(later)
    most = [int(np.quantile(outside, 1 - UNUSUAL_SHARE, method="higher")) for outside in counts]
    return replace(usual, most_outside=max(most))


def _ranges(features: Float32s, columns: Int64s) -> UsualRange:
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # nothing is outside the range of no value
        low, high = np.nanquantile(
            features[:, columns], [OUTER_SHARE, 1 - OUTER_SHARE], axis=0, method="closest_observation"
        )
    return UsualRange(columns, low.astype(np.float64), high.astype(np.float64), 0)


def _shares_outside(features: Float32s, usual: UsualRange) -> Floats:
    """Share of the rows beyond each column's range. Shape (columns,)."""
    values = features[:, usual.columns]
    shares: Floats = np.mean((values < usual.low) | (values > usual.high), axis=0)
    return shares


@njit(cache=True, nogil=True)
def _count_outside(features: Float32s, columns: Int64s, low: Floats, high: Floats, outside: Int64s) -> None:
    for row in range(len(features)):
        beyond = 0
        for k in range(len(columns)):
            value = np.float64(features[row, columns[k]])
            beyond += (value < low[k]) | (value > high[k])  # NaN is never outside
        outside[row] = beyond


def judge_reliability(history: History, unusual: Bools, stage_by_examples: bool = False) -> list[Reliability]:
    """One code a row: the first of `Reliability` that applies. `stage_by_examples`: no label has taught the stage."""
    stale = (history.days_since_last > STALE_LEAST_DAYS) & ~(
        history.days_since_last <= STALE_TIMES_OWN_GAP * history.mean_gap_days
    )
    conditions = [
        history.touchpoints == 0,
        history.unheard_of_share > UNHEARD_OF_SHARE,
        unusual,
        history.touchpoints < LITTLE_DATA_TOUCHPOINTS,
        stale,
        np.full(len(unusual), stage_by_examples),
    ]
    codes = list(Reliability)
    place = np.full(len(unusual), len(conditions))
    for code in reversed(range(len(conditions))):
        place[conditions[code]] = code
    return [codes[code] for code in place]
