"""What has moved since training, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2

from models.journey_model import JourneyModel
from training.drift import THE_FORECAST, measure_drift, measure_drift_from_kept, shift_of

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
    assert moved.test_rows == min(len(busy), 5000)
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


def test_a_model_that_kept_nothing_of_its_training_tells_no_drift(fitted: JourneyModel, others, embed) -> None:
    assert measure_drift_from_kept(replace(fitted, about={}), others.log, others.rows, embed) is None
