"""The journey model: what each part may see, and forecasts that do not depend on who else is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.aggregate import Float32s
from features.event_log import EventLog, Int64s, to_us
from features.journey import DEFAULT_JOURNEY, Hide, StageLabels
from features.market import no_market
from features.rows import Embed
from features.touchpoints import TOUCHPOINT_TYPES, drop_duplicates
from features.vocabulary import learn_vocabulary
from models.journey_model import Asked, Forecast, JourneyModel, Reader

START = datetime(2024, 1, 1, tzinfo=UTC)
TIMES_EVER = "any touchpoint: times ever"


def touch(day: float, action: str, customer_id: str = "ada", **more: Any) -> dict[str, Any]:
    moment = START + timedelta(days=day)
    given = {"customer_id": customer_id, "occurred_at": moment, "channel": "web", "action": action, "actor": "customer"}
    return given | more


SIX = [
    touch(1, "visited"),
    touch(2, "asked", text="how much is it?"),
    touch(3, "purchase"),
    touch(4, "sent", actor="company"),
    touch(5, "reviewed", text="good"),
    touch(7, "visited", customer_id="bob"),
]


def log_of(touchpoints: Sequence[dict[str, Any]]) -> EventLog:
    return EventLog.from_frame(drop_duplicates(pl.DataFrame(touchpoints, schema=TOUCHPOINT_TYPES)))


def at(day: float, *customer: int) -> tuple[Int64s, Int64s]:
    moment = to_us(START + timedelta(days=day))
    return np.array(customer, dtype=np.int64), np.full(len(customer), moment, dtype=np.int64)


def reader_of(log: EventLog, **changed: Any) -> Reader:
    vocabulary = learn_vocabulary(log, np.ones(len(log), dtype=np.bool_))
    reader = Reader(DEFAULT_JOURNEY, vocabulary, False, True, no_market(vocabulary, DEFAULT_JOURNEY))
    return replace(reader, **changed)


def times_ever(reader: Reader, features: Float32s) -> list[float]:
    return features[:, [feature.name for feature in reader.catalog].index(TIMES_EVER)].tolist()


def numbers(forecast: Forecast, row: int | slice = slice(None)) -> list[Any]:
    return [np.asarray(getattr(forecast, field.name))[row].tolist() for field in fields(forecast)]


def test_the_stage_model_does_not_see_what_the_rules_look_at() -> None:
    log = log_of(SIX)
    reader = reader_of(log)
    asked = reader.read(log, *at(10, 0, 1), embed=None)

    # Of ada's five touchpoints, asked, purchase and reviewed define stages.
    assert times_ever(reader, asked.conversion.features) == [5, 1]
    assert times_ever(reader, asked.stage.features) == [2, 1]


def test_labels_that_were_brought_hide_nothing() -> None:
    log = log_of(SIX)
    reader = reader_of(log, stage_by_rule=False)
    asked = reader.read(log, *at(10, 0, 1), embed=None)

    assert asked.stage is asked.conversion
    assert times_ever(reader, asked.stage.features) == [5, 1]


RECORDED = [
    *(
        touch(day, f"stage: {stage}", "ada", channel="crm", actor="company")
        for day, stage in ((1, "awareness"), (8, "advocacy"))
    ),
    touch(2, "stage: conversion", "bob", channel="crm", actor="company"),
]
RECORDED_STAGE = "stage recorded by the CRM"


def recorded_stages(reader: Reader, features: Float32s) -> list[float]:
    return features[:, reader.column_of[RECORDED_STAGE]].tolist()


def recording_reader(log: EventLog, **changed: Any) -> Reader:
    vocabulary = learn_vocabulary(log, np.ones(len(log), dtype=np.bool_), DEFAULT_JOURNEY.stages)
    return reader_of(log, vocabulary=vocabulary, **changed)


@pytest.mark.parametrize("by_rule", [True, False])
def test_both_models_see_the_stage_that_the_crm_recorded(by_rule: bool) -> None:
    log = log_of(SIX + RECORDED)
    reader = recording_reader(log, stage_by_rule=by_rule)
    asked = reader.read(log, *at(10, 0, 1), embed=None)

    assert reader.stage_reads_record
    assert recorded_stages(reader, asked.conversion.features) == [3, 2]
    assert recorded_stages(reader, asked.stage.features) == [3, 2]


def test_a_stage_model_whose_labels_the_crm_recorded_does_not_see_them() -> None:
    log = log_of(SIX + RECORDED)
    reader = recording_reader(log, stage_by_rule=False, stage_by_record=True)
    asked = reader.read(log, *at(10, 0, 1), embed=None)

    assert not reader.stage_reads_record
    assert recorded_stages(reader, asked.conversion.features) == [3, 2]
    assert np.isnan(recorded_stages(reader, asked.stage.features)).all()
    assert times_ever(reader, asked.stage.features) == times_ever(reader, asked.conversion.features) == [5, 1]


def test_labels_that_the_crm_recorded_hide_nothing_that_is_not_read() -> None:
    log = log_of(SIX)
    asked = recording_reader(log, stage_by_rule=False, stage_by_record=True).read(log, *at(10, 0, 1), embed=None)

    assert asked.stage is asked.conversion


def test_what_the_journey_hides_nobody_sees() -> None:
    log = log_of(SIX)
    hiding = DEFAULT_JOURNEY.model_copy(update={"labels": StageLabels(hide=Hide(actions=("visited", "sent")))})

    for by_rule in (True, False):
        reader = reader_of(log, journey=hiding, stage_by_rule=by_rule)
        asked = reader.read(log, *at(10, 0, 1), embed=None)
        assert times_ever(reader, asked.conversion.features) == [3, 0]
        assert times_ever(reader, asked.stage.features) == [3, 0]


def test_a_hidden_message_is_not_read_either(embed: Embed) -> None:
    log = log_of(SIX)
    asked = reader_of(log, reads_text=True).read(log, *at(10, 0), embed=embed)

    assert asked.conversion.pools.any()
    assert not asked.stage.pools.any()


def test_nothing_counts_before_it_is_known() -> None:
    log = log_of([*SIX[:2], touch(3, "purchase", recorded_at=START + timedelta(days=6))])
    reader = reader_of(log)

    for day, times in [(0.5, 0), (1, 1), (2, 2), (5.9, 2), (6, 3)]:
        assert times_ever(reader, reader.read(log, *at(day, 0), embed=None).conversion.features) == [times]


def test_text_needs_the_embedder() -> None:
    log = log_of(SIX)

    with pytest.raises(ValueError, match="give the embedder"):
        reader_of(log, reads_text=True).read(log, *at(10, 0), embed=None)


def test_text_that_is_not_read_is_not_embedded() -> None:
    def never(texts: Sequence[str]) -> Float32s:
        raise AssertionError(f"{len(texts)} texts were embedded")

    log = log_of(SIX)
    reader = reader_of(log, reads_text=False)
    asked = reader.read(log, *at(10, 0), embed=never)

    assert asked.conversion.pools is None
    assert asked.conversion.features.shape == (1, len(reader.catalog))


def test_nothing_known_is_no_touchpoint_by_then(model: JourneyModel) -> None:
    log = log_of(SIX)
    plain = replace(model, reader=reader_of(log))
    before, on_day_one, stranger = (
        plain.reader.read(log, *asked, embed=None) for asked in (at(0, 0), at(1, 0), at(9, -1))
    )

    assert [plain.nothing_known(asked).tolist() for asked in (before, on_day_one, stranger)] == [
        [True],
        [False],
        [True],
    ]


def test_days_since_the_own_last_act_leave_the_companys_out(model: JourneyModel) -> None:
    log = log_of(SIX)
    plain = replace(model, reader=reader_of(log))
    moments = [(0, 0), (1.5, 0), (4.5, 0), (6, 0), (9, 1), (9, -1)]
    days = [float(plain.days_since_own_last(plain.reader.read(log, *at(*asked), embed=None))[0]) for asked in moments]

    assert days == pytest.approx([np.nan, 0.5, 1.5, 1, 2, np.nan], nan_ok=True)


def test_a_forecast_has_a_row_for_each_asked(model: JourneyModel, asked: Asked) -> None:
    n, forecast = len(asked.conversion.features), model.forecast(asked)

    assert forecast.stage.shape == forecast.plausible.shape == (n, 4)
    assert forecast.conversion.shape == forecast.low.shape == forecast.high.shape == (n, 2)
    assert len(forecast.percentile) == len(forecast.reliability) == n
    assert forecast.stage.sum(axis=1) == pytest.approx(np.ones(n))
    assert forecast.plausible[np.arange(n), forecast.stage.argmax(axis=1)].all()
    assert (forecast.low <= forecast.conversion).all()
    assert (forecast.conversion <= forecast.high).all()
    assert (forecast.conversion[:, 0] <= forecast.conversion[:, 1]).all()


def test_each_horizon_has_its_own_interval(model: JourneyModel, asked: Asked) -> None:
    forecast = model.forecast(asked)
    low, high = model.conversion.bounds(forecast.conversion)

    assert (forecast.low.tolist(), forecast.high.tolist()) == (low.tolist(), high.tolist())
    assert np.ptp(forecast.high - forecast.low, axis=0).min() > 0.05


def test_the_percentile_is_that_of_the_first_horizon(model: JourneyModel, asked: Asked) -> None:
    forecast = model.forecast(asked)

    assert forecast.percentile.tolist() == model.conversion.percentile(forecast.conversion[:, 0]).tolist()


def test_of_whom_nothing_is_known_the_usual_is_said(model: JourneyModel, asked: Asked) -> None:
    forecast, nothing_known = model.forecast(asked), model.nothing_known(asked)

    assert nothing_known.sum() >= 2
    assert forecast.stage[nothing_known].tolist() == [[0.4, 0.3, 0.2, 0.1]] * int(nothing_known.sum())
    assert forecast.conversion[nothing_known] == pytest.approx(
        np.tile([0.1, 1 - 0.9 * 0.8], (int(nothing_known.sum()), 1))
    )
    assert [code == "no_data" for code in forecast.reliability] == nothing_known.tolist()


def test_unheard_of_words_are_not_trusted(model: JourneyModel, embed: Embed) -> None:
    log = log_of([touch(day, "levitated", channel="moon") for day in range(5)])
    asked = model.reader.read(log, *at(6, 0), embed=embed)

    assert model.forecast(asked).reliability == ["unknown_vocabulary"]


def test_a_row_alone_has_the_forecast_it_has_among_others(
    model: JourneyModel, asked: Asked, log: EventLog, rows: tuple[Int64s, Int64s], embed: Embed
) -> None:
    together = model.forecast(asked)
    for row in range(0, len(rows[0]), 13):
        alone = model.forecast(model.reader.read(log, rows[0][row : row + 1], rows[1][row : row + 1], embed))
        assert numbers(alone, 0) == numbers(together, row)


def test_what_was_not_learnt_is_not_forecast(model: JourneyModel, asked: Asked) -> None:
    whole = model.forecast(asked)
    no_stage = replace(model, stage=None).forecast(asked)
    no_conversion = replace(model, conversion=None).forecast(asked)

    assert no_stage.stage is no_stage.plausible is None
    assert no_stage.conversion.tolist() == whole.conversion.tolist()
    assert no_conversion.conversion is no_conversion.low is no_conversion.high is no_conversion.percentile is None
    assert no_conversion.stage.tolist() == whole.stage.tolist()
    assert no_stage.reliability == no_conversion.reliability == whole.reliability


def test_no_rows_have_no_forecasts(model: JourneyModel, log: EventLog, embed: Embed) -> None:
    forecast = model.forecast(model.reader.read(log, *at(10), embed=embed))

    assert (forecast.stage.shape, forecast.conversion.shape, forecast.reliability) == ((0, 4), (0, 2), [])
