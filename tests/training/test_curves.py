"""The points of every curve, counted by hand on six rows."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from training.curves import (
    LOG_ODDS_EDGES,
    accuracy_by_coverage,
    calibration_bins,
    confusion,
    gain_points,
    lift_points,
    observed_rate,
    precision_recall_points,
    score_counts,
    wilson,
)

# Likeliest first: yes, no, then a tie of yes and no, then two of no.
PROBABILITY = np.array([0.1, 0.9, 0.5, 0.6, 0.5, 0.2])
CONVERTED = np.array([False, True, True, False, False, False])
PERSON = ["ada", "bob", "cyd", "dan", "eve", "ada"]


def test_six_rows_in_three_bins() -> None:
    low, middle, high = calibration_bins(PROBABILITY, CONVERTED, PERSON, bins=3)

    assert (low.forecast, low.observed, low.rows, low.persons) == (pytest.approx(0.15), 0.0, 2, 1)
    assert (middle.forecast, middle.observed, middle.rows, middle.persons) == (0.5, 0.5, 2, 2)
    assert (high.forecast, high.observed, high.rows, high.persons) == (pytest.approx(0.75), 0.5, 2, 2)
    assert (middle.low, middle.high) == wilson(0.5, 2)


def test_rows_of_one_probability_share_a_bin() -> None:
    (only,) = calibration_bins(np.full(6, 0.3), CONVERTED, PERSON)

    assert (only.forecast, only.observed, only.rows, only.persons) == (pytest.approx(0.3), pytest.approx(1 / 3), 6, 5)


def test_wilsons_interval_is_the_published_one() -> None:
    # Brown, Cai and DasGupta 2001: never degenerate; 0 of 10 gives z² / (n + z²) as its upper end.
    assert wilson(0.0, 10) == (0.0, pytest.approx(3.841459 / 13.841459, rel=1e-6))
    assert wilson(0.5, 100) == (pytest.approx(0.403832, abs=1e-6), pytest.approx(0.596168, abs=1e-6))


def test_a_persons_rows_count_once_in_an_interval() -> None:
    alone = observed_rate(PROBABILITY, CONVERTED, ["ada"] * 6)
    apart = observed_rate(PROBABILITY, CONVERTED, list("abcdef"))

    assert (alone.low, alone.high) == wilson(1 / 3, 1)
    assert (apart.low, apart.high) == wilson(1 / 3, 6)
    assert alone.rows == apart.rows == 6


def test_gain_of_six_rows() -> None:
    assert gain_points(PROBABILITY, CONVERTED).tolist() == pytest.approx(
        np.array([[0, 0], [1 / 6, 1 / 2], [2 / 6, 1 / 2], [4 / 6, 1], [5 / 6, 1], [1, 1]])
    )


def test_lift_of_six_rows() -> None:
    lift = lift_points(gain_points(PROBABILITY, CONVERTED), np.array([1 / 6, 1 / 2, 1]))

    # Half the rows reach to the middle of the tie: half of its one conversion of two.
    assert lift.tolist() == [[1 / 6, 3.0], [1 / 2, 1.5], [1.0, 1.0]]


def test_precision_and_recall_of_six_rows() -> None:
    points = precision_recall_points(PROBABILITY, CONVERTED)

    assert points.tolist() == [[0.5, 1.0], [0.5, 0.5], [1.0, 0.5], [1.0, 0.4], [1.0, pytest.approx(1 / 3)]]


def test_scores_of_six_rows_by_log_odds() -> None:
    counts = score_counts(PROBABILITY, CONVERTED)
    found = {float(LOG_ODDS_EDGES[i]): line.tolist() for i, line in enumerate(counts) if line.any()}

    assert found == {-2.5: [1, 0], -1.5: [1, 0], 0.0: [2, 1], 2.0: [0, 1]}  # log-odds −2.2, −1.4, 0 and 0.4, 2.2


def test_certainties_count_in_the_outermost_bins() -> None:
    counts = score_counts(np.array([0.0, 1.0, 1e-9]), np.array([False, True, False]))

    assert (counts[0].tolist(), counts[-1].tolist(), counts.sum()) == ([2, 0], [0, 1], 3)


def test_confusion_of_six_rows() -> None:
    stage, decided = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 1])

    assert confusion(stage, decided, 3).tolist() == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]


def test_accuracy_of_the_surest_of_six_rows() -> None:
    right = np.array([False, True, True, False, True, True])

    assert accuracy_by_coverage(PROBABILITY, right).tolist() == [
        [1 / 6, 1.0], [2 / 6, 0.5], [4 / 6, 0.75], [5 / 6, 0.8], [1.0, pytest.approx(4 / 6)],
    ]  # fmt: skip


def test_without_a_conversion_every_curve_is_flat() -> None:
    never = np.zeros(6, dtype=bool)

    assert not gain_points(PROBABILITY, never)[:, 1].any()
    assert not precision_recall_points(PROBABILITY, never).any()


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.booleans()), min_size=2, max_size=40))
def test_the_area_under_the_curve_is_scikit_learns_average_precision(rows: list[tuple[float, bool]]) -> None:
    probability, converted = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    if not converted.any():
        return
    points = precision_recall_points(probability, converted)
    steps = np.diff(points[:, 0], prepend=0.0) * points[:, 1]

    assert steps.sum() == pytest.approx(sklearn.metrics.average_precision_score(converted, probability))


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_moves_no_point(random) -> None:
    order = np.array(random.sample(range(6), 6))
    probability, converted, person = PROBABILITY[order], CONVERTED[order], [PERSON[row] for row in order]

    assert calibration_bins(probability, converted, person) == calibration_bins(PROBABILITY, CONVERTED, PERSON)
    for curve in (gain_points, precision_recall_points, score_counts):
        assert curve(probability, converted).tolist() == curve(PROBABILITY, CONVERTED).tolist()
