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


def test_equally_common_classes_weigh_about_the_same() -> None:
    stage = np.tile(np.arange(3), 500)
    probabilities = softmax(np.random.default_rng(1).normal(size=(1500, 3)) + 2 * np.eye(3)[stage], axis=1)

    assert np.ptp(np.log(learn_decision(probabilities, stage, seed=0))) < 0.3


def test_a_class_whose_chances_are_too_low_is_raised_alone() -> None:
    """No power of the shares tells it from the others, which are as common."""
    stage = np.tile(np.arange(3), 500)
    log_chances = np.random.default_rng(3).normal(size=(1500, 3)) + 2 * np.eye(3)[stage] - [0, 1.5, 0]
    weights = np.log(learn_decision(softmax(log_chances, axis=1), stage, seed=0))

    assert weights - weights[0] == pytest.approx([0, 1.5, 0], abs=0.4)


def test_weights_are_the_same_for_a_seed() -> None:
    stage = np.tile(np.arange(3), 50)
    probabilities = softmax(np.random.default_rng(1).normal(size=(150, 3)) + np.eye(3)[stage], axis=1)
    once, again, other = (learn_decision(probabilities, stage, seed).tolist() for seed in (0, 0, 1))

    assert once == again != other


def test_a_rare_class_that_is_never_the_likeliest_is_named_after_all() -> None:
    random = np.random.default_rng(2)
    stage = (random.random(4000) < 0.1).astype(np.int64)
    evidence = random.normal(size=4000) + 1.5 * stage
    chance = 1 / (1 + 9 * np.exp(-1.5 * evidence + 1.125))  # calibrated: Bayes' rule on the two normals
    probabilities = np.column_stack([1 - chance, chance])
    weights = learn_decision(probabilities, stage, seed=0)
    named = (probabilities * weights).argmax(axis=1)

    assert weights[1] > 1.5 * weights[0]
    assert macro_f1(named, stage) > macro_f1(probabilities.argmax(axis=1), stage) + 0.03
