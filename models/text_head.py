"""What the pooled messages alone say: a linear model from message pools to log-odds, where the trees start from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.event_log import Floats


@dataclass(frozen=True)
class TextHead:
    """Weights of shape (outputs, pool dimensions); `intercepts` and `silent` of shape (outputs,).

    `silent` is the answer for a row in which nothing was said: the usual log-odds of such rows.
    """

    weights: Floats
    intercepts: Floats
    silent: Floats

    def log_odds(self, pools: Float32s) -> Floats:
        """One column an output. Shape (rows, outputs)."""
        outputs = np.empty((len(pools), len(self.intercepts)))
        _linear(pools, self.weights, self.intercepts, self.silent, outputs)
        return outputs


@njit(cache=True, nogil=True)
def _linear(pools, weights, intercepts, silent, outputs):  # type: ignore[no-untyped-def]
    # Not BLAS: its rounding depends on how many rows are asked at once, and a list must give the endpoint's numbers.
    for row in range(len(pools)):
        said = np.any(pools[row])
        for output in range(len(intercepts)):
            total = intercepts[output] if said else silent[output]
            if said:
                for k in range(pools.shape[1]):
                    total += weights[output, k] * pools[row, k]
            outputs[row, output] = total
