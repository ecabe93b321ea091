"""Newer base rates: how they are told, and that the mean forecast becomes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from features.errors import BadUsage
from models.base_rates import BaseRate, check_base_rates, hazard_shifts, moved_bounds, read_rates, shift_to
from models.conversion import cumulative

HAZARDS = np.array([[0.1, 0.2], [0.2, 0.2], [0.3, 0.1], [0.4, 0.5], [0.5, 0.25], [0.6, 0.05]])


@pytest.mark.parametrize(
    ("told", "rates"),
    [
        ([], []),
        (["30d=0.04", "90d=0.1"], [0.04, 0.1]),
        (["90d=10%", "30d=4%"], [0.04, 0.1]),
        ([" 30d=0.5% ", "90d=0.01"], [0.005, 0.01]),
    ],
)
def test_rates_are_read_in_the_order_of_the_horizons(told: list[str], rates: list[float]) -> None:
    assert read_rates(told, (30, 90)) == pytest.approx(rates)


def test_a_rate_in_the_end_is_told_by_its_name() -> None:
    assert read_rates(["end=25%"], (None,)) == [0.25]


@pytest.mark.parametrize(
    ("told", "faults"),
    [
        (["30d=0.04"], ["--base-rate is missing for 90d; tell the rate of every horizon"]),
        (
            ["30d=4", "7d=0.1", "many"],
            [
                "--base-rate 30d=4 is no rate between 0 and 1; write for example 30d=0.04 or 30d=4%",
                "--base-rate 7d=0.1: this model has the horizons 30d, 90d",
                "--base-rate many is no rate between 0 and 1; write for example 30d=0.04 or 30d=4%",
            ],
        ),
        (["30d=0.2", "90d=0.1"], ["--base-rate: a longer horizon needs a higher rate than a shorter one"]),
        (
            ["30d=1.2.3", "90d=0.1"],
            ["--base-rate 30d=1.2.3 is no rate between 0 and 1; write for example 30d=0.04 or 30d=4%"],
        ),
    ],
)
def test_all_faults_are_told_at_once(told: list[str], faults: list[str]) -> None:
    with pytest.raises(BadUsage) as refused:
        read_rates(told, (30, 90))

    assert list(refused.value.faults) == faults


def test_rates_of_other_horizons_are_refused() -> None:
    rates = {"conversion_30d": BaseRate(0.1, 0.0)}

    with pytest.raises(
        BadUsage, match=r"tells how many convert for conversion_30d, this bundle forecasts conversion_7d"
    ):
        check_base_rates(rates, (7,), Path("market"))
    check_base_rates({}, (7,), Path("market"))
    check_base_rates(rates, (30,), Path("market"))


def test_what_each_hazard_moves_by() -> None:
    rates = {"conversion_30d": BaseRate(0.1, -0.5), "conversion_90d": BaseRate(0.2, 0.25)}

    assert hazard_shifts(rates, (30, 90)).tolist() == [-0.5, 0.25]
    assert hazard_shifts({}, (30, 90)).tolist() == [0.0, 0.0]


def test_alike_customers_move_by_the_difference_of_the_log_odds() -> None:
    assert shift_to(0.1, np.full((6, 1), logit(0.2)), []) == pytest.approx(logit(0.1) - logit(0.2))


@given(st.floats(0.05, 0.6), st.floats(0.02, 0.3))
def test_the_mean_forecast_becomes_the_rate_of_each_horizon(first: float, more: float) -> None:
    log_odds, shifts = logit(HAZARDS), list[float]()
    for h, rate in enumerate((first, first + more)):
        shifts.append(shift_to(rate, log_odds[:, : h + 1], shifts))

    assert cumulative(expit(log_odds + shifts)).mean(axis=0) == pytest.approx([first, first + more])


def test_where_no_shift_reaches_the_rate_the_farthest_is_taken() -> None:
    certain, hopeless = np.full((6, 2), 700.0), np.array([[0.0, -700.0]] * 6)

    assert shift_to(0.5, certain, [0.0]) == -20.0
    assert shift_to(0.9, hopeless, [0.0]) == 20.0


def test_bounds_keep_their_distance_in_log_odds() -> None:
    learnt, moved = np.array([[0.2, 0.5]]), np.array([[0.5, 0.8]])
    low, high = moved_bounds(np.array([[0.1, 0.4]]), np.array([[0.4, 0.6]]), learnt, moved)

    assert logit(low[0, 0]) - logit(0.5) == pytest.approx(logit(0.1) - logit(0.2))
    assert logit(high[0, 1]) - logit(0.8) == pytest.approx(logit(0.6) - logit(0.5))


@given(st.lists(st.floats(0.001, 0.999), min_size=12, max_size=12), st.floats(-6, 6), st.floats(-6, 6))
def test_bounds_hold_their_probability_and_never_fall(chances: list[float], first: float, second: float) -> None:
    hazards = np.array(chances).reshape(6, 2)
    learnt = cumulative(hazards)
    moved = cumulative(expit(logit(hazards) + np.array([first, second])))
    low, high = moved_bounds(learnt * 0.9, 1 - (1 - learnt) * 0.9, learnt, moved)

    assert (low <= moved).all()
    assert (moved <= high).all()
    assert (np.diff(low, axis=1) >= -1e-12).all()
    assert (np.diff(high, axis=1) >= 0).all()
