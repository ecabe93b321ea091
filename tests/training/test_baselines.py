import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.baselines import prevalence, recency, stage_prevalence, stage_recency

NAN = float("nan")
TRAIN_DAYS = np.array([0.0, 1.0, 3.0, 30.0, 90.0, NAN])
TRAIN_CONVERTED = np.array([True, True, True, False, False, False])
TRAIN_STAGE = np.array([2, 2, 2, 1, 0, 0])


def test_prevalence_is_the_training_share():
    assert prevalence(np.array([True, False, False, False, True, False]), 3) == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_stage_prevalence_is_the_share_of_each_stage():
    expected = np.array([[2 / 6, 1 / 6, 3 / 6, 0]] * 2)
    assert stage_prevalence(TRAIN_STAGE, 4, 2) == pytest.approx(expected)


def test_no_training_rows_are_refused():
    with pytest.raises(ValueError, match="there are no training rows"):
        prevalence(np.zeros(0, bool), 3)
    with pytest.raises(ValueError, match="there are no training rows"):
        recency(np.zeros(0), np.zeros(0, bool), np.array([1.0]))


def test_recency_of_six_rows():
    # log(1 + days) of 0, 1 and 3 is 0, ln 2 and 2 ln 2; standardised −1, 0 and 1. By symmetry the intercept is 0, and
    # the weight w > 0 on −x minimises w² / 2 + 6 ln(1 + exp(−w)): w (1 + exp(w)) = 6, w = 1.2925, 1 / (1 + exp(−w)) =
    # .7846.
    found = recency(np.array([0.0, 0, 0, 3, 3, 3]), TRAIN_CONVERTED, np.array([0.0, 1.0, 3.0]))
    assert found == pytest.approx([0.7846, 0.5, 0.2154], abs=2e-4)


def test_no_touchpoint_is_a_feature_of_its_own():
    days = np.repeat([1.0, 30.0, NAN], 500)
    converted = np.arange(1500) % 10 < np.repeat([5, 5, 1], 500)
    seen, unseen = recency(days, converted, np.array([1.0, NAN]))
    assert seen == pytest.approx(0.5, abs=0.01)
    assert unseen == pytest.approx(0.1, abs=0.01)


def test_equal_days_leave_the_share_whatever_their_rounding():
    days = np.full(6, 7.3)
    assert np.log1p(days).std() > 0
    found = recency(days, np.arange(6) < 2, np.array([7.3, 300.0]))
    assert found == pytest.approx([1 / 3, 1 / 3], abs=1e-4)


def test_nobody_with_a_touchpoint_leaves_the_share():
    assert recency(np.full(6, NAN), TRAIN_CONVERTED, np.array([NAN])) == pytest.approx([0.5], abs=1e-3)


def test_training_rows_of_one_class_give_its_share():
    assert recency(TRAIN_DAYS, np.zeros(6, bool), TRAIN_DAYS).tolist() == [0] * 6
    assert recency(TRAIN_DAYS, np.ones(6, bool), TRAIN_DAYS).tolist() == [1] * 6


def test_stage_recency_orders_the_stages_by_their_recency():
    found = stage_recency(TRAIN_DAYS, TRAIN_STAGE, 3, np.array([0.0, 400.0]))
    assert found.argmax(axis=1).tolist() == [2, 0]
    assert found.sum(axis=1) == pytest.approx([1, 1])


def test_a_stage_without_training_rows_has_probability_zero():
    found = stage_recency(TRAIN_DAYS, np.array([3, 3, 3, 0, 0, 0]), 4, TRAIN_DAYS)
    assert (found[:, [1, 2]] == 0).all()
    assert found[:, [0, 3]].sum(axis=1) == pytest.approx(np.ones(6))


def test_the_conversion_baseline_is_the_stage_baseline_of_two_stages():
    two_stages = stage_recency(TRAIN_DAYS, TRAIN_CONVERTED.astype(int), 2, TRAIN_DAYS)
    assert recency(TRAIN_DAYS, TRAIN_CONVERTED, TRAIN_DAYS) == pytest.approx(two_stages[:, 1])


def test_no_rows_to_answer_for_get_no_answer():
    assert recency(TRAIN_DAYS, TRAIN_CONVERTED, np.zeros(0)).shape == (0,)
    assert stage_recency(TRAIN_DAYS, TRAIN_STAGE, 3, np.zeros(0)).shape == (0, 3)


@pytest.mark.parametrize("wrong", [-0.5, np.inf])
def test_impossible_days_are_refused(wrong: float):
    with pytest.raises(ValueError, match="1 of 2 rows have negative or infinite days"):
        recency(TRAIN_DAYS, TRAIN_CONVERTED, np.array([1.0, wrong]))


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(6)), st.lists(st.floats(0, 1e5) | st.just(NAN), min_size=1, max_size=6))
def test_each_row_is_answered_for_on_its_own_whatever_the_training_order(order: list[int], days: list[float]):
    together = recency(TRAIN_DAYS, TRAIN_CONVERTED, np.array(days))
    shuffled = recency(TRAIN_DAYS[order], TRAIN_CONVERTED[order], np.array(days[:1]))
    assert shuffled[0] == pytest.approx(together[0], abs=1e-4)
