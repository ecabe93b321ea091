"""The points of curves that show how good forecasts are, counted from probabilities and outcomes.

Rows of one probability belong together: no curve depends on the order of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from features.event_log import Bools, Floats, Int64s

BINS: Final = 10
Z95: Final = 1.959964  # half the width of a 95 % interval, in standard errors
# Log-odds from 1 in 3,000 to as much on the other side, in steps of a half.
LOG_ODDS_EDGES: Final = np.arange(-8.0, 8.5, 0.5)


class Rate(NamedTuple):
    """A mean forecast beside what was observed, with its 95 % interval and how many rows and persons it rests on."""

    forecast: float
    observed: float
    low: float
    high: float
    rows: int
    persons: int


def observed_rate(probability: Floats, converted: Bools, person: Sequence[str]) -> Rate:
    """Mean forecast and observed rate of rows, at least one.

    The interval is Wilson's (1927; Brown, Cai and DasGupta 2001, Statistical Science 16(2)) with each person counted
    once, however many rows of a person there are: their outcomes resemble each other.
    """
    observed, persons = float(converted.mean()), len(set(person))
    low, high = wilson(observed, persons)
    return Rate(float(probability.mean()), observed, low, high, len(converted), persons)


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share among `n`."""
    spread = Z95**2 / n
    middle = (share + spread / 2) / (1 + spread)
    half = Z95 / (1 + spread) * float(np.sqrt(share * (1 - share) / n + spread / (4 * n)))
    return max(0.0, middle - half), min(1.0, middle + half)


def calibration_bins(probability: Floats, converted: Bools, person: Sequence[str], bins: int = BINS) -> list[Rate]:
    """The rows in bins of about equal count by rising probability."""
    _, value, count = np.unique(probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - count / 2  # of each value among the sorted rows
    of_row = np.minimum((middle / len(probability) * bins).astype(np.int64), bins - 1)[value]
    names = np.asarray(person)
    parts = [np.flatnonzero(of_row == part) for part in np.unique(of_row)]
    return [observed_rate(probability[rows], converted[rows], names[rows].tolist()) for rows in parts]


def gain_points(probability: Floats, converted: Bools) -> Floats:
    """Share of the rows, likeliest first, and share of the conversions among them, from (0, 0) to (1, 1).

    Shape (points, 2). On the straight line between two points lie rows of one probability, in no order.
    """
    found, asked = _from_the_top(probability, converted)
    return np.column_stack([asked / asked[-1], found / max(found[-1], 1)])


def lift_points(gain: Floats, shares: Floats) -> Floats:
    """How many times as many conversions as among all the rows: of the likeliest `shares`, in (0, 1]."""
    lift: Floats = np.interp(shares, gain[:, 0], gain[:, 1]) / shares
    return np.column_stack([shares, lift])


def precision_recall_points(probability: Floats, converted: Bools) -> Floats:
    """Recall and precision of calling the likeliest rows conversions, one point a probability, fewest rows first.

    Shape (points, 2).
    """
    found, asked = _from_the_top(probability, converted)
    return np.column_stack([found / max(found[-1], 1), found / np.maximum(asked, 1)])[1:]


def score_counts(probability: Floats, converted: Bools) -> Int64s:
    """How many rows have their log-odds between two of LOG_ODDS_EDGES: without and with a conversion.

    Shape (bins, 2); what lies beyond the edges counts in the outermost bins.
    """
    with np.errstate(divide="ignore"):
        log_odds = np.clip(logit(probability), LOG_ODDS_EDGES[0], LOG_ODDS_EDGES[-1])
    return np.column_stack([np.histogram(log_odds[converted == came], LOG_ODDS_EDGES)[0] for came in (False, True)])


def confusion(stage: NDArray[np.integer[Any]], decided: Int64s, n_stages: int) -> Int64s:
    """How many rows of each true stage (line) were given each stage (column). Shape (n_stages, n_stages)."""
    counts = np.zeros((n_stages, n_stages), dtype=np.int64)
    np.add.at(counts, (stage, decided), 1)
    return counts


def accuracy_by_coverage(confidence: Floats, is_right: Bools) -> Floats:
    """Share of the rows answered, surest first, and share of right ones among them. Shape (points, 2).

    The complement of the risk-coverage curve of selective classification (El-Yaniv and Wiener 2010, JMLR 11).
    """
    right, answered = _from_the_top(confidence, is_right)
    return np.column_stack([answered / answered[-1], right / np.maximum(answered, 1)])[1:]


def _from_the_top(score: Floats, counted: Bools) -> tuple[Floats, Floats]:
    """Counted rows and all rows down to each distinct score, highest first, from none on."""
    _, value = np.unique(-score, return_inverse=True)
    rows = np.bincount(value)
    of_them = np.bincount(value, weights=counted, minlength=len(rows))
    return np.concatenate([[0.0], np.cumsum(of_them)]), np.concatenate([[0.0], np.cumsum(rows)])
