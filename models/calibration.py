"""Making probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.event_log import Bools, Floats, Int64s

PRIOR_INFORMATION = 50.0  # in rows * p * (1 - p)
FARTHEST = 20.0  # log-odds: from one in a million to nearly all
SUREST = 40.0  # log-odds of a score one deviation from the mean: the search must not run to infinity


@dataclass(frozen=True)
class Sigmoid:
    """Platt's calibration: log-odds = slope * raw score + intercept."""

    slope: float
    intercept: float

    def log_odds(self, raw: Floats) -> Floats:
        """Calibrated log-odds, same shape as `raw`."""
        return self.slope * raw + self.intercept


@dataclass(frozen=True)
class Blend:
    """Several raw scores become one calibrated score: log-odds = weights * scores + intercept, no weight below 0."""

    weights: tuple[float, ...]
    intercept: float

    def log_odds(self, raw: Floats) -> Floats:
        """Calibrated log-odds of `raw` (rows, scores). Shape (rows,)."""
        total = np.full(len(raw), self.intercept)
        for score, weight in enumerate(self.weights):  # not BLAS: a row must not depend on its neighbours
            total += weight * raw[:, score]
        return total

    def moved(self, shift: float) -> Blend:
        """The same, with `shift` added to every log-odds."""
        return Blend(self.weights, self.intercept + shift)


def sigmoid(log_odds: Floats) -> Floats:
    """The probability of log-odds, same shape. Not SciPy's: importing that takes half a second."""
    return np.exp(-np.logaddexp(0.0, -log_odds))


def softmax(scores: Floats) -> Floats:
    """Probabilities that sum to 1 along the last axis, same shape."""
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def fit_sigmoid(raw: Floats, happened: Bools) -> Sigmoid:
    """Fit slope and intercept on raw scores that were predicted out of fold."""
    blend = fit_blend(raw[:, None], happened)
    return Sigmoid(blend.weights[0], blend.intercept)


def fit_shift(log_odds: Floats, happened: Bools) -> float:
    """What to add to log-odds that were predicted out of fold so that their mean is right where they were not fitted.

    Only the intercept is renewed, as in King and Zeng, "Logistic regression in rare events data" (2001). It is drawn
    towards 0 by a prior that is worth 200 rows of even chances, so that few rows move it little.
    """
    from scipy.optimize import brentq  # most of a second, which scoring need not pay

    def missing(shift: float) -> float:
        return float((happened - sigmoid(log_odds + shift)).sum()) - PRIOR_INFORMATION * shift

    return float(brentq(missing, -FARTHEST, FARTHEST))


def fit_blend(raw: Floats, happened: Bools) -> Blend:
    """Fit the weights on raw scores (rows, scores) that were predicted out of fold.

    Targets are smoothed as in Platt (1999), "Probabilistic outputs for support vector machines", so that a handful of
    positives cannot drive a weight to infinity; weights are kept from below 0 as in Breiman (1996), "Stacked
    regressions", so that no score is read against its sense.
    """
    positives, negatives = int(happened.sum()), int((~happened).sum())
    target = np.where(happened, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    centre, scale = raw.mean(axis=0), raw.std(axis=0)
    varies = scale > 1e-9 * (1.0 + np.abs(centre))  # the deviation of a constant is seldom exactly 0
    scaled = np.where(varies, raw - centre, 0.0) / np.where(varies, scale, 1.0)

    def loss(line: Floats) -> tuple[float, Floats]:
        log_odds = scaled @ line[:-1] + line[-1]
        error = sigmoid(log_odds) - target
        value = float(np.mean(np.logaddexp(0.0, log_odds) - target * log_odds))
        return value, np.append(error @ scaled / len(error), error.mean())

    from scipy.optimize import minimize  # most of a second, which scoring need not pay

    start = np.append(np.full(raw.shape[1], 1.0 / max(raw.shape[1], 1)), 0.0)
    bounds = [(0.0, SUREST)] * raw.shape[1] + [(-SUREST, SUREST)]
    line = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = np.where(varies, line[:-1] / np.where(varies, scale, 1.0), 0.0)
    return Blend(tuple(weights.tolist()), float(line[-1] - weights @ centre))


def fit_class_blend(raw: Floats, stage: Int64s) -> Floats:
    """One factor, not below 0, on each source of class scores; their sum gives out-of-fold rows the least log loss.

    `raw` has shape (sources, rows, classes); a source of zeros has the factor 0. With one source it is the temperature
    of Guo et al., "On calibration of modern neural networks" (2017).
    """
    rows = np.arange(len(stage))

    def loss(factors: Floats) -> tuple[float, Floats]:
        log_chances = log_softmax(np.tensordot(factors, raw, axes=1), axis=1)
        error = np.exp(log_chances)
        error[rows, stage] -= 1.0
        return -float(log_chances[rows, stage].mean()), np.tensordot(raw, error, axes=2) / len(stage)

    from scipy.optimize import minimize  # as above
    from scipy.special import log_softmax

    tells = np.any(raw, axis=(1, 2))
    factors: Floats = minimize(loss, tells / len(raw), jac=True, method="L-BFGS-B", bounds=[(0.0, 20.0)] * len(raw)).x
    return factors
