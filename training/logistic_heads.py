"""A linear head learnt for one output: ridge logistic regression, the penalty chosen out of fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from features.aggregate import Float32s
from features.event_log import Bools, Floats
from models.linear_head import LinearHead
from training.linear_heads import LEAST_OF_EACH, PENALTIES, usual_log_odds
from training.split import FOLDS

Codes = npt.NDArray[np.int8]


def learn_logistic_head(
    inputs: Float32s, known: Bools, wanted: Bools, folds: Codes
) -> tuple[LinearHead, Floats] | None:
    """As `learn_linear_head` with the one output `wanted` (rows,); the log-odds have the shape (rows,).

    Where conversions are rare, squares weigh the many rows that are surely none as much as those in doubt; a logistic
    loss does not. Penalties fall from the greatest until the log loss out of fold rises; at the usual rate each is as
    strong as that of the ridge regression. None also where all conversions, or all others, are in one fold.

    Source: le Cessie and van Houwelingen, "Ridge estimators in logistic regression" (1992).
    """
    said = np.any(inputs, axis=1)
    usable = said & known
    of_folds = [np.bincount(wanted[usable & (folds != fold)], minlength=2) for fold in range(FOLDS)]
    if min(wanted[usable].sum(), (~wanted[usable]).sum()) < LEAST_OF_EACH or min(map(min, of_folds)) == 0:
        return None
    x, rate = inputs.astype(np.float64), wanted[usable].mean()
    unit = float(rate * (1 - rate) * x[usable].var(axis=0).mean())  # of curvature, a row
    lines: list[Any] = [_line() for _ in range(FOLDS)]
    least, best, log_odds = np.inf, PENALTIES[-1], np.zeros(len(x))
    for penalty in sorted(PENALTIES, reverse=True):
        told = np.zeros(len(x))
        for fold, line in enumerate(lines):
            inside, outside = usable & (folds != fold), folds == fold
            _fit(line, x[inside], wanted[inside], penalty * unit)
            if outside.any():
                told[outside] = line.decision_function(x[outside])
        loss = float(np.mean(np.logaddexp(0.0, told[usable]) - wanted[usable] * told[usable]))
        if loss >= least:
            break
        least, best, log_odds = loss, penalty, told
    whole = _fit(_line(), x[usable], wanted[usable], best * unit)
    silent = usual_log_odds(wanted[known & ~said][:, None])
    return LinearHead(whole.coef_, whole.intercept_, silent), np.where(said, log_odds, silent[0])


def _line() -> Any:
    return LogisticRegression(solver="newton-cholesky", warm_start=True)


def _fit(line: Any, x: Floats, wanted: Bools, penalty_a_row: float) -> Any:
    return line.set_params(C=1 / (penalty_a_row * len(x))).fit(x, wanted)
