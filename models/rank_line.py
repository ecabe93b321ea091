"""A linear model on ranks: where each value of a row stands among those of training, weighted and summed.

Ranks take away the scale, so that one penalty fits counts, days and amounts alike, and an outlier is only the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.event_log import Floats, Int64s
from models.linear_head import LinearHead


@dataclass(frozen=True)
class RankLine:
    """A linear head over the ranks of some columns of the feature rows.

    `grid` (columns, points) holds each column's values in training at equal steps of their rank, rising.
    """

    columns: Int64s
    grid: Float32s
    head: LinearHead

    def log_odds(self, features: Float32s) -> Floats:
        """One column an output. Shape (rows, outputs)."""
        return self.head.log_odds(self.ranks(features))

    def ranks(self, features: Float32s) -> Float32s:
        """Ranks from -0.5 to 0.5, the middle among ties, 0 where a value is unknown. Shape (rows, columns)."""
        return ranks(features[:, self.columns], self.grid)

    def contributions(self, features: Float32s) -> Floats:
        """What each column adds to the first output and, last, what is said without any. Shape (rows, columns + 1)."""
        placed = self.ranks(features)
        base = np.where(np.any(placed, axis=1), self.head.intercepts[0], self.head.silent[0])
        return np.column_stack([placed * self.head.weights[0], base])


def ranks(values: Float32s, grid: Float32s) -> Float32s:
    """Where each value stands in its column's `grid` (columns, points). Shape of `values` (rows, columns)."""
    result = np.zeros_like(values)
    _rank(values, grid, result)
    return result


@njit(cache=True, nogil=True)
def _rank(values, grid, result):  # type: ignore[no-untyped-def]
    points = grid.shape[1]
    for row in range(len(values)):
        for column in range(values.shape[1]):
            value = values[row, column]
            if not np.isnan(value):
                below, high = 0, points
                while below < high:
                    middle = (below + high) >> 1
                    if grid[column, middle] < value:
                        below = middle + 1
                    else:
                        high = middle
                not_above, high = below, points
                if below < points and grid[column, below] == value:
                    while not_above < high:
                        middle = (not_above + high) >> 1
                        if grid[column, middle] <= value:
                            not_above = middle + 1
                        else:
                            high = middle
                result[row, column] = (below + not_above) / (2 * points) - 0.5
