"""A journey without a label: its examples tell the stage, in training, in the bundle and in every answer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from features.errors import BadData
from features.event_log import EventLog, to_us
from features.journey import Journey
from features.rows import Embed
from models.bundle import load_bundle, save_bundle
from models.journey_model import JourneyModel
from models.reliability import Reliability
from models.stage_examples import StageByExamples
from serving.schemas import Touchpoint
from training.fit import fit
from training.labels import rows_by_rule
from training.settings import Settings
from training.train import train

STAGES = [
    {"name": "looking", "examples": ["which plan is cheapest"]},
    "buying",
    {"name": "leaving", "examples": ["please cancel my account"]},
]
DEFINITION = {"name": "words", "stages": STAGES, "conversion": {"actions": ["bought"], "horizons_days": [30]}}
JOURNEY = Journey.from_dict(DEFINITION)
SAID = ["which plan is cheapest", "please cancel my account", "hello there"]


def history(said: str | None) -> list[Touchpoint]:
    return [
        Touchpoint(datetime(2026, 1, day, 10, tzinfo=UTC), "chat", "wrote", text=said, event_id=f"{said}{day}")
        for day in range(1, 12)
    ]


@pytest.fixture(scope="module")
def log() -> EventLog:
    return EventLog.from_records([(f"c{i:02}", history(SAID[i % 3])) for i in range(30)])


@pytest.fixture(scope="module")
def model(log: EventLog, embed: Embed) -> JourneyModel:
    return fit(rows_by_rule(JOURNEY, log), log, JOURNEY, embed, seed=0)


def test_the_stage_is_that_whose_examples_are_likest(model: JourneyModel, embed: Embed) -> None:
    asked = EventLog.from_records([*((said, history(said)) for said in SAID), ("silent", history(None)), ("new", [])])
    customer = np.arange(5)
    read = model.reader.read(asked, customer, np.full(5, to_us(datetime(2026, 1, 8, tzinfo=UTC))), embed)
    forecast = model.forecast(read)

    assert isinstance(model.stage, StageByExamples)
    assert forecast.stage is not None
    assert forecast.decided is not None
    assert forecast.decided[:2].tolist() == [0, 2]
    assert forecast.stage[[3, 4]].tolist() == [[0.5, 0.0, 0.5]] * 2
    assert forecast.stage[:, 1].tolist() == [0.0] * 5
    assert Reliability.OK not in forecast.reliability
    assert forecast.reliability[:2] == [Reliability.STAGE_BY_EXAMPLES] * 2
    assert forecast.reliability[4] == Reliability.NO_DATA


def test_a_bundle_keeps_it(model: JourneyModel, tmp_path: Path) -> None:
    version = save_bundle(model, None, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")

    assert loaded.version == version
    assert isinstance(loaded.model.stage, StageByExamples)
    assert loaded.model.stage.classes.tolist() == [0, 2]
    assert loaded.model.stage.columns.tolist() == model.stage.columns.tolist()


def test_known_stages_are_learnt_instead(log: EventLog, embed: Embed) -> None:
    rules = [{"stage": "looking", "when": "any"}]
    journey = Journey.from_dict({**DEFINITION, "labels": {"rules": rules}})

    assert not isinstance(fit(rows_by_rule(journey, log), log, journey, embed, seed=0).stage, StageByExamples)


def test_where_nothing_is_read_or_asked_for_no_example_speaks(log: EventLog, embed: Embed) -> None:
    rows = rows_by_rule(JOURNEY, log)
    with pytest.raises(BadData, match="examples of what is said in two stages"):
        fit(rows, log, JOURNEY, None, seed=0)
    one = Journey.from_dict({**DEFINITION, "stages": [STAGES[0], "buying"]})
    with pytest.raises(BadData, match="examples of what is said in two stages"):
        fit(rows, log, one, embed, seed=0)


def test_a_training_is_not_judged_by_what_nobody_labelled(log: EventLog, embed: Embed) -> None:
    rows = rows_by_rule(JOURNEY, log)
    training = train(rows, log, JOURNEY, embed, 0)

    assert training.judgement is None
    assert not rows.stage_by_rule
    assert isinstance(training.model.stage, StageByExamples)
    settings = Settings.model_validate({"fit": {"learn": ["conversion"]}})
    assert train(rows, log, JOURNEY, embed, 0, settings=settings).model.stage is None
