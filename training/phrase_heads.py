"""A phrase head learnt from weighed phrases: logistic regression, put on the log-odds scale out of fold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from features.aggregate import Float32s
from features.event_log import Bools, Floats
from features.phrases import N_VIEWS, PhraseRows
from models.calibration import Sigmoid, fit_sigmoid
from models.phrase_head import PhraseHead
from training.linear_heads import LEAST_OF_EACH, usual_log_odds
from training.split import FOLDS

STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # scikit-learn's C, rising: each fit starts from the one before
TOLERANCE = 1e-4
MOST_ITERATIONS = 1_000
WHOLE = -1  # the fold that leaves nothing out

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class _Line:
    """What one fit has found for one output."""

    weights: Floats
    intercept: float


@dataclass(frozen=True)
class _Output:
    """The head of one output, and the log-odds of every row by heads that never saw its person."""

    line: _Line
    log_odds: Floats
    loss: float = np.inf
    is_unit: bool = False


def learn_phrase_head(rows: PhraseRows, known: Bools, wanted: Bools, folds: Codes) -> tuple[PhraseHead, Floats] | None:
    """The head fitted on all known rows, and the log-odds of every row by heads that never saw its person.

    `wanted` (rows, outputs) says which outputs hold for a row, `known` (rows,) for which rows that is known. The
    penalty of an output, and whether it reads views at unit length, are those with the least log loss out of fold. An
    output that holds, or does not hold, in fewer than 20 rows that hold a phrase keeps its usual log-odds. None where
    that is every output, or where one fold holds all the rows.

    Source: Joachims, "Text categorization with support vector machines" (1998), for linear models of weighed words;
    put on the log-odds scale as in Platt (1999).
    """
    said = np.diff(rows.offsets) > 0
    usable = said & known
    telling = np.minimum(wanted[usable].sum(axis=0), (~wanted[usable]).sum(axis=0)) >= LEAST_OF_EACH
    if not telling.any() or len(np.unique(folds[usable])) < 2:
        return None
    as_weighed, at_unit_length = _matrix(rows, rows.value), _matrix(rows, _unit_values(rows))
    usual = usual_log_odds(wanted[usable])
    outputs = [_Output(_Line(np.zeros(rows.width), base), np.full(len(rows), base)) for base in usual]
    for k in np.flatnonzero(telling):
        one, other = (_climb(matrix, folds, usable, wanted[:, k]) for matrix in (as_weighed, at_unit_length))
        outputs[k] = one if one.loss <= other.loss else replace(other, is_unit=True)
    silent = usual_log_odds(wanted[known & ~said])
    weights, intercepts = (np.array([getattr(of.line, name) for of in outputs]) for name in ("weights", "intercept"))
    log_odds = np.stack([of.log_odds for of in outputs], axis=1)
    is_unit = np.array([of.is_unit for of in outputs])
    return PhraseHead(weights, intercepts, silent, is_unit), np.where(said[:, None], log_odds, silent)


def _matrix(rows: PhraseRows, values: Float32s) -> csr_matrix:
    return csr_matrix((values, rows.column, rows.offsets), shape=(len(rows), rows.width))


def _unit_values(rows: PhraseRows) -> Float32s:
    """The values with each view of each row at unit length. Shape as `rows.value`."""
    row = np.repeat(np.arange(len(rows)), np.diff(rows.offsets))
    view = row * N_VIEWS + rows.column // (rows.width // N_VIEWS)
    squares = np.bincount(view, rows.value.astype(np.float64) ** 2, len(rows) * N_VIEWS)
    values: Float32s = (rows.value / np.sqrt(squares[view])).astype(np.float32)
    return values


def _climb(matrix: csr_matrix, folds: Codes, usable: Bools, wanted: Bools) -> _Output:
    """The strength whose heads, put on the log-odds scale, have the least log loss on persons they never saw.

    Strengths rise until one is no better than the one before: the stronger a fit, the longer it takes. Each fit goes on
    from the one before; to begin higher up is no quicker, and ends elsewhere.
    """
    parts = [_Part(matrix, usable & (folds != fold), wanted) for fold in (*range(FOLDS), WHOLE)]
    best, least = None, np.inf
    # Side by side, a thread each: one fit alone does not fill the processor.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for strength in STRENGTHS:
            *of_folds, whole = pool.map(lambda part, c=strength: part.fitted(c), parts)
            scores = _out_of_fold(matrix, folds, of_folds)
            sigmoid = fit_sigmoid(scores[usable], wanted[usable])
            log_odds = sigmoid.log_odds(scores)
            if (loss := _log_loss(log_odds[usable], wanted[usable])) >= least:
                break
            best, least = _Output(_scaled(whole, sigmoid), log_odds, loss), loss
    assert best is not None  # the first is better than none
    return best


class _Part:
    """Fits of one output on some rows, each from the one before."""

    def __init__(self, matrix: csr_matrix, learn: Bools, wanted: Bools) -> None:
        self._rows, self._wanted = matrix[learn], wanted[learn]
        self._fit = LogisticRegression(tol=TOLERANCE, max_iter=MOST_ITERATIONS, warm_start=True)

    def fitted(self, strength: float) -> _Line:
        """The line of this strength; the usual log-odds where the rows are all alike."""
        if len(np.unique(self._wanted)) < 2:
            usual = float(usual_log_odds(self._wanted[:, None])[0])
            return _Line(np.zeros(self._rows.shape[1]), usual)
        self._fit.set_params(C=strength).fit(self._rows, self._wanted)
        return _Line(self._fit.coef_[0].astype(np.float64), float(self._fit.intercept_[0]))


def _out_of_fold(matrix: csr_matrix, folds: Codes, lines: Sequence[_Line]) -> Floats:
    scores = np.empty(matrix.shape[0])
    for fold, line in enumerate(lines):
        scores[folds == fold] = matrix[folds == fold] @ line.weights + line.intercept
    return scores


def _scaled(line: _Line, sigmoid: Sigmoid) -> _Line:
    return _Line(line.weights * sigmoid.slope, line.intercept * sigmoid.slope + sigmoid.intercept)


def _log_loss(log_odds: Floats, wanted: Bools) -> float:
    return float(np.mean(np.logaddexp(0.0, np.where(wanted, -log_odds, log_odds))))
