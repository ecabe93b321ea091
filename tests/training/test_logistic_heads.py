"""The logistic head: the truth behind simulated rows is found, persons are never mixed, few rows teach nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from features.aggregate import Float32s
from training.logistic_heads import learn_logistic_head
from training.split import FOLDS, person_folds

ROWS = 2000
FOLDS_OF_ROWS = person_folds([f"p{row // 10}" for row in range(ROWS)], FOLDS, seed=0)
ALL_KNOWN = np.ones(ROWS, dtype=np.bool_)
WEIGHTS = np.array([2.0, -1.0, 0.0, 0.0])

Bools = np.ndarray


@pytest.fixture(scope="module")
def inputs() -> Float32s:
    """Every tenth row holds nothing."""
    drawn = np.random.default_rng(1).normal(size=(ROWS, 4)).astype(np.float32)
    drawn[::10] = 0
    return drawn


@pytest.fixture(scope="module")
def wanted(inputs: Float32s) -> Bools:
    return np.random.default_rng(2).random(ROWS) < expit(inputs @ WEIGHTS - 3.0)


def test_the_weights_behind_rare_conversions_are_found(inputs: Float32s, wanted: Bools) -> None:
    head, log_odds = learn_logistic_head(inputs, ALL_KNOWN, wanted, FOLDS_OF_ROWS)

    assert head.weights.shape == (1, 4)
    # Every penalty shortens them; what they are to each other stays.
    assert head.weights[0] / head.weights[0, 0] == pytest.approx(WEIGHTS / WEIGHTS[0], abs=0.15)
    assert 0 < head.weights[0, 0] < WEIGHTS[0]
    said = np.any(inputs, axis=1)
    assert expit(log_odds[said]).mean() == pytest.approx(wanted[said].mean(), abs=0.01)


def test_a_row_without_anything_gets_the_usual_rate_of_such_rows(inputs: Float32s, wanted: Bools) -> None:
    head, log_odds = learn_logistic_head(inputs, ALL_KNOWN, wanted, FOLDS_OF_ROWS)
    silent = ~np.any(inputs, axis=1)
    yes, no = int((wanted & silent).sum()), int((~wanted & silent).sum())

    assert head.silent.tolist() == pytest.approx([np.log((yes + 1) / (no + 1))])
    assert head.log_odds(inputs[silent])[:, 0].tolist() == log_odds[silent].tolist()


def test_what_is_said_of_a_person_does_not_hang_on_the_persons_own_outcome(inputs: Float32s, wanted: Bools) -> None:
    turned = np.where(FOLDS_OF_ROWS == 3, ~wanted, wanted)
    one, other = (learn_logistic_head(inputs, ALL_KNOWN, of, FOLDS_OF_ROWS)[1] for of in (wanted, turned))
    unknown = learn_logistic_head(inputs, FOLDS_OF_ROWS != 3, wanted, FOLDS_OF_ROWS)[1]
    said = np.any(inputs, axis=1) & (FOLDS_OF_ROWS == 3)

    assert np.corrcoef(one[said], other[said])[0, 1] > 0.99  # another penalty at most
    assert np.corrcoef(one[said], unknown[said])[0, 1] > 0.99
    assert np.corrcoef(one[~said], other[~said])[0, 1] < 0.99


@pytest.mark.parametrize(("conversions", "is_learnt"), [(19, False), (20, True)])
def test_twenty_of_each_are_needed(inputs: Float32s, conversions: int, is_learnt: bool) -> None:
    some = np.flatnonzero(np.any(inputs, axis=1))[:: 1700 // conversions][:conversions]
    wanted = np.isin(np.arange(ROWS), some)

    assert (learn_logistic_head(inputs, ALL_KNOWN, wanted, FOLDS_OF_ROWS) is not None) == is_learnt
    assert (learn_logistic_head(inputs, ALL_KNOWN, ~wanted, FOLDS_OF_ROWS) is not None) == is_learnt


def test_where_all_conversions_are_in_one_fold_nothing_is_learnt(inputs: Float32s, wanted: Bools) -> None:
    assert learn_logistic_head(inputs, ALL_KNOWN, wanted & (FOLDS_OF_ROWS == 2), FOLDS_OF_ROWS) is None
