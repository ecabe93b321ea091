"""The stage by words alone: what likeness to the examples makes of each stage."""

from __future__ import annotations

import numpy as np
import pytest

from features.rows import FeatureRows
from models.stage_examples import StageByExamples

NAN = float("nan")
# Stages 0 and 2 of three have examples; columns: own and last message like those of 0, then those of 2.
MODEL = StageByExamples(3, np.array([0, 2]), np.array([[1, 2], [3, 4]]))
SIX = [
    [9, 0.5, 0.5, 0.3, 0.3],
    [9, 0.2, 0.4, 0.6, 0.4],
    [9, 0.4, 0.4, 0.4, 0.4],
    [9, NAN, NAN, NAN, NAN],
    [9, 0.9, 0.9, 0.1, 0.1],
    [9, 0.0, 0.0, 1.0, 1.0],
]


def asked(rows: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    nothing_known = np.array([False] * (len(rows) - 1) + [True])
    features = FeatureRows(np.array(rows, dtype=np.float32), None, None)
    return MODEL.probabilities(features, nothing_known), nothing_known


def test_a_tenth_of_likeness_makes_a_stage_e_times_as_likely() -> None:
    probabilities, _ = asked(SIX)

    assert probabilities[:, 1].tolist() == [0.0] * 6
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(6))
    ratio = np.exp([2.0, -2.0, 0.0, 0.0, 8.0, 0.0])  # of whom nothing was said or known, nothing is told
    assert probabilities[:, 0] / probabilities[:, 2] == pytest.approx(ratio, rel=1e-5)


def test_the_likeliest_is_named_and_what_is_plausible_holds_nine_tenths() -> None:
    probabilities, nothing_known = asked(SIX)
    decided = MODEL.decided(probabilities, nothing_known)

    assert decided[[0, 1, 4]].tolist() == [0, 2, 0]
    assert MODEL.plausible(probabilities, decided).tolist() == [
        [True, False, True], [True, False, True], [True, False, True], [True, False, True], [True, False, False],
        [True, False, True],
    ]  # fmt: skip


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    whole, _ = asked(SIX)
    for row in range(5):
        alone = MODEL.probabilities(
            FeatureRows(np.array(SIX[row : row + 1], np.float32), None, None), np.array([False])
        )
        assert alone.tolist() == whole[row : row + 1].tolist()
