"""LightGBM's text form as arrays, and the two questions asked of it, compiled.

The library itself takes seconds to import, because it looks for scikit-learn and pandas, and adds 100 MB to each worker
of the endpoint. Its text is documented by its own reader (src/io/tree.cpp of LightGBM 4): the sums run in the same
order, so that scores are equal to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from features.aggregate import Float32s
from features.event_log import Floats, Int64s
from models.leaf_sums import Splits, rounded_down, sum_leaves

Int8s = npt.NDArray[np.int8]

ZERO = float(np.float32(1e-35))  # LightGBM takes what is closer to zero for zero
CATEGORICAL, DEFAULT_LEFT = 1, 2  # bits of a decision type; the two above tell what is missing
ZERO_IS_MISSING, NAN_IS_MISSING = 1, 2


class Nodes(NamedTuple):
    """Trees one after the other. `first_node` and `first_leaf` have one entry a tree, and the end.

    A child below zero is the leaf -child - 1 of the same tree; another comes after its parent. Counts are of training
    rows.
    """

    first_node: Int64s
    first_leaf: Int64s
    feature: Int64s
    threshold: Floats
    decision: Int8s
    left: Int64s
    right: Int64s
    node_count: Floats
    leaf_value: Floats
    leaf_count: Floats


@dataclass(frozen=True)
class Forest:
    """A model's trees; tree i belongs to class i % classes. `depth` is that of the deepest, at most."""

    classes: int
    features: int
    depth: int
    nodes: Nodes

    @classmethod
    def parse(cls, text: str) -> Forest:
        """Read a model's text. Raises ValueError for what this reader does not know: categories, linear leaves."""
        head, *rest = text.split("\nTree=")
        header = _fields(head)
        trees = [_fields(tree.partition("\n\n")[0]) for tree in rest]
        if any(tree["num_cat"] != "0" or tree.get("is_linear", "0") != "0" for tree in trees):
            raise ValueError("this model has categorical splits or linear leaves")
        leaves = np.array([int(tree["num_leaves"]) for tree in trees], dtype=np.int64)

        def column(name: str, dtype: Any) -> npt.NDArray[Any]:
            words = " ".join(tree.get(name, "") for tree in trees).split()
            return np.array(words, dtype=np.float64).astype(dtype)

        nodes = Nodes(
            first_node=np.concatenate([[0], np.cumsum(leaves - 1)]),
            first_leaf=np.concatenate([[0], np.cumsum(leaves)]),
            feature=column("split_feature", np.int64),
            threshold=column("threshold", np.float64),
            decision=column("decision_type", np.int8),
            left=column("left_child", np.int64),
            right=column("right_child", np.int64),
            node_count=column("internal_count", np.float64),
            leaf_value=column("leaf_value", np.float64),
            leaf_count=column("leaf_count", np.float64),
        )
        features = int(header["max_feature_idx"]) + 1
        return cls(int(header["num_tree_per_iteration"]), features, int(leaves.max(initial=1)), nodes)

    def raw_scores(self, rows: Float32s, columns: Int64s) -> Floats:
        """Summed leaf values; `columns` says where in the rows each feature stands. Shape (rows, classes)."""
        scores = np.zeros((len(rows), self.classes))
        used, splits = self._splits
        sum_leaves(rows, columns[used], splits, self.nodes.first_leaf, self.nodes.leaf_value, scores)
        return scores

    def contributions(self, rows: Float32s) -> Floats:
        """TreeSHAP values of a one-class model and, last, its base. Shape (rows, features + 1)."""
        if self.classes != 1:
            raise ValueError(f"contributions are those of one class; this model has {self.classes}")
        effects = np.zeros((len(rows), self.features + 1))
        _explain(rows, effects, self.nodes, self.depth)
        return effects

    @cached_property
    def _splits(self) -> tuple[Int64s, Splits]:
        """The features that are split on, and the splits as `sum_leaves` wants them."""
        nodes, threshold = self.nodes, rounded_down(self.nodes.threshold)
        used, value = np.unique(nodes.feature, return_inverse=True)
        missing, default_left = (nodes.decision >> 2) & 3, (nodes.decision & DEFAULT_LEFT) != 0
        zero_left = np.where(missing == ZERO_IS_MISSING, default_left, threshold >= 0)
        leaves = int(np.diff(nodes.first_leaf).max(initial=1))
        left, right = (np.where(child < 0, -child - 1, child + leaves) for child in (nodes.left, nodes.right))
        return used, Splits(
            first=nodes.first_node,
            value=value,
            threshold=threshold,
            zero_left=zero_left,
            nan_left=np.where(missing == NAN_IS_MISSING, default_left, zero_left),
            left=left,
            right=right,
            leaves=leaves,
        )


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


@njit(cache=True, nogil=True)
def _goes_left(value: float, threshold: float, decision: int) -> bool:
    missing = (decision >> 2) & 3
    if np.isnan(value) and missing != NAN_IS_MISSING:
        value = 0.0
    if abs(value) <= ZERO:
        value = 0.0
    if (missing == ZERO_IS_MISSING and value == 0.0) or (missing == NAN_IS_MISSING and np.isnan(value)):
        return (decision & DEFAULT_LEFT) != 0
    return bool(value <= threshold)


