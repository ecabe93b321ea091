"""What the phrases of the messages alone say: a linear model from weighed phrases to log-odds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from features.event_log import Floats
from features.phrases import PhraseRows


@dataclass(frozen=True)
class PhraseHead:
    """Weights of shape (outputs, views * phrases); `intercepts` and `silent` of shape (outputs,).

    `silent` is the answer for a row whose messages hold none of the phrases: the usual log-odds of such rows.
    """

    weights: Floats
    intercepts: Floats
    silent: Floats

    def log_odds(self, rows: PhraseRows) -> Floats:
        """One column an output. Shape (rows, outputs)."""
        outputs = np.empty((len(rows), len(self.intercepts)))
        _linear(rows.offsets, rows.column, rows.value, self.weights, self.intercepts, self.silent, outputs)
        return outputs


@njit(cache=True, nogil=True)
def _linear(offsets, column, value, weights, intercepts, silent, outputs):  # type: ignore[no-untyped-def]
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        for output in range(len(intercepts)):
            total = intercepts[output] if stop > start else silent[output]
            for at in range(start, stop):
                total += weights[output, column[at]] * value[at]
            outputs[row, output] = total
