"""A weighted sum of ranks, looked up: what a line adds for a value depends only on where it stands in its column.

A block of rows is taken at a time, column after column: to count how many cuts a value is above is the same few
instructions for every row, so that the processor does many rows at once. In a few rows alone each value is searched.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.event_log import Bools, Floats, Int64s

BLOCK = 64  # rows: their features fit the second cache
FEW = 4  # rows that a block would cost more


class RankTerms(NamedTuple):
    """What a line adds for each place that a value can have, all columns one after the other.

    Column k has the `cuts` from `first[k]` on, its distinct values in training. Above i of them and not below j a value
    stands at place i + j, an unknown one after the last; the places of column k begin at `2 * (first[k] + k)`.
    `added` (outputs, places) is weight * rank, `moves` says where the rank is not 0.
    """

    first: Int64s
    cuts: Float32s
    added: Floats
    moves: Bools


def sum_terms(
    features: Float32s, columns: Int64s, terms: RankTerms, intercepts: Floats, silent: Floats, outputs: Floats
) -> None:
    """Fill `outputs` (rows, outputs): `intercepts` and the terms of the `columns`, added in their order.

    A row without a rank gets `silent`, as a linear head would say.
    """
    sums = _sum_each if len(features) <= FEW else _sum_blocks
    outputs[:] = intercepts
    moved = np.zeros(len(features), dtype=np.bool_)
    sums(features, columns, terms.first, terms.cuts, terms.added, terms.moves, moved, outputs)
    outputs[~moved] = silent


@njit(cache=True, nogil=True)
def _sum_blocks(
    features: Float32s,
    columns: Int64s,
    first: Int64s,
    cuts: Float32s,
    added: Floats,
    moves: Bools,
    moved: Bools,
    outputs: Floats,
) -> None:
    values, place = np.zeros(BLOCK, dtype=np.float32), np.zeros(BLOCK, dtype=np.int32)
    sums = np.zeros((outputs.shape[1], BLOCK))
    for start in range(0, len(features), BLOCK):
        rows = min(BLOCK, len(features) - start)
        sums[:, :rows] = outputs[start : start + rows].T
        unmoved = rows
        for k in range(len(columns)):
            column, begin, end = columns[k], first[k], first[k + 1]
            for row in range(rows):
                values[row] = features[start + row, column]
            place[:] = 0
            for cut in cuts[begin:end]:
                for row in range(BLOCK):
                    place[row] += np.int32(values[row] > cut) + np.int32(values[row] >= cut)
            unknown = np.int32(2 * (end - begin) + 1)
            for row in range(BLOCK):
                place[row] = unknown if np.isnan(values[row]) else place[row]
            of_column = slice(2 * (begin + k), 2 * (begin + k) + unknown + 1)
            if unmoved:
                moves_at = moves[of_column]
                unmoved = 0
                for row in range(rows):
                    moved[start + row] |= moves_at[np.uint32(place[row])]
                    unmoved += not moved[start + row]
            for output in range(outputs.shape[1]):
                added_at = added[output, of_column]
                for row in range(rows):  # an unsigned place is never taken from the end, which would be asked each time
                    sums[output, row] += added_at[np.uint32(place[row])]
        outputs[start : start + rows] = sums[:, :rows].T


@njit(cache=True, nogil=True)
def _sum_each(
    features: Float32s,
    columns: Int64s,
    first: Int64s,
    cuts: Float32s,
    added: Floats,
    moves: Bools,
    moved: Bools,
    outputs: Floats,
) -> None:
    for row in range(len(features)):
        for k in range(len(columns)):
            value, start, end = features[row, columns[k]], first[k], first[k + 1]
            at, left = start, end - start
            while left > 1:  # halved without a branch, which would be guessed wrong every other time
                half = left >> 1
                at += half * (cuts[at + half - 1] < value)
                left -= half
            at += cuts[at] < value
            place = 2 * (at - start) + (at < end and cuts[at] == value)
            at = 2 * (start + k) + (2 * (end - start) + 1 if np.isnan(value) else place)
            moved[row] |= moves[at]
            for output in range(outputs.shape[1]):
                outputs[row, output] += added[output, at]
