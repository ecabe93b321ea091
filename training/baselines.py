"""What any model has to beat: the classes' shares, and the days since the last touchpoint alone.

Each function fits on training rows and answers for other rows in one call; nothing fitted is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Stages = NDArray[np.integer[Any]]


def prevalence(train_converted: Bools, n: int) -> Floats:
    """The share of training rows that converted, for each of `n` rows: float64[n]."""
    return stage_prevalence(train_converted.astype(np.int64), 2, n)[:, 1]


def stage_prevalence(train_stage: Stages, n_stages: int, n: int) -> Floats:
    """The share of each stage (int[m], from 0) among the training rows, for each of `n` rows: float64[n, n_stages]."""
    if not len(train_stage):
        raise ValueError("there are no training rows to take shares of")
    shares = np.bincount(train_stage, minlength=n_stages) / len(train_stage)
    return np.tile(shares, (n, 1))


def recency(train_days: Floats, train_converted: Bools, days: Floats) -> Floats:
    """Conversion probability from the days since the last touchpoint alone: float64[n].

    A logistic regression on log(1 + days), standardised on the training rows. `train_days` (float64[m]) and `days`
    (float64[n]) are ≥ 0, or NaN where there is no touchpoint, which is a feature of its own. Count the touchpoints that
    the customer made: days since any would be 0 for everyone where rows are taken at a mailing. Training rows of one
    class give that class's share.
    """
    return stage_recency(train_days, train_converted.astype(np.int64), 2, days)[:, 1]


def stage_recency(train_days: Floats, train_stage: Stages, n_stages: int, days: Floats) -> Floats:
    """Stage probabilities from the days since the last touchpoint alone: float64[n, n_stages].

    As `recency`, with a multinomial logistic regression; a stage that no training row has gets probability 0.
    """
    if len(np.unique(train_stage)) < 2:
        return stage_prevalence(train_stage, n_stages, len(days))
    train_log_days, log_days = _log_days(train_days), _log_days(days)
    mean, deviation = _centre_and_scale(train_log_days)
    model = LogisticRegression().fit(_features(train_log_days, mean, deviation), train_stage)
    probabilities = np.zeros((len(days), n_stages))
    if len(days):
        probabilities[:, model.classes_] = model.predict_proba(_features(log_days, mean, deviation))
    return probabilities


def _log_days(days: Floats) -> Floats:
    if wrong := int(((days < 0) | np.isinf(days)).sum()):
        raise ValueError(f"{wrong} of {len(days)} rows have negative or infinite days since the last touchpoint")
    return np.log1p(days)


def _centre_and_scale(log_days: Floats) -> tuple[float, float]:
    known = log_days[~np.isnan(log_days)]
    if not len(known):
        return 0.0, 1.0
    return float(known.mean()), float(known.std()) if np.ptp(known) else 1.0


def _features(log_days: Floats, mean: float, deviation: float) -> Floats:
    missing = np.isnan(log_days)
    return np.column_stack([np.where(missing, 0.0, (log_days - mean) / deviation), missing])
