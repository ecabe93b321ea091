"""Calibration: smoothed targets by hand, and parameters found again that were put in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from models.calibration import Blend, Sigmoid, fit_blend, fit_class_blend, fit_shift, fit_sigmoid

outcomes = st.lists(st.tuples(st.floats(-20, 20), st.booleans()), min_size=1, max_size=30)


def test_log_odds_are_a_line() -> None:
    assert Sigmoid(2.0, -1.0).log_odds(np.array([-1.0, 0.0, 0.5])).tolist() == [-3.0, -1.0, 0.0]


def test_scores_that_say_nothing_get_the_smoothed_rate() -> None:
    # One of four happened: Platt's targets are 2/3 once and 1/5 three times.
    fitted = fit_sigmoid(np.zeros(4), np.array([True, False, False, False]))
    rate = (2 / 3 + 3 / 5) / 4

    assert fitted.intercept == pytest.approx(np.log(rate / (1 - rate)), abs=1e-4)


def test_two_scores_get_their_smoothed_rates() -> None:
    # Above: two of two; below: none of two. The targets are 3/4 and 1/4, so the line has log-odds of ±ln 3 there.
    fitted = fit_sigmoid(np.array([1.0, 1.0, -1.0, -1.0]), np.array([True, True, False, False]))

    assert (fitted.slope, fitted.intercept) == pytest.approx((np.log(3), 0.0), abs=1e-3)


def test_a_shift_makes_the_mean_right_and_few_rows_move_it_little() -> None:
    # Of 4n rows with even chances 3n happened: n - 4n * (sigmoid(s) - 1/2) = 50 s, which is ln 3 for endless n.
    def shift(n: int) -> float:
        return fit_shift(np.zeros(4 * n), np.repeat([True, True, True, False], n))

    assert shift(1_000_000) == pytest.approx(np.log(3), abs=1e-3)
    assert shift(50) == pytest.approx(0.505, abs=1e-3)  # 200 * 0.1236 + 50 * 0.505 = 50
    assert shift(1) == pytest.approx(1 / 51, abs=1e-3)
    assert fit_shift(np.zeros(0), np.zeros(0, dtype=np.bool_)) == 0.0


def test_a_known_line_is_found_again() -> None:
    random = np.random.default_rng(5)
    raw = random.normal(size=40_000)
    fitted = fit_sigmoid(raw, random.random(40_000) < expit(1.7 * raw - 2.0))

    assert (fitted.slope, fitted.intercept) == pytest.approx((1.7, -2.0), abs=0.08)


def test_the_order_of_the_scores_is_never_turned_round() -> None:
    assert fit_sigmoid(np.arange(6.0), np.arange(6) < 3).slope == 0.0


@given(outcomes)
def test_any_outcomes_give_a_finite_rising_line(rows: list[tuple[float, bool]]) -> None:
    fitted = fit_sigmoid(np.array([raw for raw, _ in rows]), np.array([happened for _, happened in rows]))

    assert fitted.slope >= 0
    assert np.isfinite([fitted.slope, fitted.intercept]).all()


def test_a_blend_is_a_weighed_sum() -> None:
    raw = np.array([[1.0, 10.0], [-2.0, 0.5]])

    assert Blend((2.0, 0.5), -1.0).log_odds(raw).tolist() == [6.0, -4.75]
    assert Blend((), 0.25).log_odds(raw[:, :0]).tolist() == [0.25, 0.25]


def test_known_weights_are_found_again() -> None:
    random = np.random.default_rng(7)
    raw = random.normal(size=(40_000, 2)) * [1.0, 5.0]
    fitted = fit_blend(raw, random.random(40_000) < expit(raw @ [1.5, 0.2] - 1.0))

    assert fitted.weights == pytest.approx((1.5, 0.2), abs=0.06)
    assert fitted.intercept == pytest.approx(-1.0, abs=0.06)


def test_a_score_that_misleads_or_never_varies_gets_no_say() -> None:
    happened = np.arange(60) % 2 == 0
    telling = np.where(np.arange(60) % 10 < 8, np.where(happened, 1.0, -1.0), 0.0)
    fitted = fit_blend(np.column_stack([telling, -telling, np.zeros(60)]), happened)

    assert fitted.weights[0] > 1
    assert fitted.weights[1] == 0
    assert np.isfinite(fitted.weights[2])


def test_a_constant_score_changes_nothing() -> None:
    random = np.random.default_rng(10)
    raw = random.normal(size=3000)
    happened = random.random(3000) < expit(raw)
    alone, beside = fit_sigmoid(raw, happened), fit_blend(np.column_stack([raw, np.full(3000, -0.46)]), happened)

    assert beside.weights == pytest.approx((alone.slope, 0.0), abs=1e-3)
    assert beside.intercept == pytest.approx(alone.intercept, abs=1e-3)


def test_twins_say_together_what_one_says_alone() -> None:
    random = np.random.default_rng(8)
    raw = random.normal(size=2000)
    happened = random.random(2000) < expit(raw)
    alone, twins = fit_sigmoid(raw, happened), fit_blend(np.column_stack([raw, raw]), happened)

    assert sum(twins.weights) == pytest.approx(alone.slope, abs=1e-3)


@given(outcomes)
def test_any_outcomes_give_finite_weights_not_below_0(rows: list[tuple[float, bool]]) -> None:
    raw = np.array([[score, -score] for score, _ in rows])
    fitted = fit_blend(raw, np.array([happened for _, happened in rows]))

    assert min(fitted.weights) >= 0
    assert np.isfinite([*fitted.weights, fitted.intercept]).all()


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found_again(factor: float) -> None:
    random = np.random.default_rng(6)
    log_odds = random.normal(size=(20_000, 3)) * 1.5
    chosen = (random.random((20_000, 1)) > softmax(log_odds, axis=1).cumsum(axis=1)).sum(axis=1)

    assert fit_class_blend(log_odds[None] / factor, chosen) == pytest.approx([factor], rel=0.05)


def test_the_factors_of_two_sources_are_found_again() -> None:
    random = np.random.default_rng(9)
    sources = random.normal(size=(2, 20_000, 3))
    chances = softmax(1.5 * sources[0] + 0.5 * sources[1], axis=1)
    chosen = (random.random((20_000, 1)) > chances.cumsum(axis=1)).sum(axis=1)

    assert fit_class_blend(sources, chosen) == pytest.approx([1.5, 0.5], abs=0.05)
    with_silence = np.stack([sources[0], np.zeros_like(sources[0]), sources[1]])
    assert fit_class_blend(with_silence, chosen) == pytest.approx([1.5, 0, 0.5], abs=0.05)


def test_class_scores_that_mislead_get_no_say() -> None:
    assert fit_class_blend(np.array([[[4.0, 0.0], [0.0, 4.0]]]), np.array([1, 0])).tolist() == [0]
