"""The whole of a training: judged on persons held out, then fitted on everybody."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from features.errors import BadData
from features.event_log import from_us
from features.journey import DEFAULT_JOURNEY
from training import split
from training.evaluate import forecast_rows, judge, judge_model
from training.fit import fit
from training.hold_out import hold_out
from training.settings import Settings
from training.split import time_and_person_split
from training.train import Training, train

pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    """What a training has reported of its steps."""
    return []


@pytest.fixture(scope="module")
def training(others, told: list[tuple[str, int, int]], request: pytest.FixtureRequest) -> Training:
    request.getfixturevalue("few_trees")
    return train(others.rows, others.log, DEFAULT_JOURNEY, None, 7, lambda *step: told.append(step))


def test_what_is_kept_is_fitted_on_all_rows(training: Training, others) -> None:
    whole = fit(others.rows, others.log, DEFAULT_JOURNEY, None, 7)

    assert [hazard.trees.text for hazard in training.model.conversion.hazards] == [
        hazard.trees.text for hazard in whole.conversion.hazards
    ]
    assert training.model.stage.trees.text == whole.stage.trees.text


def test_what_is_judged_is_fitted_on_other_persons(training: Training, others) -> None:
    rows = others.rows
    parts = time_and_person_split(rows.customer_id, rows.as_of_us, 90, 7, rows.converted[:, 1] == 1)
    learnt, held_out = rows.take(parts.train_rows), rows.take(parts.test_rows)
    assert not set(learnt.customer_id) & set(held_out.customer_id)

    model = fit(learnt, others.log, DEFAULT_JOURNEY, None, 7)
    asked = model.reader.read(others.log, held_out.customer, held_out.as_of_us, None)
    expected = judge(forecast_rows(model, asked), held_out, (30, 90), DEFAULT_JOURNEY, 7)
    assert training.judgement.metrics() == expected.metrics()
    assert training.judgement.conversion["conversion_90d"]["journeycast"].n_persons == len(
        {name for name, known in zip(held_out.customer_id, held_out.converted[:, 1] >= 0, strict=True) if known}
    )


def test_a_bundle_says_what_it_was_trained_on(training: Training, others) -> None:
    about, rows = training.model.about, others.rows

    assert about["trained_on"] == {
        "rows": len(rows),
        "customers": len(set(rows.customer_id)),
        "first_as_of": from_us(rows.as_of_us.min()).isoformat(),
        "last_as_of": from_us(rows.as_of_us.max()).isoformat(),
        "rows_with_stage": int((rows.stage >= 0).sum()),
        "stage_by_rule": True,
        "conversions": {
            f"conversion_{horizon}d": {
                "rows": int((rows.converted[:, h] >= 0).sum()),
                "converted": int((rows.converted[:, h] == 1).sum()),
            }
            for h, horizon in enumerate((30, 90))
        },
        "left_out": rows.left_out,
        "not_learnt": {},
    }
    assert about["settings"] == Settings().about()
    assert about["seed"] == 7
    assert set(about["libraries"]) == {"lightgbm", "numpy", "numba", "onnxruntime", "polars", "scikit-learn", "scipy"}


def test_a_bundle_says_how_well_one_like_it_did(training: Training, others) -> None:
    about = training.model.about
    parts = time_and_person_split(
        others.rows.customer_id, others.rows.as_of_us, 90, 7, others.rows.converted[:, 1] == 1
    )

    assert about["quality"] == training.judgement.metrics()
    assert about["judged_on"] == {
        "split": parts.kind,
        "why_not_by_time": parts.reason,
        "training_rows": len(parts.train_rows),
        "test_rows": len(parts.test_rows),
        "left_out_in_gap": parts.left_out_in_gap,
        "is_itself": False,
    }
    assert json.loads(json.dumps(about, allow_nan=False)) == about


@pytest.mark.usefixtures("training")
def test_it_tells_which_fit_is_on_trial(told: list[tuple[str, int, int]]) -> None:
    begun = [what for what, done, _ in told if not done]

    assert len(begun) == 10
    assert [what.endswith(" (on trial)") for what in begun] == [False] * 5 + [True] * 5
    assert [what.removesuffix(" (on trial)") for what in begun[5:]] == begun[:5]


def test_rows_too_few_to_hold_some_out_are_trained_on_unjudged(few) -> None:
    """Of 25 conversions, those of the persons held out are missing on trial, but not in the end."""
    yes, no = (np.flatnonzero(few.rows.converted[:, 0] == known) for known in (1, 0))
    parts = time_and_person_split(few.rows.customer_id, few.rows.as_of_us, None, 0)
    held_out = np.isin(yes, parts.test_rows)
    scarce = few.rows.take(np.sort(np.concatenate([yes[held_out][:5], yes[~held_out][:18], no])))
    scarce = replace(
        scarce, stage=np.full_like(scarce.stage, -1), horizons_days=(30,), converted=scarce.converted[:, :1]
    )
    training = train(scarce, few.log, DEFAULT_JOURNEY, None, 0)

    assert training.judgement is None
    assert training.model.about["quality"] == {}
    assert training.model.about["trained_on"]["conversions"]["conversion_30d"]["converted"] == 23
    assert training.model.conversion is not None


def test_too_few_conversions_in_all_are_refused(few) -> None:
    none = replace(few.rows, stage=np.full_like(few.rows.stage, -1), converted=np.zeros_like(few.rows.converted))
    with pytest.raises(BadData, match="found 0 rows with a conversion") as refused:
        train(none, few.log, DEFAULT_JOURNEY, None, 0)

    assert refused.value.code == "too_few_conversions"


def test_too_few_customers_are_refused(few) -> None:
    one = few.rows.take(np.flatnonzero(few.rows.customer == 3))
    with pytest.raises(BadData, match="found 1 customers with labels") as refused:
        train(one, few.log, DEFAULT_JOURNEY, None, 0)

    assert refused.value.code == "too_few_customers"


def test_stages_alone_are_split_by_time_without_a_gap(few, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "MIN_ROWS", 50)
    stages = replace(few.rows, horizons_days=(), converted=few.rows.converted[:, :0])
    training = train(stages, few.log, DEFAULT_JOURNEY, None, 0)

    assert training.model.conversion is None
    assert training.model.about["judged_on"]["split"] == "time and person"
    assert training.model.about["judged_on"]["left_out_in_gap"] == 0
    assert list(training.judgement.conversion) == []
    assert training.judgement.stage["journeycast"].n == training.model.about["judged_on"]["test_rows"]


def test_a_model_is_itself_judged_on_the_rows_kept_from_it(few, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.train.fit", lambda *_: pytest.fail("a second model was fitted"))
    stages = replace(few.rows, horizons_days=(), converted=few.rows.converted[:, :0])
    held_out = hold_out(stages, 0)
    training = train(held_out.learn, few.log, DEFAULT_JOURNEY, None, 0, kept=held_out.judge)

    assert training.model.about["judged_on"] == {
        "split": "time",
        "why_not_by_time": "",
        "training_rows": len(held_out.learn),
        "test_rows": len(held_out.judge),
        "left_out_in_gap": 0,
        "is_itself": True,
    }
    of_itself = judge_model(training.model, few.log, held_out.judge, None, 0)
    assert training.judgement == of_itself
    assert training.model.about["quality"] == of_itself.metrics()


def test_in_the_end_is_split_by_person(few) -> None:
    rows = few.rows
    in_the_end = replace(
        rows,
        stage=np.full_like(rows.stage, -1),
        horizons_days=(None,),
        converted=np.where(rows.converted[:, 1:] < 0, 0, rows.converted[:, 1:]),
    )
    training = train(in_the_end, few.log, DEFAULT_JOURNEY, None, 0)

    assert training.model.about["judged_on"]["why_not_by_time"] == (
        "the label window never ends, so no time lies after it"
    )
    assert training.model.about["trained_on"]["conversions"]["conversion"]["rows"] == len(rows)
    assert list(training.judgement.conversion) == ["conversion"]
