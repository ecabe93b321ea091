"""What moves the forecasts: sums of reasons, in groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.catalog import KIND_CUT
from features.vocabulary import Kind
from models.journey_model import JourneyModel
from models.reasons import explain
from training.influence import Effect, groups_of, measure_influence, summed_effects


def test_effects_of_six_rows_in_groups() -> None:
    effects = np.array([[1.0, -1, 2], [1, 1, 0], [-1, -1, 0], [0, 0, 0], [2, 0, 0], [0, 0, -2]])
    said = np.array([0.0, 0, 0, 3, -3, 0])
    summed = summed_effects(effects, said, ["web", "web", "shop"], "words")

    assert summed == [Effect("web", 1.0), Effect("words", 1.0), Effect("shop", pytest.approx(4 / 6))]


def test_what_was_said_joins_its_group() -> None:
    assert summed_effects(np.ones((2, 1)), np.full(2, -1.0), ["words"], "words") == []
    assert summed_effects(np.ones((2, 1)), np.full(2, 1.0), ["words"], "words") == [Effect("words", 2.0)]


def test_every_column_has_a_group(fitted: JourneyModel) -> None:
    groups = dict(zip((f.name for f in fitted.reader.catalog), groups_of(fitted.reader), strict=True))

    assert groups["any touchpoint: times ever"] == "amount and rhythm"
    assert groups["burstiness"] == "amount and rhythm"
    assert groups["channel web: times ever"] == "channels"
    assert groups["action visited: times ever"] == "actions"
    assert groups["message by the customer: times ever"] == "conversation"
    assert groups["open question"] == "conversation"
    assert groups["market: unusual channels"] == "market"
    assert {groups[name] for name in groups if name.startswith("steps from")} == {"actions"}


def test_a_channel_of_any_name_is_a_channel_and_recorded_stages_are_apart(fitted: JourneyModel) -> None:
    odd = (Kind("channel", "market"), Kind("campaign", "burstiness"))
    vocabulary = replace(fitted.reader.vocabulary, kinds=odd, stages_recorded=True)
    reader = replace(fitted.reader, vocabulary=vocabulary)
    groups = dict(zip((f.name for f in reader.catalog), groups_of(reader), strict=True))

    assert groups["channel market: times ever"] == "channels"
    assert groups["campaign burstiness: times ever"] == "campaigns"
    assert groups["stage recorded by the CRM"] == "stages recorded by the CRM"
    assert groups["furthest stage recorded by the CRM"] == "stages recorded by the CRM"


def test_the_strongest_reason_of_one_row_is_its_influence(fitted: JourneyModel, others, embed) -> None:
    row = int(np.flatnonzero(others.rows.customer >= 0)[7])
    one = others.rows.take(np.array([row]))
    influence = measure_influence(fitted, others.log, one, embed)
    asked = fitted.reader.read(others.log, one.customer, one.as_of_us, embed)
    (reasons,) = explain(fitted, asked, others.log, embed)
    strongest = reasons[0]

    assert (influence.rows, influence.horizon_days) == (1, 30)
    assert influence.kinds[0].name == strongest.feature.partition(KIND_CUT)[0]
    assert influence.kinds[0].size == pytest.approx(abs(strongest.effect))


def test_500_rows_speak_for_all(fitted: JourneyModel, others, embed) -> None:
    influence = measure_influence(fitted, others.log, others.rows, embed)

    assert len(others.rows) > 500
    assert influence.rows == 500
    assert {"actions", "amount and rhythm", "conversation"} <= {effect.name for effect in influence.groups}
    assert len(influence.columns) == len(fitted.reader.catalog)


def test_without_a_conversion_there_is_nothing_to_explain(fitted: JourneyModel, others, embed) -> None:
    assert measure_influence(replace(fitted, conversion=None), others.log, others.rows, embed) is None
