"""Base rates told and seen: what was counted, and what the forecasts become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from features.embedder import Embedder
from features.errors import BadData
from features.event_log import DAY_US, EventLog, to_us
from features.rows import Embed
from features.stage_rules import already_converted
from features.touchpoints import read_touchpoints
from models.bundle import load_bundle
from models.journey_model import JourneyModel
from training.base_rate_survey import SeenRate, seen_rates, told_rates
from training.labels import rows_at

AS_OF = to_us(datetime(2025, 7, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def model(trained: Path) -> JourneyModel:
    return load_bundle(trained / "bundle").model


@pytest.fixture(scope="module")
def embed(trained: Path) -> Embed:
    return Embedder.with_cache(trained / "bundle" / "embedder", threads=1).embed


@pytest.fixture(scope="module")
def log(trained: Path) -> EventLog:
    return EventLog.from_frame(read_touchpoints(trained / "simulated" / "touchpoints.parquet").frame)


def test_the_mean_forecast_of_those_who_may_convert_becomes_what_was_told(
    model: JourneyModel, log: EventLog, embed: Embed
) -> None:
    told = told_rates(model, log, embed, AS_OF, [0.02, 0.3])
    rows = rows_at(model.reader.journey, log, AS_OF)
    asked = np.flatnonzero(~already_converted(model.reader.journey, log, rows.customer, rows.as_of_us))
    read = model.reader.read(log, rows.customer[asked], rows.as_of_us[asked], embed)
    forecast = replace(model, base_rates=told).forecast(read)

    assert {column: of.rate for column, of in told.items()} == {"conversion_30d": 0.02, "conversion_90d": 0.3}
    assert forecast.conversion is not None
    assert forecast.conversion.mean(axis=0) == pytest.approx([0.02, 0.3])


def test_what_is_seen_is_counted_in_the_latest_window_that_is_over(
    model: JourneyModel, log: EventLog, embed: Embed
) -> None:
    _, seen = seen_rates(model, log, embed, AS_OF)

    for of, horizon_days in zip(seen, (30, 90), strict=True):
        rows = rows_at(model.reader.journey, log, int(log.known_us.max()) - horizon_days * DAY_US)
        outcome = rows.converted[:, rows.horizons_days.index(horizon_days)]
        assert (of.horizon_days, of.customers, of.converted) == (
            horizon_days,
            int((outcome >= 0).sum()),
            int((outcome == 1).sum()),
        )
        assert of.low < of.converted / of.customers < of.high


def test_only_what_is_beyond_doubt_moves_the_forecasts(model: JourneyModel, log: EventLog, embed: Embed) -> None:
    wrong = with_hazards_moved(model, (4.0, 4.0))
    rates, seen = seen_rates(wrong, log, embed, AS_OF)
    assert [of.is_as_forecast for of in seen] == [False, False]
    assert [of.rate for of in rates.values()] == [of.converted / of.customers for of in seen]

    right = with_hazards_moved(wrong, [of.shift for of in rates.values()])
    rates, seen = seen_rates(right, log, embed, AS_OF)
    assert seen[0].forecast == pytest.approx(seen[0].converted / seen[0].customers)
    assert seen[0].is_as_forecast
    assert not rates or rates["conversion_30d"].shift == 0.0


def with_hazards_moved(model: JourneyModel, by: Sequence[float]) -> JourneyModel:
    """A model whose hazards are surer, or less sure, than they were learnt."""
    assert model.conversion is not None
    hazards = [
        replace(of, blend=replace(of.blend, intercept=of.blend.intercept + shift))
        for of, shift in zip(model.conversion.hazards, by, strict=True)
    ]
    conversion = replace(model.conversion, hazards=tuple(hazards))
    base_log_odds = conversion.base_log_odds + np.array(by)
    return replace(model, conversion=replace(conversion, base_log_odds=base_log_odds))


def test_a_record_too_short_is_told(model: JourneyModel, log: EventLog, embed: Embed) -> None:
    with pytest.raises(BadData) as refused:
        seen_rates(model, log, embed, int(log.known_us.min()) + 31 * DAY_US)
    assert refused.value.code == "too_few_seen"
    assert "conversion_30d: found" in refused.value.faults[0]


def test_what_was_seen_in_words() -> None:
    assert str(SeenRate(30, 4, 200, 0.05, 0.008, 0.05)) == (
        "conversion_30d: 4 of 200 converted (2.0%, 0.8% to 5.0%) in the latest window that is over; forecast was 5.0%, "
        "as was forecast"
    )
    assert str(SeenRate(90, 4, 200, 0.1, 0.008, 0.05)).endswith("beyond doubt another: every forecast moves with it")
