"""Intervals, sets and doubts, counted by hand on six rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.honesty import doubts, interval_bins, naive_sets, set_coverage

CHANCES = np.array([0.9, 0.1, 0.2, 0.8, 0.2, 0.1])
CONVERTED = np.array([True, False, False, True, True, False])


def test_bins_rise_with_the_probability() -> None:
    lower, upper = interval_bins(CHANCES - 0.05, CHANCES + 0.05, CHANCES, CONVERTED, bins=2)

    assert (lower.n, lower.low, lower.high) == (3, pytest.approx(0.25 / 3), pytest.approx(0.55 / 3))
    assert (lower.rate, upper.rate) == (0.0, 1.0)
    assert (upper.low, upper.high) == (pytest.approx(1.75 / 3), pytest.approx(2.05 / 3))


def test_a_rate_far_from_its_interval_is_no_agreement() -> None:
    yes = np.ones(100, dtype=np.bool_)
    (wrong,) = interval_bins(np.full(100, 0.1), np.full(100, 0.3), np.full(100, 0.2), yes, bins=1)
    (right,) = interval_bins(np.full(100, 0.9), np.full(100, 0.97), np.full(100, 0.95), yes, bins=1)

    assert (wrong.holds, right.holds) == (False, True)
    assert right.rate_low == pytest.approx(0.963, abs=1e-3)  # Wilson's interval of 100 of 100


def test_sets_that_hold_the_stage_are_counted() -> None:
    plausible = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0]], dtype=np.bool_)
    found = set_coverage(plausible, np.array([0, 1, 0, 2, 2, 1]))

    assert (found.n, found.covered, found.mean_size) == (6, pytest.approx(5 / 6), pytest.approx(10 / 6))


def test_naive_sets_stop_where_the_coverage_is_reached() -> None:
    probabilities = np.array([[0.95, 0.04, 0.01], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5]])

    assert naive_sets(probabilities, 0.9).astype(int).tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_doubt_is_told_beside_the_rate() -> None:
    found = doubts(["ok", "stale", "ok", "ok", "stale", "stale"], CHANCES, CONVERTED)

    assert list(found) == ["ok", "stale", "all"]
    assert (found["ok"].n, found["ok"].base_rate) == (3, pytest.approx(2 / 3))
    assert found["ok"].log_loss == pytest.approx(-np.log([0.9, 0.8, 0.8]).mean())
    assert found["ok"].log_loss_of_rate == pytest.approx(-(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3)))
    assert found["ok"].skill == pytest.approx(0.7111, abs=1e-4)
    assert found["stale"].skill == pytest.approx(0.0468, abs=1e-4)


def test_where_all_convert_there_is_nothing_to_know() -> None:
    found = doubts(["ok"] * 3, np.full(3, 0.9), np.ones(3, dtype=np.bool_))["ok"]

    assert (found.log_loss_of_rate, np.isnan(found.skill)) == (0.0, True)


@given(st.lists(st.floats(0.01, 0.99), min_size=6, max_size=6))
def test_to_tell_all_the_rate_has_no_skill(chances: list[float]) -> None:
    rate = np.full(6, CONVERTED.mean())

    assert doubts(["ok"] * 6, rate, CONVERTED)["ok"].skill == pytest.approx(0.0)
    assert doubts(["ok"] * 6, np.array(chances), CONVERTED)["all"].n == 6
