"""Intervals and plausible sets: Venn-Abers on four rows by hand, thresholds counted off, coverage for any scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.isotonic import IsotonicRegression

from models.intervals import VennAbers, fit_intervals, fit_stage_thresholds, fit_venn_abers

FOUR = np.array([0.1, 0.2, 0.3, 0.4])
chances = st.floats(0, 1)
known_rows = st.lists(st.tuples(chances, st.booleans()), min_size=1, max_size=40)


def test_four_rows_by_hand() -> None:
    fitted = fit_venn_abers(FOUR, np.array([False, False, True, True]))

    # At the lowest score, a further "no" fits 0, a further "yes" is levelled with the next "no": 1 in 3.
    # At the second, 0 of 2 or 1 of 2; at the third, 1 of 2 or 2 of 2; at the highest, a further "no" is levelled with
    # the "yes" before: 2 of 3.
    assert fitted.score.tolist() == FOUR.tolist()
    assert fitted.low == pytest.approx([0, 0, 1 / 2, 2 / 3])
    assert fitted.high == pytest.approx([1 / 3, 1 / 2, 1, 1])


def test_bounds_are_widened_to_hold_the_probability() -> None:
    fitted = fit_venn_abers(FOUR, np.array([False, False, True, True]))
    low, high = fitted.interval(np.array([0.1, 0.25, 0.3, 0.4]))

    assert low == pytest.approx([0, 1 / 4, 0.3, 0.4])
    assert high == pytest.approx([1 / 3, 3 / 4, 1, 1])


def test_rows_of_one_score_are_one_step_whatever_their_order() -> None:
    # Five of ten happened: with the asked row, 5 of 11 or 6 of 11.
    for happened in ([True] * 5 + [False] * 5, [False] * 5 + [True] * 5):
        fitted = fit_venn_abers(np.full(10, 0.5), np.array(happened))

        assert fitted.low == pytest.approx([5 / 11])
        assert fitted.high == pytest.approx([6 / 11])


def test_bounds_are_those_of_isotonic_regression_with_the_asked_row() -> None:
    random = np.random.default_rng(10)
    probability = random.integers(0, 12, size=60) / 12
    happened = random.random(60) < probability
    fitted = fit_venn_abers(probability, happened)

    for score, low, high in zip(fitted.score, fitted.low, fitted.high, strict=True):
        for label, bound in [(0.0, low), (1.0, high)]:
            regression = IsotonicRegression().fit(np.append(probability, score), np.append(happened, label))
            assert bound == pytest.approx(regression.predict([score])[0])


def test_the_order_of_the_rows_changes_nothing() -> None:
    happened = np.array([False, True, False, True])
    one, other = fit_venn_abers(FOUR, happened), fit_venn_abers(FOUR[::-1], happened[::-1])

    assert [one.score.tolist(), one.low.tolist(), one.high.tolist()] == [
        other.score.tolist(),
        other.low.tolist(),
        other.high.tolist(),
    ]


def test_between_and_beyond_the_grid_the_bounds_go_on() -> None:
    fitted = VennAbers(np.array([0.2, 0.4]), np.array([0.1, 0.3]), np.array([0.3, 0.7]))
    low, high = fitted.interval(np.array([0.0, 0.3, 1.0]))

    assert low == pytest.approx([0.0, 0.2, 0.3])
    assert high == pytest.approx([0.3, 0.5, 1.0])


def test_more_rows_give_narrower_intervals() -> None:
    def width(rows: int) -> float:
        random = np.random.default_rng(8)
        probability = random.random(rows)
        low, high = fit_venn_abers(probability, random.random(rows) < probability).interval(np.array([0.5]))
        return float((high - low)[0])

    assert width(4000) < 0.1 < width(40)


def test_the_bounds_of_calibrated_probabilities_lie_around_them() -> None:
    random = np.random.default_rng(9)
    probability = random.random(4000)
    fitted = fit_venn_abers(probability, random.random(4000) < probability)

    assert np.abs(fitted.low - fitted.score).max() < 0.12
    assert np.abs(fitted.high - fitted.score).max() < 0.12


@given(known_rows, st.lists(chances, min_size=1, max_size=9))
def test_any_interval_holds_its_probability_and_rises_with_it(
    known: list[tuple[float, bool]], asked: list[float]
) -> None:
    fitted = fit_venn_abers(np.array([chance for chance, _ in known]), np.array([outcome for _, outcome in known]))
    probability = np.sort(np.array(asked))
    low, high = fitted.interval(probability)

    assert (low <= probability).all()
    assert (probability <= high).all()
    assert (low >= 0).all()
    assert (high <= 1).all()
    assert (np.diff(low) >= -1e-12).all()
    assert (np.diff(high) >= -1e-12).all()


def test_thresholds_are_counted_off() -> None:
    # Of 19 rows of a class the second lowest may be the last one in: 18/20 of the next ones will be above it.
    own = np.linspace(0.05, 0.95, 19)
    probabilities = np.stack([own, 1 - own], axis=1)[::-1]

    named = np.zeros(probabilities.shape, dtype=np.bool_)
    assert fit_stage_thresholds(probabilities, np.zeros(19, dtype=np.int64), named, 0.9).tolist() == [
        pytest.approx(0.1),
        0,
    ]


@pytest.mark.parametrize(("rows", "threshold"), [(8, 0), (9, 1), (18, 1), (19, 2), (29, 3), (99, 10)])
def test_a_tenth_of_the_rows_may_fall_below(rows: int, threshold: int) -> None:
    own, named = np.arange(1, rows + 1) / 100, np.zeros((rows, 1), dtype=np.bool_)

    least = fit_stage_thresholds(own[:, None], np.zeros(rows, dtype=np.int64), named, 0.9)
    assert least == pytest.approx([threshold / 100])


def test_rows_whose_class_is_named_anyway_leave_room_for_others() -> None:
    own, named = np.arange(1, 20) / 100, np.zeros((19, 1), dtype=np.bool_)
    named[:5] = True  # of the 14 left, two may fall below

    stage = np.zeros(19, dtype=np.int64)
    assert fit_stage_thresholds(own[:, None], stage, named, 0.9) == pytest.approx([0.07])
    assert fit_stage_thresholds(own[:, None], stage, ~named, 0.9) == pytest.approx([0.02])
    assert fit_stage_thresholds(own[:, None], stage, np.ones((19, 1), dtype=np.bool_), 0.9).tolist() == [np.inf]


@given(st.lists(st.tuples(st.integers(0, 2), chances, chances, chances), min_size=1, max_size=60))
def test_nine_in_ten_rows_of_each_class_stay_in(rows: list[tuple[int, float, float, float]]) -> None:
    stage, probabilities = np.array([row[0] for row in rows]), np.array([row[1:] for row in rows])
    named = probabilities.argmax(axis=1)[:, None] == np.arange(3)
    least = fit_stage_thresholds(probabilities, stage, named, 0.9)

    assert least.shape == (3,)
    for k in set(stage.tolist()):
        assert ((probabilities >= least) | named)[stage == k, k].mean() >= 0.9
    assert all(least[k] == 0 for k in {0, 1, 2} - set(stage.tolist()))


def test_few_rows_leave_wide_intervals() -> None:
    # Of forty scored alike twenty happened: Wilson's 90 % interval, where one row more would change next to nothing.
    fitted = fit_intervals(np.full(40, 0.5), np.array([True, False] * 20))
    low, high = binomtest(20, 40).proportion_ci(0.9, method="wilson")

    assert (fitted.low, fitted.high) == (pytest.approx([low]), pytest.approx([high]))
    assert high - low > 0.25


@given(known_rows)
def test_intervals_hold_those_of_venn_abers_and_rise(rows: list[tuple[float, bool]]) -> None:
    probability, happened = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    inner, outer = fit_venn_abers(probability, happened), fit_intervals(probability, happened)

    assert (outer.low <= inner.low).all()
    assert (outer.high >= inner.high).all()
    assert (np.diff(outer.low) >= 0).all()
    assert (np.diff(outer.high) >= 0).all()
    assert (outer.low >= -1e-12).all()
    assert (outer.high <= 1 + 1e-12).all()
