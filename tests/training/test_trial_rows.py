"""What a trial is measured by: each row's log loss, on persons that it did not learn from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from features.journey import DEFAULT_JOURNEY
from training.tree_choice import TreeChoice, TreeChoices
from training.trial_rows import Part, RowLosses, difference, inner_parts, only, relative_loss

pytestmark = pytest.mark.usefixtures("few_trees")


def losses(of_model: list[float], of_prevalence: list[float] | None = None) -> RowLosses:
    person = [f"c{row // 2}" for row in range(len(of_model))]
    return RowLosses(np.array(of_model), np.array(of_prevalence or [1.0] * len(of_model)), person)


def test_the_loss_is_a_share_of_that_of_prevalence_and_columns_count_alike() -> None:
    assert relative_loss({"a": losses([0.1, 0.3], [0.4, 0.4])}) == pytest.approx(0.5)
    assert relative_loss({"a": losses([0.2], [0.4]), "b": losses([1.5] * 4)}) == pytest.approx(1.0)
    assert math.isnan(relative_loss({}))


def test_a_difference_is_the_mean_over_rows_with_an_interval_by_person() -> None:
    usual = losses([0.5] * 6)
    better = difference(losses([0.1, 0.2, 0.3, 0.4, 0.2, 0.3]), usual, seed=0)
    assert better.value == pytest.approx(-0.25)
    assert -0.36 <= better.low < better.value < better.high <= -0.14
    assert difference(usual, usual, seed=0).value == 0.0


def test_one_target_alone_has_labels(few) -> None:
    stage, conversion = only(few.rows, "stage"), only(few.rows, "conversion")
    assert (stage.horizons_days, stage.converted.shape) == ((), (len(few.rows), 0))
    assert (stage.stage == few.rows.stage).all()
    assert (conversion.stage == -1).all()
    assert (conversion.converted == few.rows.converted).all()


@pytest.fixture(scope="module")
def part(few) -> Part:
    is_last = np.array([name[-1] == "9" for name in few.rows.customer_id])
    learnt, judged = few.rows.take(np.flatnonzero(~is_last)), few.rows.take(np.flatnonzero(is_last))
    return Part.of_rows(learnt, judged, few.log, DEFAULT_JOURNEY, None)


def test_losses_are_those_of_the_rows_whose_truth_is_known(part: Part) -> None:
    found = part.losses(TreeChoices(), seed=0)
    assert set(found) == {"conversion_30d", "conversion_90d", "stage"}
    truth = part.judged.converted[:, 1]
    known, rate = truth >= 0, (truth == 1).sum() / (truth >= 0).sum()
    column = found["conversion_90d"]
    assert column.person == [name for name, is_known in zip(part.judged.customer_id, known, strict=True) if is_known]
    assert column.of_prevalence == pytest.approx(np.where(truth[known] == 1, -np.log(rate), -np.log(1 - rate)))
    assert column.of_model.min() > 0
    assert len(found["stage"].person) == len(part.judged)


def test_other_trees_have_other_losses_and_equal_trees_equal_ones(part: Part) -> None:
    usual, again = part.losses(TreeChoices(), 0), part.losses(TreeChoices(), 0)
    other = part.losses(TreeChoices(conversion=TreeChoice(num_leaves=2)), 0)
    assert (usual["conversion_90d"].of_model == again["conversion_90d"].of_model).all()
    assert (usual["conversion_90d"].of_model != other["conversion_90d"].of_model).any()
    assert (usual["stage"].of_model == other["stage"].of_model).all()


def test_inner_parts_judge_everybody_once_and_never_whom_they_learn_from(few) -> None:
    parts = inner_parts(only(few.rows, "stage"), few.log, DEFAULT_JOURNEY, None, seed=0)
    assert sorted(name for part in parts for name in part.judged.customer_id) == sorted(few.rows.customer_id)
    assert all(not set(part.learnt.customer_id) & set(part.judged.customer_id) for part in parts)
