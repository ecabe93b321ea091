"""Making probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_softmax

from features.event_log import Bools, Floats, Int64s


@dataclass(frozen=True)
class Sigmoid:
    """Platt's calibration: log-odds = slope * raw score + intercept."""

    slope: float
    intercept: float

    def log_odds(self, raw: Floats) -> Floats:
        """Calibrated log-odds, same shape as `raw`."""
        return self.slope * raw + self.intercept


def fit_sigmoid(raw: Floats, happened: Bools) -> Sigmoid:
    """Fit slope and intercept on raw scores that were predicted out of fold.

    Targets are smoothed as in Platt (1999), "Probabilistic outputs for support vector machines", so that a handful of
    positives cannot drive the slope to infinity.
    """
    positives, negatives = int(happened.sum()), int((~happened).sum())
    target = np.where(happened, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(line: Floats) -> tuple[float, Floats]:
        log_odds = line[0] * raw + line[1]
        error = expit(log_odds) - target
        value = float(np.mean(np.logaddexp(0.0, log_odds) - target * log_odds))
        return value, np.array([np.mean(error * raw), np.mean(error)])

    from scipy.optimize import minimize  # most of a second, which scoring need not pay

    slope, intercept = minimize(
        loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)]
    ).x
    return Sigmoid(float(slope), float(intercept))


def fit_temperature(raw: Floats, stage: Int64s) -> float:
    """The factor on raw class scores that gives out-of-fold rows the least log loss.

    Source: Guo et al., "On calibration of modern neural networks" (2017). `raw` has shape (rows, classes).
    """
    rows = np.arange(len(stage))

    def loss(log_factor: float) -> float:
        return -float(np.mean(log_softmax(raw * np.exp(log_factor), axis=1)[rows, stage]))

    from scipy.optimize import minimize_scalar  # as above

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))
