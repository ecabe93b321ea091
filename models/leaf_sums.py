"""Sums of leaves for many rows: all trees are gone through with a block of rows at a time, and without a branch.

A row's leaf is found from below: each split, the deepest first, takes over what was found on the side that the row goes
to. That is the same few instructions for every row, so that the processor does many rows at once. A few rows alone are
led down from the top of each tree, to the same leaves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.event_log import Bools, Floats, Int32s, Int64s

BLOCK = 64  # rows: their values, and what is found in a tree, fit the nearest cache
FEW = 4  # rows that a block would cost more
ZERO = np.float32(1e-35)  # LightGBM takes what is closer to zero for zero


class Splits(NamedTuple):
    """All splits, tree after tree, a child's after its parent's. `first` has one entry a tree, and the end.

    `value` counts the features that any split looks at. A row goes left where its value is not above `threshold`;
    `zero_left` and `nan_left` decide for what is zero and for what is missing. `left` and `right` are leaves from 0 on,
    and after the `leaves` of the largest tree the splits of the same tree.
    """

    first: Int64s
    value: Int64s
    threshold: Float32s
    zero_left: Bools
    nan_left: Bools
    left: Int64s
    right: Int64s
    leaves: int


def rounded_down(thresholds: Floats) -> Float32s:
    """The greatest 32-bit number that is not above each: to 32-bit values both thresholds are the same."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def sum_leaves(
    rows: Float32s, columns: Int64s, splits: Splits, first_leaf: Int64s, leaf_value: Floats, scores: Floats
) -> None:
    """Add each tree's leaf to its class of `scores` (rows, classes), tree after tree.

    `columns` says in which column of the rows each value that is split on stands; tree i belongs to class i % classes.
    """
    if len(rows) <= FEW:
        _walk(rows, columns, splits, first_leaf, leaf_value, scores)
        return
    found = np.empty((2 * splits.leaves, BLOCK), dtype=np.int32)
    found[: splits.leaves] = np.arange(splits.leaves)[:, None]
    _sum_leaves(rows, columns, splits, first_leaf, leaf_value, found, scores)


@njit(cache=True, nogil=True)
def _walk(
    rows: Float32s, columns: Int64s, splits: Splits, first_leaf: Int64s, leaf_value: Floats, scores: Floats
) -> None:
    first, leaves = splits.first, splits.leaves
    value, threshold, zero_left, nan_left, left, right = (
        splits.value, splits.threshold, splits.zero_left, splits.nan_left, splits.left, splits.right,
    )  # fmt: skip
    for row in range(len(rows)):
        for tree in range(len(first) - 1):
            at = leaves if first[tree + 1] > first[tree] else 0  # a tree of one leaf has no split
            while at >= leaves:
                split = first[tree] + at - leaves
                asked = rows[row, columns[value[split]]]
                if np.isnan(asked):
                    goes_left = nan_left[split]
                else:
                    goes_left = zero_left[split] if abs(asked) <= ZERO else asked <= threshold[split]
                at = left[split] if goes_left else right[split]
            scores[row, tree % scores.shape[1]] += leaf_value[first_leaf[tree] + at]


@njit(cache=True, nogil=True)
def _sum_leaves(
    rows: Float32s,
    columns: Int64s,
    splits: Splits,
    first_leaf: Int64s,
    leaf_value: Floats,
    found: Int32s,
    scores: Floats,
) -> None:
    first, value, threshold, zero_left, nan_left = (
        splits.first, splits.value, splits.threshold, splits.zero_left, splits.nan_left,
    )  # fmt: skip
    left, right, leaves = splits.left, splits.right, splits.leaves
    values = np.zeros((len(columns), BLOCK), dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        count = min(BLOCK, len(rows) - start)
        _turn(rows, start, count, columns, values)
        for tree in range(len(first) - 1):
            for split in range(first[tree + 1] - 1, first[tree] - 1, -1):
                _decide(
                    values, value[split], threshold[split], zero_left[split], nan_left[split],
                    found, left[split], right[split], leaves + split - first[tree],
                )  # fmt: skip
            reached = leaves if first[tree + 1] > first[tree] else 0  # a tree of one leaf has no split
            for row in range(count):
                scores[start + row, tree % scores.shape[1]] += leaf_value[first_leaf[tree] + found[reached, row]]


@njit(cache=True, nogil=True)
def _turn(rows: Float32s, start: int, count: int, columns: Int64s, values: Float32s) -> None:
    """The values of a block of rows, one feature after the other; almost zero becomes zero."""
    for row in range(count):
        for at in range(len(columns)):
            value = rows[start + row, columns[at]]
            values[at, row] = np.float32(0.0) if abs(value) <= ZERO else value


@njit(cache=True, nogil=True)
def _decide(
    values: Float32s,
    value: int,
    threshold: np.float32,
    zero_left: bool,
    nan_left: bool,
    found: Int32s,
    left: int,
    right: int,
    out: int,
) -> None:
    for row in range(BLOCK):
        asked, on_left, on_right = values[value, row], found[left, row], found[right, row]
        at_zero, unknown = asked == 0, asked != asked
        goes_left = (asked <= threshold) & ~at_zero | at_zero & zero_left | unknown & nan_left
        found[out, row] = on_left if goes_left else on_right
