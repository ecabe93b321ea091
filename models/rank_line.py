"""A linear model on ranks: where each value of a row stands among those of training, weighted and summed.

Ranks take away the scale, so that one penalty fits counts, days and amounts alike, and an outlier is only the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.event_log import Floats, Int64s
from models.linear_head import LinearHead
from models.rank_terms import RankTerms, sum_terms


@dataclass(frozen=True)
class RankLine:
    """A linear head over the ranks of some columns of the feature rows.

    `grid` (columns, points) holds each column's values in training at equal steps of their rank, rising.
    """

    columns: Int64s
    grid: Float32s
    head: LinearHead

    def log_odds(self, features: Float32s) -> Floats:
        """What `head` says of the ranks, to the bit. Shape (rows, outputs)."""
        outputs = np.empty((len(features), len(self.head.intercepts)))
        sum_terms(features, self.columns, self._terms, self.head.intercepts, self.head.silent, outputs)
        return outputs

    def ranks(self, features: Float32s) -> Float32s:
        """Ranks from -0.5 to 0.5, the middle among ties, 0 where a value is unknown. Shape (rows, columns)."""
        return ranks(features[:, self.columns], self.grid)

    def contributions(self, features: Float32s) -> Floats:
        """What each column adds to the first output and, last, what is said without any. Shape (rows, columns + 1)."""
        placed = self.ranks(features)
        base = np.where(np.any(placed, axis=1), self.head.intercepts[0], self.head.silent[0])
        return np.column_stack([placed * self.head.weights[0], base])

    @cached_property
    def _terms(self) -> RankTerms:
        columns = [_rank_at_places(values) for values in self.grid]
        ranked = np.concatenate([placed for _, placed in columns])
        places = [len(placed) for _, placed in columns]
        return RankTerms(
            first=np.cumsum([0, *(len(cuts) for cuts, _ in columns)]),
            cuts=np.concatenate([cuts for cuts, _ in columns]),
            added=self.head.weights.repeat(places, axis=1) * ranked,
            moves=ranked != 0,
        )


def ranks(values: Float32s, grid: Float32s) -> Float32s:
    """Where each value stands in its column's `grid` (columns, points). Shape of `values` (rows, columns)."""
    result = np.zeros_like(values)
    _rank(values, grid, result)
    return result


def _rank_at_places(values: Float32s) -> tuple[Float32s, Float32s]:
    """A column's distinct values, and what `ranks` gives at each place among them and, last, for what is unknown."""
    cuts, times = np.unique(values, return_counts=True)
    up_to, place = np.concatenate([[0], np.cumsum(times)]), np.arange(2 * len(cuts) + 1)
    below, not_above = up_to[place // 2], up_to[place - place // 2]
    return cuts, np.append((below + not_above) / (2 * len(values)) - 0.5, 0.0).astype(np.float32)


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
