"""How sure a probability is: Venn-Abers intervals and conformal sets of stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.event_log import Bools, Floats, Int64s

GRID_POINTS = 201
RATE_COVERAGE = 0.9  # how often the interval of a rate holds the rate that many more rows would have


@dataclass(frozen=True)
class VennAbers:
    """Lower and upper calibrated probability on a grid of scores, all of shape (grid points,) and rising."""

    score: Floats
    low: Floats
    high: Floats

    def interval(self, probability: Floats) -> tuple[Floats, Floats]:
        """Lower and upper bound for each probability, widened where needed to contain it."""
        low = np.interp(probability, self.score, self.low)
        high = np.interp(probability, self.score, self.high)
        return np.minimum(low, probability), np.maximum(high, probability)


def fit_venn_abers(probability: Floats, happened: Bools) -> VennAbers:
    """Tabulate inductive Venn-Abers predictors from out-of-fold probabilities and what happened.

    At each grid score the isotonic fit is made twice, with the asked row taken as "no" and as "yes". Source: Vovk and
    Petej, "Venn-Abers predictors" (2014).
    """
    score, place, rows = np.unique(probability, return_inverse=True, return_counts=True)
    yes = np.bincount(place, weights=happened, minlength=len(score)).astype(np.float64)
    grid = np.unique(np.quantile(probability, np.linspace(0, 1, GRID_POINTS), method="closest_observation"))
    asked = np.searchsorted(score, grid)
    bounds = np.array([[_fitted_at(yes, rows, at, label) for label in (0.0, 1.0)] for at in asked])
    return VennAbers(grid, np.maximum.accumulate(bounds[:, 0]), np.maximum.accumulate(bounds[:, 1]))


def fit_intervals(probability: Floats, happened: Bools) -> VennAbers:
    """Venn-Abers bounds, but no closer than chance allows: the rate of those scored alike is known from so many rows.

    Those scored alike are a step of the isotonic fit; how far their own rate may be from the true one is Wilson's
    interval (1927). With a handful of rows Venn-Abers bounds lie closer: they only say what one row more would change.
    """
    from scipy.optimize import isotonic_regression  # as below

    fitted = fit_venn_abers(probability, happened)
    score, place, rows = np.unique(probability, return_inverse=True, return_counts=True)
    yes = np.bincount(place, weights=happened, minlength=len(score))
    steps = isotonic_regression(yes / rows, weights=rows)
    step = np.searchsorted(steps.blocks, np.searchsorted(score, fitted.score), side="right") - 1
    low, high = _wilson(steps.x[steps.blocks[step]], steps.weights[step])
    # Rates rise with the score: what bounds a long step below bounds a short one above, and the other way round.
    low, high = np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]
    return VennAbers(fitted.score, np.minimum(fitted.low, low), np.maximum(fitted.high, high))


def _wilson(rate: Floats, rows: Floats) -> tuple[Floats, Floats]:
    from statistics import NormalDist

    z = NormalDist().inv_cdf((1 + RATE_COVERAGE) / 2)
    centre = (rate + z * z / (2 * rows)) / (1 + z * z / rows)
    reach = z * np.sqrt(rate * (1 - rate) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return centre - reach, centre + reach


def _fitted_at(yes: Floats, rows: Int64s, at: int, label: float) -> float:
    """The isotonic fit at the `at`-th distinct score, with one more row of that score and this outcome."""
    from scipy.optimize import isotonic_regression  # most of a second, which scoring need not pay

    more = np.arange(len(rows)) == at
    weights = rows + more
    return float(isotonic_regression((yes + label * more) / weights, weights=weights).x[at])


def fit_stage_thresholds(probabilities: Floats, stage: Int64s, is_named: Bools, coverage: float) -> Floats:
    """The least probability at which each class still belongs in the plausible set. Shape (classes,).

    `is_named` (rows, classes) marks the classes that are in a row's set whatever their probability. Within each class
    `coverage` of the rows stay above the threshold or are named (class-conditional conformal prediction: Sadinle, Lei
    and Wasserman, "Least ambiguous set-valued classifiers", 2019). It is infinite where naming is enough; a class
    without rows gets 0: it is always plausible.
    """
    scores = np.where(is_named, np.inf, probabilities)
    return np.array([_least(scores[stage == k, k], coverage) for k in range(probabilities.shape[1])])


def _least(own: Floats, coverage: float) -> float:
    # The finite-sample correction of split conformal prediction; 1 - 0.9 is a little less than a tenth.
    rank = int(np.floor((1 - coverage) * (len(own) + 1) + 1e-9))
    return float(np.sort(own)[rank - 1]) if rank >= 1 else 0.0
