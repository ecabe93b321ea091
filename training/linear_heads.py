"""A linear head learnt: ridge regression on the classes, put on the log-odds scale out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve

from features.aggregate import Float32s
from features.event_log import Bools, Floats
from models.calibration import Sigmoid, fit_sigmoid
from models.linear_head import LinearHead
from training.split import FOLDS

LEAST_OF_EACH = 20  # rows of a class; fewer teach nothing
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)  # in units of the mean variance of the columns times the rows

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class _Moments:
    """Sums over some rows, which add and subtract: one pass over the rows serves every fold and penalty."""

    rows: int
    x: Floats
    y: Floats
    xx: Floats
    xy: Floats

    def without(self, other: _Moments) -> _Moments:
        return _Moments(
            self.rows - other.rows, self.x - other.x, self.y - other.y, self.xx - other.xx, self.xy - other.xy
        )


def learn_linear_head(
    inputs: Float32s, known: Bools, wanted: Bools, folds: Codes, penalties: Sequence[float] | None = None
) -> tuple[LinearHead, Floats] | None:
    """The head fitted on all known rows, and the log-odds of every row by heads that never saw its person.

    `wanted` (rows, outputs) says which outputs hold for a row, `known` (rows,) for which rows that is known. The
    penalty is the one of `penalties` (None: the usual ones) with the least squared error out of fold. An output that
    holds, or does not hold, in fewer than 20 rows that are not all zeros keeps its usual log-odds. None where that is
    every output, or where one fold holds all the rows.

    Source: Hoerl and Kennard, "Ridge regression" (1970), put on the log-odds scale as in Platt (1999).
    """
    penalties = PENALTIES if penalties is None else penalties
    said = np.any(inputs, axis=1)
    usable = said & known
    of_each = np.stack([wanted[usable].sum(axis=0), (~wanted[usable]).sum(axis=0)])
    telling = of_each.min(axis=0) >= LEAST_OF_EACH
    if not telling.any() or len(np.unique(folds[usable])) < 2:
        return None
    targets = wanted.astype(np.float64)
    of_fold = [usable & (folds == fold) for fold in range(FOLDS)]
    parts = [_moments(inputs[rows], targets[rows]) for rows in of_fold]
    whole = _sum(parts)
    heads = [[_solve(whole.without(part), penalty) for part in parts] for penalty in penalties]
    outputs = [_out_of_fold(inputs, folds, of_folds) for of_folds in heads]
    best = int(np.argmin([np.mean((out - targets)[usable] ** 2) for out in outputs]))
    usual = usual_log_odds(targets[usable])
    sigmoids = [
        fit_sigmoid(outputs[best][usable, k], wanted[usable, k]) if telling[k] else Sigmoid(0.0, usual[k])
        for k in range(wanted.shape[1])
    ]
    silent = usual_log_odds(targets[known & ~said])
    log_odds = np.stack([sigmoid.log_odds(outputs[best][:, k]) for k, sigmoid in enumerate(sigmoids)], axis=1)
    return _scaled(_solve(whole, penalties[best]), sigmoids, silent), np.where(said[:, None], log_odds, silent)


def usual_log_odds(wanted: Floats | Bools) -> Floats:
    """Log-odds of each output (rows, outputs) by how many rows have it; none says nothing, few say little."""
    yes = wanted.sum(axis=0) + 1  # the rule of succession: no rows say nothing, and few say little
    log_odds: Floats = np.log(yes / (len(wanted) + 2 - yes))
    return log_odds


def _scaled(head: LinearHead, sigmoids: list[Sigmoid], silent: Floats) -> LinearHead:
    slopes, intercepts = np.array([s.slope for s in sigmoids]), np.array([s.intercept for s in sigmoids])
    return LinearHead(head.weights * slopes[:, None], head.intercepts * slopes + intercepts, silent)


def _moments(inputs: Float32s, wanted: Floats) -> _Moments:
    x = inputs.astype(np.float64)
    return _Moments(len(x), x.sum(axis=0), wanted.sum(axis=0), x.T @ x, x.T @ wanted)


def _sum(parts: list[_Moments]) -> _Moments:
    sums = (sum(getattr(part, name) for part in parts) for name in ("rows", "x", "y", "xx", "xy"))
    return _Moments(*sums)


def _solve(moments: _Moments, penalty: float) -> LinearHead:
    mean_x, mean_y = moments.x / moments.rows, moments.y / moments.rows
    covariance = moments.xx - moments.rows * np.outer(mean_x, mean_x)
    ridge = penalty * np.trace(covariance) / len(covariance) + 1e-9
    covariance[np.diag_indices_from(covariance)] += ridge
    weights = solve(covariance, moments.xy - moments.rows * np.outer(mean_x, mean_y), assume_a="pos")
    return LinearHead(np.ascontiguousarray(weights.T), mean_y - mean_x @ weights, np.zeros_like(mean_y))


def _out_of_fold(inputs: Float32s, folds: Codes, heads: list[LinearHead]) -> Floats:
    outputs = np.empty((len(inputs), len(heads[0].intercepts)))
    for fold, head in enumerate(heads):
        outputs[folds == fold] = head.log_odds(inputs[folds == fold])
    return outputs