@njit(cache=True, nogil=True)
def _explain(rows: Float32s, effects: Floats, nodes: Nodes, depth: int) -> None:
    """Lundberg's algorithm 2 with a stack in place of the recursion; names as there.

    The path to a node is a row of `on`, `zero`, `one` and `weight`: the features split on, the share of training rows
    that went this way, whether this row did, and the weights of subsets by size. A child's row is one further down.
    """
    on = np.zeros((depth + 2, depth + 2), np.int64)
    zero, one, weight = np.zeros(on.shape), np.zeros(on.shape), np.zeros(on.shape)
    stack = np.zeros((2 * depth + 4, 4), np.int64)  # node, level, length of the path, feature
    fractions = np.zeros((2 * depth + 4, 2))  # zero, one
    for row in range(len(rows)):
        for tree in range(len(nodes.first_node) - 1):
            start, leaves = nodes.first_node[tree], nodes.first_leaf[tree]
            n_leaves = nodes.first_leaf[tree + 1] - leaves
            if n_leaves == 1:
                effects[row, -1] += nodes.leaf_value[leaves]
                continue
            for leaf in range(leaves, leaves + n_leaves):
                effects[row, -1] += nodes.leaf_count[leaf] / nodes.node_count[start] * nodes.leaf_value[leaf]
            stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 0, 1, 0, -1
            fractions[0, 0] = fractions[0, 1] = 1.0
            top = 1
            while top > 0:
                top -= 1
                node, level, length = stack[top, 0], stack[top, 1], stack[top, 2]
                for i in range(length):
                    on[level, i], zero[level, i] = on[level - 1, i], zero[level - 1, i]
                    one[level, i], weight[level, i] = one[level - 1, i], weight[level - 1, i]
                _extend(
                    on[level], zero[level], one[level], weight[level], length, fractions[top, 0], fractions[top, 1],
                    stack[top, 3],
                )  # fmt: skip
                if node < 0:
                    value = nodes.leaf_value[leaves - node - 1]
                    for i in range(1, length + 1):
                        total = _unwound_sum(zero[level], one[level], weight[level], length, i)
                        effects[row, on[level, i]] += total * (one[level, i] - zero[level, i]) * value
                    continue
                at = start + node
                goes_left = _goes_left(
                    np.float64(rows[row, nodes.feature[at]]), nodes.threshold[at], nodes.decision[at]
                )
                hot, cold = (nodes.left[at], nodes.right[at]) if goes_left else (nodes.right[at], nodes.left[at])
                zero_so_far = one_so_far = 1.0
                for i in range(length + 1):
                    if on[level, i] == nodes.feature[at]:  # split on before: undo that split
                        zero_so_far, one_so_far = zero[level, i], one[level, i]
                        _unwind(on[level], zero[level], one[level], weight[level], length, i)
                        length -= 1
                        break
                for child, one_fraction in ((cold, 0.0), (hot, one_so_far)):
                    count = nodes.node_count[start + child] if child >= 0 else nodes.leaf_count[leaves - child - 1]
                    stack[top, 0], stack[top, 1], stack[top, 2] = child, level + 1, length + 1
                    stack[top, 3] = nodes.feature[at]
                    fractions[top, 0], fractions[top, 1] = count / nodes.node_count[at] * zero_so_far, one_fraction
                    top += 1


@njit(cache=True, nogil=True)
def _extend(
    on: Int64s,
    zero: Floats,
    one: Floats,
    weight: Floats,
    length: int,
    zero_fraction: float,
    one_fraction: float,
    feature: int,
) -> None:
    on[length], zero[length], one[length] = feature, zero_fraction, one_fraction
    weight[length] = 1.0 if length == 0 else 0.0
    for i in range(length - 1, -1, -1):
        weight[i + 1] += one_fraction * weight[i] * (i + 1) / (length + 1)
        weight[i] = zero_fraction * weight[i] * (length - i) / (length + 1)


@njit(cache=True, nogil=True)
def _unwind(on: Int64s, zero: Floats, one: Floats, weight: Floats, length: int, at: int) -> None:
    following = weight[length]
    for i in range(length - 1, -1, -1):
        if one[at] != 0:
            before = weight[i]
            weight[i] = following * (length + 1) / ((i + 1) * one[at])
            following = before - weight[i] * zero[at] * (length - i) / (length + 1)
        else:
            weight[i] = weight[i] * (length + 1) / (zero[at] * (length - i))
    for i in range(at, length):
        on[i], zero[i], one[i] = on[i + 1], zero[i + 1], one[i + 1]


@njit(cache=True, nogil=True)
def _unwound_sum(zero: Floats, one: Floats, weight: Floats, length: int, at: int) -> float:
    following, total = weight[length], 0.0
    for i in range(length - 1, -1, -1):
        if one[at] != 0:
            part = following * (length + 1) / ((i + 1) * one[at])
            total += part
            following = weight[i] - part * zero[at] * (length - i) / (length + 1)
        else:
            total += weight[i] / zero[at] / ((length - i) / (length + 1))
    return float(total)
