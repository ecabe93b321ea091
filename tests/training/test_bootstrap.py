import numpy as np
import pytest

from training.bootstrap import Estimate, estimate, resample

VALUES = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
PERSON = ["a", "a", "b", "b", "c", "c"]


def weighted_mean(weights: np.ndarray) -> np.ndarray:
    return np.array([weights @ VALUES / weights.sum()])


def test_persons_are_drawn_not_rows():
    drawn = resample(lambda weights: weights, 6, PERSON, seed=0, resamples=50)
    assert (drawn[:, 0::2] == drawn[:, 1::2]).all()
    assert (drawn.sum(axis=1) == 6).all()
    assert drawn.min() == 0
    assert drawn.max() == 3


def test_every_person_is_as_likely_as_the_next():
    drawn = resample(lambda weights: weights, 6, PERSON, seed=0, resamples=4000)
    assert drawn.mean(axis=0) == pytest.approx(np.ones(6), abs=0.05)


def test_the_same_seed_draws_the_same_persons_in_any_order_of_rows():
    order = [3, 0, 5, 1, 4, 2]
    here = resample(lambda weights: weights, 6, PERSON, seed=7)
    there = resample(lambda weights: weights, 6, [PERSON[i] for i in order], seed=7)
    assert (there == here[:, order]).all()
    assert (resample(lambda weights: weights, 6, PERSON, seed=8) != here).any()


def test_ids_may_be_numbers():
    by_number = resample(weighted_mean, 1, np.array([1, 1, 2, 2, 3, 3]), seed=0)
    assert (by_number == resample(weighted_mean, 1, PERSON, seed=0)).all()


def test_one_person_gives_no_interval():
    resampled = resample(weighted_mean, 1, ["a"] * 6, seed=0)
    assert resampled.shape == (0, 1)
    assert estimate(3.5, resampled[:, 0]) == Estimate(
        3.5, pytest.approx(np.nan, nan_ok=True), pytest.approx(np.nan, nan_ok=True), "an interval needs two persons"
    )


def test_the_interval_holds_the_middle_95_percent_of_the_resamples():
    assert estimate(50, np.arange(101.0)) == Estimate(50, 2.5, 97.5)


def test_undefined_resamples_are_left_out_of_the_interval():
    assert estimate(50, np.r_[np.arange(101.0), [np.nan] * 101]) == Estimate(50, 2.5, 97.5)


def test_mostly_undefined_resamples_give_no_interval():
    found = estimate(50, np.r_[np.arange(101.0), [np.nan] * 102])
    assert np.isnan([found.low, found.high]).all()
    assert found.reason == "undefined in most resamples: too few persons of one class"


def test_an_undefined_value_says_why():
    found = estimate(np.nan, np.arange(101.0), "no row converted")
    assert np.isnan([found.value, found.low, found.high]).all()
    assert found.reason == "no row converted"
