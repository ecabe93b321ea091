"""Which stage to name: macro-F1 by hand, and the weights that raise it."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from scipy.special import softmax

from training.decision import learn_decision, macro_f1


def test_macro_f1_of_six_rows() -> None:
    stage, decided = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 0])
    # F1: 2 * 2 / (4 + 3), 2 * 1 / (2 + 2), 0 / (0 + 1)

    assert macro_f1(decided, stage) == pytest.approx((4 / 7 + 2 / 4 + 0) / 3)


def test_macro_f1_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    stage, decided = random.integers(0, 4, 500), random.integers(0, 4, 500)

    assert macro_f1(decided, stage) == pytest.approx(sklearn.metrics.f1_score(stage, decided, average="macro"))


def test_equally_common_classes_weigh_the_same() -> None:
    stage = np.tile(np.arange(3), 50)
    probabilities = softmax(np.random.default_rng(1).normal(size=(150, 3)) + 2 * np.eye(3)[stage], axis=1)

    assert np.ptp(learn_decision(probabilities, stage)) == pytest.approx(0)


def test_a_rare_class_that_is_never_the_likeliest_is_named_after_all() -> None:
    random = np.random.default_rng(2)
    stage = (random.random(4000) < 0.1).astype(np.int64)
    evidence = random.normal(size=4000) + 1.5 * stage
    chance = 1 / (1 + 9 * np.exp(-1.5 * evidence + 1.125))  # calibrated: Bayes' rule on the two normals
    probabilities = np.column_stack([1 - chance, chance])
    weights = learn_decision(probabilities, stage)
    named = (probabilities * weights).argmax(axis=1)

    assert weights[1] > 1.5 * weights[0]
    assert macro_f1(named, stage) > macro_f1(probabilities.argmax(axis=1), stage) + 0.03
