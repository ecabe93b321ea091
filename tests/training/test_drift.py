"""What has moved since training, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from models.journey_model import JourneyModel
from training.drift import THE_FORECAST, measure_drift, measure_drift_from_kept, shift_from_grid, shift_of

NAN = float("nan")


def test_six_rows_before_and_six_after() -> None:
    before, after = np.array([0.0, 0, 0, 1, 1, NAN]), np.array([0.0, 1, 1, 1, 1, NAN])
    shift = shift_of("visits", before, after, (6, 6))

    # Shares of 0, 1 and NaN: 3, 2, 1 of six before; 1, 4, 1 of six after.
    assert shift.stability_index == pytest.approx((1 - 3) / 6 * np.log(1 / 3) + (4 - 2) / 6 * np.log(4 / 2))
    assert shift.by_chance == pytest.approx(chi2.ppf(0.95, 2) * (1 / 6 + 1 / 6))


def test_the_same_rows_have_not_moved() -> None:
    rows = np.random.default_rng(3).random(100)

    assert shift_of("visits", rows, rows[::-1], (100, 100)).stability_index == 0.0


def test_what_was_never_seen_before_counts_as_half_a_row() -> None:
    shift = shift_of("visits", np.zeros(4), np.full(4, NAN), (4, 4))

    assert shift.stability_index == pytest.approx(2 * (1 - 1 / 8) * np.log(8))


@pytest.mark.parametrize("values", [np.full(5, NAN), np.full(5, 2.0)])
def test_a_feature_that_never_varies_has_not_moved(values: np.ndarray) -> None:
    assert shift_of("visits", values, values, (5, 5)).stability_index == 0.0


def test_chance_alone_exceeds_its_bound_in_one_case_of_twenty() -> None:
    random = np.random.default_rng(4)
    shifts = [shift_of("visits", random.random(400), random.random(300), (400, 300)) for _ in range(400)]
    beyond = np.mean([shift.stability_index > shift.by_chance for shift in shifts])

    assert 0.02 < beyond < 0.09


def test_a_change_of_the_customers_is_found(fitted: JourneyModel, others, embed) -> None:
    column = fitted.reader.column_of["any touchpoint: times ever"]
    influence = np.zeros(len(fitted.reader.catalog))
    influence[[column, column + 1]] = 1.0, 0.5
    busy = np.flatnonzero(np.diff(others.log.offsets)[others.rows.customer] > 30)
    same = measure_drift(fitted, others.log, others.rows, others.rows, embed, influence)
    moved = measure_drift(fitted, others.log, others.rows, others.rows.take(busy), embed, influence)

    assert {shift.name for shift in same.shifts} >= {THE_FORECAST, "any touchpoint: times ever"}
    assert len(same.shifts) == 3
    of = {shift.name: shift for shift in moved.shifts}["any touchpoint: times ever"]
    assert of.stability_index > 0.25 > of.by_chance
    is_known = others.rows.converted[busy, 0] >= 0
    assert 0 < moved.test_rows == min(int(is_known.sum()), 5000) < len(busy)
    assert [shift.stability_index for shift in moved.shifts] == sorted(
        (shift.stability_index for shift in moved.shifts), reverse=True
    )


def test_a_bundle_has_kept_enough_of_its_training_to_find_the_change(fitted: JourneyModel, others, embed) -> None:
    column = fitted.reader.column_of["any touchpoint: times ever"]
    influence = np.eye(len(fitted.reader.catalog))[column]
    learnt = {"rows": len(others.rows), "customers": len(set(others.rows.customer_id))}
    told = replace(fitted, about={"trained_on": learnt})
    busy = others.rows.take(np.flatnonzero(np.diff(others.log.offsets)[others.rows.customer] > 30))
    drift = measure_drift_from_kept(told, others.log, busy, embed, influence)

    assert drift is not None
    assert {shift.name for shift in drift.shifts} == {THE_FORECAST, "any touchpoint: times ever"}
    of = {shift.name: shift for shift in drift.shifts}["any touchpoint: times ever"]
    assert of.stability_index > 0.25 > of.by_chance
    assert (drift.training_rows, drift.training_persons) == (learnt["rows"], learnt["customers"])


def test_the_rows_learnt_from_have_not_moved(fitted: JourneyModel, many, embed) -> None:
    told = replace(fitted, about={"trained_on": {"rows": len(many.rows), "customers": len(set(many.rows.customer_id))}})
    drift = measure_drift_from_kept(told, many.log, many.rows, embed)

    assert drift is not None
    assert len(drift.shifts) > 100
    assert [shift.name for shift in drift.shifts if shift.stability_index > shift.by_chance] == []


def test_five_points_of_a_grid_stand_for_the_values_before() -> None:
    grid = np.array([0, 0, 0, 0, 4, 5, 6, 7, 8], dtype=np.float32)

    # Three or four eighths of the values before are 0, and as many of the new ones.
    same = shift_from_grid("visits", grid, np.array([0, 0, 0, 4, 5, 6, 7, 8], dtype=np.float32), (8, 8))
    assert same.stability_index == 0.0
    # All new values are 0: of those before at most a half are, and in each eighth above half a row of eight stands in.
    moved = shift_from_grid("visits", grid, np.zeros(8, dtype=np.float32), (8, 8))
    eighths = (1 / 8 - 1 / 16) * np.log((1 / 8) / (1 / 16))
    assert moved.stability_index == pytest.approx((1 - 4 / 8) * np.log(1 / (4 / 8)) + 4 * eighths)


def test_a_model_that_kept_nothing_of_its_training_tells_no_drift(fitted: JourneyModel, others, embed) -> None:
    assert measure_drift_from_kept(replace(fitted, about={}), others.log, others.rows, embed) is None
