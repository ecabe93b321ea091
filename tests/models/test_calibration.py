"""Calibration: smoothed targets by hand, and parameters found again that were put in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from models.calibration import Sigmoid, fit_sigmoid, fit_temperature

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


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found_again(factor: float) -> None:
    random = np.random.default_rng(6)
    log_odds = random.normal(size=(20_000, 3)) * 1.5
    chosen = (random.random((20_000, 1)) > softmax(log_odds, axis=1).cumsum(axis=1)).sum(axis=1)

    assert fit_temperature(log_odds / factor, chosen) == pytest.approx(factor, rel=0.05)


def test_class_scores_that_mislead_are_made_faint() -> None:
    misleading = np.array([[4.0, 0.0], [0.0, 4.0]])

    assert fit_temperature(misleading, np.array([1, 0])) == pytest.approx(np.exp(-3), rel=0.01)
