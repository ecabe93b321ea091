"""Guards of a training: a leak planted in the data or in the code ends it by name, and nothing honest does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.errors import BadData, BadUsage
from features.event_log import EventLog, from_us
from features.journey import DEFAULT_JOURNEY, load_journey
from features.labels_file import read_labels
from features.rows import FeatureRows
from features.simulate import simulate
from features.touchpoints import TOUCHPOINT_TYPES, drop_duplicates, read_touchpoints
from models import journey_model
from training.fit import learn_reader
from training.labels import rows_by_labels, rows_by_rule
from training.leak_guards import LEAKS, check_allowed, check_model, check_rows
from training.settings import Settings
from training.train import train

EXAMPLES = Path(__file__).parents[2] / "examples"
MICROSECOND = timedelta(microseconds=1)

Frame = pl.DataFrame


@pytest.fixture(scope="module")
def touchpoints() -> Frame:
    return drop_duplicates(simulate(120, seed=5).touchpoints)


def leaks_in(touchpoints: Frame, embed: Any = None, allowed: tuple[str, ...] = ()) -> list[str]:
    log = EventLog.from_frame(drop_duplicates(touchpoints))
    rows = rows_by_rule(DEFAULT_JOURNEY, log)
    reader = learn_reader(rows, log, DEFAULT_JOURNEY, embed is not None)
    read = reader.read(log, rows.customer, rows.as_of_us, embed)
    return check_rows(rows, reader, read, log, embed, 0, allowed)


def refused(touchpoints: Frame, embed: Any = None) -> BadData:
    with pytest.raises(BadData) as caught:
        leaks_in(touchpoints, embed)
    return caught.value


def with_rows(touchpoints: Frame, rows: list[dict[str, Any]]) -> Frame:
    return pl.concat([touchpoints, pl.DataFrame(rows, schema=TOUCHPOINT_TYPES)])


def just_before(touchpoints: Frame, describe: Callable[[bool], dict[str, Any] | None]) -> Frame:
    """A touchpoint a microsecond before each as_of, of the content that `describe` gives to who will convert or not."""
    rows = rows_by_rule(DEFAULT_JOURNEY, EventLog.from_frame(touchpoints))
    outcomes = zip(rows.customer_id, rows.as_of_us, rows.converted[:, -1], strict=True)
    told = [
        {"customer_id": name, "occurred_at": from_us(moment) - MICROSECOND, "actor": "customer", **content}
        for name, moment, converted in outcomes
        if (content := describe(converted == 1)) is not None
    ]
    return with_rows(touchpoints, told)


# Honest data


def test_simulated_journeys_hold_no_leak(touchpoints: Frame, embed: Any) -> None:
    assert leaks_in(touchpoints, embed) == []


def test_coarse_times_and_repeats_recorded_later_are_no_leak(touchpoints: Frame) -> None:
    """Days instead of moments make equal times everywhere; every repeat is known a month late."""
    daily = touchpoints.with_columns(pl.col("occurred_at", "recorded_at").dt.truncate("1d"))
    late = pl.col("occurred_at") + timedelta(days=30)
    named = daily.with_columns(recorded_at=late)
    nameless = daily.with_columns(recorded_at=late, event_id=pl.lit(None, dtype=pl.String))
    assert leaks_in(pl.concat([daily, named, nameless])) == []


def test_real_touchpoints_hold_no_leak(real_data: Path) -> None:
    """Coupons redeemed within the window of their mailing: yesterday's coupons tell tomorrow's, honestly."""
    folder = real_data / "grocery_coupons"
    journey = load_journey(EXAMPLES / "grocery_coupons.toml")
    log = EventLog.from_frame(read_touchpoints(folder / "touchpoints.parquet").frame)
    rows = rows_by_labels(journey, log, read_labels(folder / "labels.parquet").frame)
    reader = learn_reader(rows, log, journey, reads_text=False)
    read = reader.read(log, rows.customer, rows.as_of_us, None)

    assert check_rows(rows, reader, read, log, None, 0, ()) == []


# Leaks in the data


def test_a_copy_of_the_label_is_refused_by_name(touchpoints: Frame) -> None:
    copied = just_before(touchpoints, lambda converts: {"channel": "crm", "action": "won"} if converts else None)
    fault = refused(copied)

    assert fault.code == "leak_telling_feature"
    assert "channel crm: " in fault.faults[0]
    assert "alone tells conversion_" in fault.faults[0]
    assert fault.faults[0].endswith("; if that is right, go on with --allow-leak telling_feature")


def test_a_count_of_what_will_follow_is_refused_by_name(touchpoints: Frame) -> None:
    """Written back into the past by an export, as the value of a touchpoint that everybody has."""
    counted = just_before(
        touchpoints, lambda converts: {"channel": "crm", "action": "exported", "value": 3.0 if converts else 0.0}
    )
    fault = refused(counted)

    assert fault.code == "leak_telling_feature"
    assert "rank by value" in fault.faults[0]
    assert "channel crm: " in " ".join(fault.faults)


def test_words_said_after_the_outcome_are_refused_by_name(touchpoints: Frame, embed: Any) -> None:
    """Everybody writes just before as_of; who will convert writes what is only written afterwards."""
    spoken = just_before(
        touchpoints,
        lambda converts: {
            "channel": "chat",
            "action": "wrote",
            "text": "gladly received today" if converts else "nothing happened yet",
        },
    )
    fault = refused(spoken, embed)

    assert fault.code == "leak_telling_feature"
    assert any(phrase in " ".join(fault.faults) for phrase in ("gladly", "received", "nothing", "what was said"))


def test_an_act_in_the_shadow_of_the_defining_one_is_refused_by_name(touchpoints: Frame) -> None:
    purchases = touchpoints.filter(pl.col("action") == "purchase")
    invoices = purchases.with_columns(
        action=pl.lit("invoice_sent"), event_id=pl.format("invoice-{}", "event_id"), channel=pl.lit("post")
    )
    assert purchases.height >= 20
    fault = refused(pl.concat([touchpoints, invoices]))

    assert fault.code == "leak_label_evidence"
    assert fault.faults[0].startswith("post / invoice_sent happens at the very moments of hidden evidence")


def test_customers_under_two_ids_are_refused_with_their_number(touchpoints: Frame) -> None:
    active = touchpoints.filter(pl.col("actor") == "customer")["customer_id"].value_counts(sort=True)["customer_id"]
    again = touchpoints.filter(pl.col("customer_id").is_in(active[:12].implode()))
    fault = refused(pl.concat([touchpoints, again.with_columns(customer_id=pl.format("again-{}", "customer_id"))]))

    assert fault.code == "leak_twin_customers"
    assert fault.faults[0].startswith("24 of 128 labelled customers have another's history under an id of their own")
    assert not any(name in fault.faults[0] for name in active)


# Leaks in the code


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., FeatureRows]], None]:
    """Have a function of the honest `build_rows` and of what that is asked build all rows."""
    honest = journey_model.build_rows
    return lambda dishonest: monkeypatch.setattr(
        journey_model, "build_rows", lambda *asked, **more: dishonest(partial(honest, **more), *asked)
    )


def with_first(rows: FeatureRows, values: Any) -> FeatureRows:
    features = rows.features.copy()
    features[:, 0] = values
    return replace(rows, features=features)


def test_a_feature_that_counts_the_future_is_refused_by_name(touchpoints: Frame, plant: Any) -> None:
    plant(lambda honest, log, *asked: with_first(honest(log, *asked), np.diff(log.offsets)[asked[2]]))
    fault = refused(touchpoints)

    assert fault.code == "leak_future"
    assert fault.faults[0].startswith("'any touchpoint: times in 1 day' depend on what became known after as_of")


def test_a_feature_that_reads_hidden_evidence_is_refused_by_name(touchpoints: Frame, plant: Any) -> None:
    plant(lambda honest, log, vocabulary, hidden, *asked: honest(log, vocabulary, np.zeros_like(hidden), *asked))
    fault = refused(touchpoints)

    assert fault.code == "leak_label_evidence"
    assert "depend on hidden evidence" in fault.faults[0]


def test_a_feature_that_looks_at_other_customers_is_refused_by_name(touchpoints: Frame, plant: Any) -> None:
    """The rank among those asked about at once."""
    plant(lambda honest, log, *asked: with_first(honest(log, *asked), len(asked[2]) > 1))
    fault = refused(touchpoints)

    assert fault.code == "leak_serving_difference"
    assert "depend on the other customers" in fault.faults[0]


def test_a_market_that_knows_the_future_is_refused_by_name(touchpoints: Frame) -> None:
    log = EventLog.from_frame(touchpoints)
    rows = rows_by_rule(DEFAULT_JOURNEY, log)
    reader = learn_reader(rows, log, DEFAULT_JOURNEY, reads_text=False)
    known_early = replace(
        reader, market=reader.survey(replace(log, known_us=log.occurred_us - 10**13), reader.market.moments_us)
    )
    read = known_early.read(log, rows.customer, rows.as_of_us, None)
    with pytest.raises(BadData, match="'the market' depend on what became known after as_of"):
        check_rows(rows, known_early, read, log, None, 0, ())


# Going on knowingly


def test_an_allowed_leak_is_told_and_let_pass(touchpoints: Frame) -> None:
    copied = just_before(touchpoints, lambda converts: {"channel": "crm", "action": "won"} if converts else None)
    told = leaks_in(copied, allowed=("telling_feature",))

    assert told
    assert all(line.startswith("telling_feature: ") for line in told)


def test_names_that_no_guard_has_are_refused_with_the_near_miss() -> None:
    check_allowed(LEAKS)
    with pytest.raises(BadUsage, match="did you mean telling_feature") as caught:
        check_allowed(["telling_features"])
    assert caught.value.code == "no_such_leak"


@pytest.mark.usefixtures("few_trees")
def test_a_training_ends_by_the_leak_and_goes_on_where_it_is_allowed(touchpoints: Frame) -> None:
    copied = just_before(touchpoints, lambda converts: {"channel": "crm", "action": "won"} if converts else None)
    log = EventLog.from_frame(drop_duplicates(copied))
    rows = rows_by_rule(DEFAULT_JOURNEY, log)
    with pytest.raises(BadData) as caught:
        train(rows, log, DEFAULT_JOURNEY, None, 0)
    assert caught.value.code == "leak_telling_feature"

    knowingly = Settings.model_validate({"fit": {"allow_leaks": ["telling_feature"]}})
    about = train(rows, log, DEFAULT_JOURNEY, None, 0, settings=knowingly).model.about
    assert about["leaks_allowed"]
    assert all(line.startswith("telling_feature: ") for line in about["leaks_allowed"])


def test_a_model_that_answers_otherwise_once_saved_is_refused(few: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import leak_guards

    reader = learn_reader(few.rows, few.log, DEFAULT_JOURNEY, reads_text=False)
    read = reader.read(few.log, few.rows.customer, few.rows.as_of_us, None)

    class Answering:
        def __init__(self, chance: float) -> None:
            self.chance = chance

        def forecast(self, asked: Any) -> Any:
            return type("Forecast", (), {})() if asked is None else _Said(np.full(2, self.chance))

    monkeypatch.setattr(leak_guards, "save_bundle", lambda *_: None)
    for chance, told in ((0.5, []), (0.6, ["serving_difference"])):
        reopened = type("Bundle", (), {"model": Answering(chance)})
        monkeypatch.setattr(leak_guards, "load_bundle", lambda _, reopened=reopened: reopened)
        found = check_model(Answering(0.5), few.rows, read, few.log, 0, LEAKS)
        assert [line.split(":")[0] for line in found] == told


class _Said:
    def __init__(self, conversion: np.ndarray) -> None:
        self.conversion = conversion
