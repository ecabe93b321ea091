"""The gate: who may judge, what is compared, and a real store in which the champion's place changes hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.errors import BadUsage
from features.event_log import DAY_US, from_us
from models.bundle import load_bundle, save_bundle
from models.journey_model import JourneyModel
from models.learnt_customers import LearntCustomers
from training import tracking
from training.comparison import Comparison, Difference
from training.contender import Contender
from training.gate import as_metrics, in_words, judge_at_gate, unseen_by
from training.gate_rule import Decision, Rule
from training.labels import LabelledRows
from training.slices import slices_of
from training.tracking import (
    log_bundle,
    promote_version,
    register_bundle,
    registered_version,
    roll_back,
    tracked_run,
)

LAST_DAY = 100


def rows_of(names: list[str], days: list[int]) -> LabelledRows:
    n = len(names)
    return LabelledRows(
        customer_id=names,
        customer=np.arange(n),
        as_of_us=np.array(days, dtype=np.int64) * DAY_US,
        stage=np.full(n, -1, dtype=np.int8),
        horizons_days=(30,),
        converted=np.zeros((n, 1), dtype=np.int8),
        stage_by_rule=False,
        left_out={},
    )


@pytest.fixture(scope="module")
def model(plain_bundle: Path) -> JourneyModel:
    """One that has learnt from ada and bob until day 100, within 30 days and 90."""
    plain = load_bundle(plain_bundle).model
    about = {"trained_on": {"last_as_of": from_us(LAST_DAY * DAY_US).isoformat()}}
    conversion = replace(plain.conversion, horizons_days=(30, 90))
    return replace(plain, about=about, conversion=conversion, learnt=LearntCustomers.of(["ada", "bob"]))


# Who may judge


def test_strangers_judge_always_and_those_known_when_all_that_was_learnt_is_over(model: JourneyModel) -> None:
    rows = rows_of(["ada", "ada", "eve", "bob", "eve"], [190, 191, 50, 100, 500])

    assert unseen_by(model, rows).tolist() == [False, True, True, False, True]


def test_a_model_that_has_not_kept_from_whom_it_learnt_is_judged_by_time_alone(model: JourneyModel) -> None:
    rows = rows_of(["ada", "eve", "eve"], [191, 190, 191])

    assert unseen_by(replace(model, learnt=None), rows).tolist() == [True, False, True]


def test_a_window_that_never_ends_is_never_over(model: JourneyModel) -> None:
    endless = replace(model, conversion=replace(model.conversion, horizons_days=(30, None)))

    assert unseen_by(endless, rows_of(["ada", "eve"], [100_000, 1])).tolist() == [False, True]


def test_a_bundle_that_does_not_say_what_it_learnt_from_is_refused(plain_bundle: Path) -> None:
    with pytest.raises(BadUsage) as caught:
        unseen_by(load_bundle(plain_bundle).model, rows_of(["ada"], [1]))
    assert caught.value.code == "no_training_rows"


def test_whom_a_model_has_learnt_from_is_kept_without_their_names(model: JourneyModel, tmp_path: Path) -> None:
    names = [f"very-own-name-{i}" for i in range(50)]
    save_bundle(replace(model, learnt=LearntCustomers.of(names)), None, tmp_path / "bundle")

    assert load_bundle(tmp_path / "bundle").model.learnt.holds([*names, "stranger"]).tolist() == [True] * 50 + [False]
    assert not any(b"very-own-name" in path.read_bytes() for path in (tmp_path / "bundle").rglob("*") if path.is_file())


# What is compared


@pytest.fixture(scope="module")
def contenders(
    few: Any, many: Any, fit_briefly: Callable[..., JourneyModel], tmp_path_factory: pytest.TempPathFactory
) -> list[Contender]:
    """Two models of the default journey, on 200 and on 400 simulated customers, without text."""
    from features.journey import DEFAULT_JOURNEY

    folder, opened = tmp_path_factory.mktemp("contenders"), []
    for name, data in (("few", few), ("many", many)):
        fitted = fit_briefly(data.rows, data.log, DEFAULT_JOURNEY, None)
        about = {"trained_on": {"last_as_of": from_us(int(data.rows.as_of_us.max())).isoformat()}}
        learnt = LearntCustomers.of(f"{name}-{customer}" for customer in data.log.customer_ids)
        save_bundle(replace(fitted, about=about, learnt=learnt), None, folder / name)
        opened.append(Contender.open(folder / name))
    return opened


def test_two_models_are_compared_on_all_that_neither_knows(contenders: list[Contender], others: Any) -> None:
    comparison, decision = judge_at_gate(*contenders, others.log, others.rows, 0, Rule())

    assert comparison.rows + comparison.left_out == len(others.rows)
    assert comparison.left_out < 0.05 * len(others.rows)  # strangers taken for known
    assert comparison.log_loss.low <= comparison.log_loss.value <= comparison.log_loss.high
    assert {"channel web", "customers of 30 to 180 days"} & set(comparison.slices)
    assert 0.5 < comparison.size_ratio < 2
    assert comparison.time_ratio > 0
    assert decision.reasons
    told = in_words(comparison, decision)
    assert told[0].startswith("promoted: " if decision.is_promoted else "not promoted: ")
    assert told[-1].startswith(f"judged on {comparison.rows:,} rows of {comparison.persons:,} customers")


def test_a_model_is_not_promoted_over_itself(contenders: list[Contender], others: Any) -> None:
    comparison, decision = judge_at_gate(contenders[0], contenders[0], others.log, others.rows, 0, Rule())

    assert (comparison.log_loss.low, comparison.log_loss.high) == (0.0, 0.0)
    assert decision == Decision(False, ("challenger and champion are the same model",))


def test_models_of_other_journeys_are_refused(contenders: list[Contender], plain_bundle: Path, others: Any) -> None:
    with pytest.raises(BadUsage) as caught:
        judge_at_gate(contenders[0], Contender.open(plain_bundle), others.log, others.rows, 0, Rule())

    assert caught.value.code == "other_journey"
    assert len(caught.value.faults) == 2


def test_slices_are_the_main_channel_and_the_tenure_known_then(others: Any) -> None:
    slices = slices_of(others.log, others.rows)
    by_channel = np.sum([inside for name, inside in slices.items() if name.startswith("channel ")], axis=0)
    by_tenure = np.sum([inside for name, inside in slices.items() if name.startswith("customers ")], axis=0)

    assert by_channel.tolist() == by_tenure.tolist() == [1] * len(others.rows)
    row = int(np.flatnonzero(slices["customers of 30 to 180 days"])[0])
    customer, now = others.rows.customer[row], others.rows.as_of_us[row]
    span = slice(others.log.offsets[customer], others.log.offsets[customer + 1])
    known = others.log.known_us[span] <= now
    assert 30 < (now - others.log.occurred_us[span][known].min()) / DAY_US <= 180
    counts = np.bincount(others.log.channel[span][known])
    assert slices[f"channel {others.log.channels[counts.argmax()]}"][row]


def test_figures_for_the_tracker_are_flat_and_defined() -> None:
    difference = Difference(0.1, 0.0, float("nan"))
    comparison = Comparison(9, 2, 3, 1, difference, None, None, None, None, {"channel a&b": difference}, 1.0, 2.0, 3.0)

    assert as_metrics(comparison) == {
        "gate/rows": 9.0, "gate/converted": 2.0, "gate/persons": 3.0, "gate/left_out": 1.0,
        "gate/log_loss/value": 0.1, "gate/log_loss/low": 0.0,
        "gate/slices/channel a_b/value": 0.1, "gate/slices/channel a_b/low": 0.0,
        "gate/size_ratio": 1.0, "gate/time_ratio": 2.0, "gate/days_fresher": 3.0,
    }  # fmt: skip


# The champion's place


def holders() -> dict[str, str]:
    aliases = tracking.mlflow.MlflowClient().get_registered_model("journeycast").aliases
    return {alias: str(version) for alias, version in aliases.items()}


@pytest.mark.usefixtures("store")
def test_the_place_changes_hands_and_goes_back_step_by_step(plain_bundle: Path) -> None:
    with tracked_run("plain", {}, {}) as run_id:
        log_bundle(plain_bundle)
    assert [register_bundle(run_id) for _ in range(2)] == ["2", "3"]
    promote_version("2")
    assert holders() == {"champion": "2", "former": "1"}
    promote_version("2")
    assert holders() == {"champion": "2", "former": "1"}
    promote_version("3")
    assert holders() == {"champion": "3", "former": "2"}
    assert roll_back() == ("3", "2")
    assert holders() == {"champion": "2", "former": "1"}
    assert roll_back() == ("2", "1")
    assert holders() == {"champion": "1"}
    with pytest.raises(BadUsage) as caught:
        roll_back()
    assert caught.value.code == "no_former_champion"
    assert holders() == {"champion": "1"}


@pytest.mark.usefixtures("store")
def test_only_registered_versions_can_take_the_place() -> None:
    assert registered_version("models:/journeycast@champion") == registered_version("models:/journeycast/1") == "1"
    assert registered_version("models:/journeycast@nobody") is None
    for reference in ("bundle", "runs:/0123/bundle", "models:/other/1", "models:/journeycast"):
        with pytest.raises(BadUsage, match="names no registered version"):
            registered_version(reference)
