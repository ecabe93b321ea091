"""A weighted sum of many columns, as log-odds: of pooled messages, or of ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.event_log import Floats


@dataclass(frozen=True)
class LinearHead:
    """Weights of shape (outputs, columns); `intercepts` and `silent` of shape (outputs,).

    `silent` is the answer for a row of zeros, in which nothing was said: the usual log-odds of such rows.
    """

    weights: Floats
    intercepts: Floats
    silent: Floats

    def log_odds(self, inputs: Float32s) -> Floats:
        """One column an output. Shape (rows, outputs)."""
        outputs = np.empty((len(inputs), len(self.intercepts)))
        _linear(inputs, self.weights, self.intercepts, self.silent, outputs)
        return outputs


@njit(cache=True, nogil=True)
def _linear(inputs, weights, intercepts, silent, outputs):  # type: ignore[no-untyped-def]
    # Not BLAS: its rounding depends on how many rows are asked at once, and a list must give the endpoint's numbers.
    for row in range(len(inputs)):
        said = np.any(inputs[row])
        for output in range(len(intercepts)):
            total = intercepts[output] if said else silent[output]
            if said:
                for k in range(inputs.shape[1]):
                    total += weights[output, k] * inputs[row, k]
            outputs[row, output] = total
