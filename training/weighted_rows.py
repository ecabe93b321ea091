"""Judged rows, arranged once so that the metrics of any weighting of them cost O(n): what the bootstrap repeats.

With weights of one the figures equal scikit-learn's, as far as it has them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.bootstrap import Floats

ECE_BINS: Final = 15
LIFT_SHARE: Final = 0.10
SMALLEST: Final = float(np.finfo(np.float64).eps)  # scikit-learn's floor under a probability before its logarithm


class RankedRows:
    """Rows from the highest probability of conversion down, rows of one probability together."""

    def __init__(self, converted: NDArray[np.bool_], probability: Floats) -> None:
        self.order = np.argsort(-probability, kind="stable")
        self.converted = converted[self.order].astype(np.float64)
        ranked = probability[self.order]
        self.tie_starts = np.flatnonzero(np.diff(ranked, prepend=np.inf))
        bins = self.tie_starts * ECE_BINS // max(len(ranked), 1)
        self.bin_starts = self.tie_starts[np.flatnonzero(np.diff(bins, prepend=-1))]
        self.residual = self.converted - ranked
        self.squared_error = self.residual**2
        self.log_loss = -np.log(np.maximum(1 - np.abs(self.residual), SMALLEST))

    def measures(self, weights: Floats) -> Floats:
        """ROC AUC, average precision, log loss, Brier, ECE, lift of rows that weigh `weights` (float64[n], n ≥ 1)."""
        w = weights[self.order]
        total = w.sum()
        rows = np.cumsum(np.add.reduceat(w, self.tie_starts))
        positives = np.cumsum(np.add.reduceat(w * self.converted, self.tie_starts))
        roc_auc, average_precision, lift = _ranking_measures(rows, positives)
        ece = np.abs(np.add.reduceat(w * self.residual, self.bin_starts)).sum() / total
        return np.array(
            [roc_auc, average_precision, w @ self.log_loss / total, w @ self.squared_error / total, ece, lift]
        )


class DecidedRows:
    """Rows as cells of the confusion matrix of true and decided stages."""

    def __init__(self, stage: NDArray[np.integer[Any]], decided: NDArray[np.integer[Any]], shares: Floats) -> None:
        self.n_stages = shares.shape[1]
        self.cell = stage.astype(np.int64) * self.n_stages + decided
        self.log_loss = -np.log(np.maximum(shares[np.arange(len(stage)), stage], SMALLEST))

    def measures(self, weights: Floats) -> Floats:
        """Macro-F1, accuracy, log loss and each stage's F1 of rows that weigh `weights` (float64[n], n ≥ 1)."""
        confusion = np.bincount(self.cell, weights, self.n_stages**2).reshape(self.n_stages, self.n_stages)
        true_and_decided = confusion.sum(axis=0) + confusion.sum(axis=1)
        f1 = np.full(self.n_stages, np.nan)
        np.divide(2 * confusion.diagonal(), true_and_decided, out=f1, where=true_and_decided > 0)
        total = weights.sum()
        return np.array([np.nanmean(f1), confusion.trace() / total, weights @ self.log_loss / total, *f1])


def _ranking_measures(rows: Floats, positives: Floats) -> tuple[float, float, float]:
    """ROC AUC, average precision and lift from cumulative weights by falling probability; NaN for one class."""
    negatives = rows - positives
    if positives[-1] == 0 or negatives[-1] == 0:
        return np.nan, np.nan, np.nan
    true_rate, false_rate = positives / positives[-1], negatives / negatives[-1]
    roc_auc = np.trapezoid(np.r_[0, true_rate], np.r_[0, false_rate])
    average_precision = np.diff(true_rate, prepend=0) @ (positives / np.maximum(rows, SMALLEST))
    found = np.interp(LIFT_SHARE * rows[-1], np.r_[0, rows], np.r_[0, true_rate])
    return float(roc_auc), float(average_precision), float(found / LIFT_SHARE)
