"""Labels: windows read off six touchpoints to the microsecond, then labels that were brought."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import BadData
from features.event_log import EventLog, to_us
from features.journey import DEFAULT_JOURNEY, Conversion, Journey, Rule, StageLabels
from features.touchpoints import TOUCHPOINT_TYPES, drop_duplicates
from training.labels import LabelledRows, rows_by_labels, rows_by_rule, rows_by_stage_history

START = datetime(2024, 1, 1, tzinfo=UTC)
ONE_US = timedelta(microseconds=1)
LABELS = {
    "customer_id": pl.String,
    "as_of": pl.Datetime("us", "UTC"),
    "stage": pl.String,
    "converted": pl.Boolean,
    "horizon_days": pl.Int32,
}
UNUSED = "labels for a horizon that the journey does not name"


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def touch(number: float, action: str, customer_id: str = "ada", **more: Any) -> dict[str, Any]:
    given = {"customer_id": customer_id, "occurred_at": day(number), "channel": "web", "action": action}
    return given | {"actor": "customer"} | more


def log_of(touchpoints: Sequence[dict[str, Any]]) -> EventLog:
    return EventLog.from_frame(drop_duplicates(pl.DataFrame(touchpoints, schema=TOUCHPOINT_TYPES)))


def journey(*horizons_days: int, **changed: Any) -> Journey:
    conversion = Conversion(actions=("buy",), horizons_days=horizons_days, **changed)
    rules = (Rule(stage="seen", when="any"), Rule(stage="won", actions=("buy",)))
    return Journey(name="small", stages=("seen", "keen", "won"), conversion=conversion, labels=StageLabels(rules=rules))


def labels_of(*rows: tuple[str, datetime, str | None, bool | None, int | None]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=LABELS, orient="row")


def asked_at(*moments: datetime, customer_id: str = "ada") -> pl.DataFrame:
    """Labels that know nothing but whom and when to ask."""
    return labels_of(*((customer_id, moment, None, None, None) for moment in moments))


# ada buys on days 20 and 40; the record ends when bob is last seen.
SIX = [
    touch(0, "visit"),
    touch(10, "visit"),
    touch(20, "buy"),
    touch(40, "buy"),
    touch(5, "visit", "bob"),
    touch(60, "visit", "bob"),
]


def converted(frame: Journey, touchpoints: Sequence[dict[str, Any]], labels: pl.DataFrame) -> list[list[int]]:
    return rows_by_labels(frame, log_of(touchpoints), labels).converted.tolist()


def test_a_window_ends_with_its_last_microsecond() -> None:
    moments = [day(10) - ONE_US, day(10), day(19)]

    assert converted(journey(10), SIX, asked_at(*moments)) == [[0], [1], [1]]


def test_a_window_begins_after_as_of() -> None:
    repeatable = journey(10, repeatable=True)
    moments = [day(20) - ONE_US, day(20), day(30) - ONE_US, day(30), day(40) - ONE_US, day(40)]

    assert converted(repeatable, SIX, asked_at(*moments)) == [[1], [0], [0], [1], [1], [0]]


def test_who_has_converted_is_not_known_to_convert_for_the_first_time() -> None:
    moments = [day(20) - ONE_US, day(20), day(39)]

    assert converted(journey(10, 20), SIX, asked_at(*moments)) == [[1, 1], [-1, -1], [-1, -1]]


def test_a_repeatable_conversion_counts_again_within_each_horizon() -> None:
    assert converted(journey(5, 15, 30, repeatable=True), SIX, asked_at(day(18), day(28))) == [[1, 1, 1], [0, 1, 1]]


def test_a_window_that_is_not_over_is_not_known() -> None:
    # The record ends on day 60: windows of 10 days that begin after day 50 are not over.
    moments = [day(50), day(50) + ONE_US, day(60)]

    assert converted(journey(10), SIX, asked_at(*moments, customer_id="bob")) == [[0], [-1], [-1]]


def test_not_even_a_conversion_makes_an_unfinished_window_known() -> None:
    # Known early, they would be counted without the others of their time who may convert still.
    assert converted(journey(10, 50), SIX, asked_at(day(15))) == [[1, -1]]


def test_the_record_goes_on_until_the_last_was_known() -> None:
    late = [*SIX, touch(60, "visit", "bob", event_id="late", recorded_at=day(61))]

    assert converted(journey(10), late, asked_at(day(51), day(51) + ONE_US, customer_id="bob")) == [[0], [-1]]


def test_a_conversion_counts_when_it_happened_not_when_it_was_recorded() -> None:
    late = [*SIX, touch(12, "buy", "bob", recorded_at=day(59))]

    assert converted(journey(10), late, asked_at(day(2), day(11), day(12), customer_id="bob")) == [[1], [1], [-1]]


def test_any_of_the_journeys_actions_is_a_conversion() -> None:
    frame = journey(10).model_copy(
        update={"conversion": Conversion(actions=("buy", "subscribe"), horizons_days=(10,), repeatable=True)}
    )

    assert converted(frame, [*SIX, touch(45, "subscribe")], asked_at(day(12), day(36), day(41))) == [[1], [1], [1]]


def test_of_who_left_no_touchpoint_nothing_is_known() -> None:
    labels = pl.concat([asked_at(day(10)), asked_at(day(10), day(55), customer_id="eve")])
    rows = rows_by_labels(journey(10), log_of(SIX), labels)

    assert rows.customer.tolist() == [0, -1, -1]
    assert rows.converted.tolist() == [[1], [-1], [-1]]
    assert rows.stage.tolist() == [0, -1, -1]
    assert rows.left_out["labelled customers without a touchpoint"] == 2


def test_who_left_no_touchpoint_may_be_labelled() -> None:
    labels = labels_of(("eve", day(10), "keen", True, 10), ("ada", day(10), "seen", False, 10))
    rows = rows_by_labels(journey(10), log_of(SIX), labels)

    assert (rows.customer.tolist(), rows.stage.tolist(), rows.converted.tolist()) == ([-1, 0], [1, 0], [[1], [0]])


def test_labels_of_nobody_who_left_a_touchpoint_are_refused() -> None:
    labels = labels_of(("ADA", day(10), "seen", False, 10), ("BOB", day(10), "keen", True, 10))
    with pytest.raises(BadData, match="none of the 2 customers in the labels has a touchpoint") as refused:
        rows_by_labels(journey(10), log_of(SIX), labels)

    assert refused.value.code == "no_common_customer"


chosen_days = st.integers(0, 30)


@given(
    buys=st.lists(chosen_days, max_size=4, unique=True),
    as_of=st.lists(chosen_days, min_size=1, max_size=5, unique=True),
    horizons=st.lists(st.integers(1, 20), min_size=1, max_size=3, unique=True),
    repeatable=st.booleans(),
)
def test_windows_are_what_their_words_say(
    buys: list[int], as_of: list[int], horizons: list[int], repeatable: bool
) -> None:
    touchpoints = [touch(0, "visit"), touch(30, "buy", "bob"), *(touch(number, "buy") for number in buys)]

    def by_definition(moment: int, horizon: int) -> int:
        if moment + horizon > 30 or (not repeatable and any(buy <= moment for buy in buys)):
            return -1
        return int(any(moment < buy <= moment + horizon for buy in buys))

    frame = journey(*horizons, repeatable=repeatable)
    assert converted(frame, touchpoints, asked_at(*map(day, as_of))) == [
        [by_definition(moment, horizon) for horizon in sorted(horizons)] for moment in as_of
    ]


def test_rows_by_rule_are_those_of_the_grid() -> None:
    rows = rows_by_rule(journey(10, 40), log_of(SIX))

    # Mondays after day 0, itself a Monday, until day 60; bob is seen from day 5 on.
    mondays = [7, 14, 21, 28, 35, 42, 49, 56]
    assert rows.customer_id == ["ada"] * 8 + ["bob"] * 8
    assert rows.customer.tolist() == [0] * 8 + [1] * 8
    assert rows.as_of_us.tolist() == [to_us(day(number)) for number in mondays] * 2
    assert rows.stage.tolist() == [0, 0, 2, 2, 2, 2, 2, 2] + [0] * 8
    assert rows.horizons_days == (10, 40)
    assert rows.converted[:, 0].tolist() == [0, 1, *[-1] * 6, *[0] * 7, -1]
    assert rows.converted[:, 1].tolist() == [1, 1, *[-1] * 6, 0, 0, *[-1] * 6]
    assert rows.stage_by_rule
    assert len(rows) == 16


def test_unfinished_windows_are_counted() -> None:
    assert rows_by_rule(journey(10, 40), log_of(SIX)).left_out == {
        "windows of 10 days that are not over": 2,
        "windows of 40 days that are not over": 12,
    }


def test_without_rules_no_stage_is_known() -> None:
    frame = journey(10).model_copy(update={"labels": StageLabels()})

    assert set(rows_by_rule(frame, log_of(SIX)).stage.tolist()) == {-1}


@pytest.mark.parametrize("frame", [journey(), DEFAULT_JOURNEY], ids=["no horizon", "no purchase recorded"])
def test_what_touchpoints_cannot_tell_is_not_labelled(frame: Journey) -> None:
    rows = rows_by_rule(frame, log_of(SIX))

    assert (rows.horizons_days, rows.converted.shape, rows.left_out) == ((), (16, 0), {})


@pytest.mark.parametrize("touchpoints", [[], [touch(1, "visit")], [touch(1, "visit"), touch(1.5, "buy")]])
def test_a_record_too_short_for_a_row_is_refused(touchpoints: list[dict[str, Any]]) -> None:
    with pytest.raises(BadData, match=f"found {len(touchpoints)} touchpoints, too few or too close in time") as refused:
        rows_by_rule(journey(10), log_of(touchpoints))
    assert refused.value.code == "no_rows"


def test_some_rows_may_be_taken() -> None:
    rows = rows_by_rule(journey(10, 40), log_of(SIX))
    taken = rows.take(np.array([9, 0]))

    assert taken.customer_id == ["bob", "ada"]
    assert taken.customer.tolist() == [1, 0]
    assert taken.as_of_us.tolist() == [to_us(day(14)), to_us(day(7))]
    assert taken.stage.tolist() == [0, 0]
    assert taken.converted.tolist() == [[0, 0], [0, 1]]
    assert (taken.horizons_days, taken.left_out) == (rows.horizons_days, rows.left_out)


def stage_history(*rows: tuple[str, str, datetime] | tuple[str, str, datetime, datetime]) -> pl.DataFrame:
    moment = pl.Datetime("us", "UTC")
    schema = {"customer_id": pl.String, "stage": pl.String, "since": moment, "recorded_at": moment}
    return pl.DataFrame([(*row, None)[:4] for row in rows], schema=schema, orient="row")


def test_a_stage_lasts_from_its_beginning_until_the_next() -> None:
    history = stage_history(
        ("ada", "won", day(42)),
        ("ada", "seen", day(14) + ONE_US),
        ("ada", "keen", day(21)),
        ("ada", "seen", day(49) + ONE_US),
        ("eve", "won", day(1)),
    )
    rows = rows_by_stage_history(journey(10), log_of(SIX), history)

    assert rows.stage.tolist() == [-1, -1, 1, 1, 1, 2, 2, 0] + [-1] * 8
    assert not rows.stage_by_rule


def test_the_order_of_a_stage_history_changes_nothing() -> None:
    history = stage_history(
        *((who, stage, day(n)) for n, stage in [(6, "seen"), (20, "keen"), (41, "won")] for who in ("ada", "bob"))
    )
    one, other = (rows_by_stage_history(journey(10), log_of(SIX), told) for told in (history, history.reverse()))

    assert one.stage.tolist() == other.stage.tolist() == [0, 0, 1, 1, 1, 2, 2, 2] * 2


def test_of_stages_begun_at_once_the_one_recorded_last_counts() -> None:
    history = stage_history(
        ("ada", "seen", day(6), day(8)),
        ("ada", "keen", day(6), day(7)),
        ("bob", "seen", day(6)),
        ("bob", "keen", day(6)),
    )
    one, other = (rows_by_stage_history(journey(10), log_of(SIX), told) for told in (history, history.reverse()))

    # Where nothing was recorded, the stage further down the journey.
    assert one.stage.tolist() == other.stage.tolist() == [0] * 8 + [1] * 8


def test_labels_are_the_same_with_and_without_recorded_stages_among_the_touchpoints() -> None:
    begun = [
        touch(n, "stage: won", who, channel="crm", actor="company") for n in (-400, 70, 90) for who in ("ada", "bob")
    ]
    history = stage_history(("ada", "keen", day(21)))
    brought = labels_of(("ada", day(30), None, None, None), ("bob", day(65), None, None, None))

    for label in (
        lambda log: rows_by_rule(journey(10), log),
        lambda log: rows_by_stage_history(journey(10), log, history),
        lambda log: rows_by_labels(journey(10), log, brought),
    ):
        one, other = label(log_of(SIX)), label(log_of(SIX + begun))
        for column in ("customer", "as_of_us", "stage", "converted"):
            np.testing.assert_array_equal(getattr(one, column), getattr(other, column))
        assert (one.customer_id, one.left_out) == (other.customer_id, other.left_out)


def test_labels_say_where_the_stage_comes_from() -> None:
    log, history = log_of(SIX), stage_history(("ada", "won", day(1)))

    assert rows_by_stage_history(journey(10), log, history).stage_by_record
    assert not rows_by_rule(journey(10), log).stage_by_record


def test_beside_a_stage_history_conversions_come_from_the_touchpoints() -> None:
    log = log_of(SIX)
    rows, by_rule = (
        rows_by_stage_history(journey(10), log, stage_history(("ada", "won", day(1)))),
        rows_by_rule(journey(10), log),
    )

    assert rows.converted.tolist() == by_rule.converted.tolist()
    assert rows.left_out == by_rule.left_out
    assert (rows.customer_id, rows.as_of_us.tolist()) == (by_rule.customer_id, by_rule.as_of_us.tolist())


def test_labels_of_one_customer_and_as_of_are_one_row() -> None:
    labels = labels_of(
        ("bob", day(30), None, True, 40),
        ("ada", day(5), None, False, 40),
        ("bob", day(30), "keen", False, 10),
        ("ada", day(5), "seen", None, 10),
        ("bob", day(31), "won", None, 40),
    )
    rows = rows_by_labels(journey(10, 40), log_of(SIX), labels)

    assert rows.customer_id == ["bob", "ada", "bob"]
    assert rows.as_of_us.tolist() == [to_us(day(number)) for number in (30, 5, 31)]
    assert rows.horizons_days == (10, 40)
    assert rows.converted.tolist() == [[0, 1], [-1, 0], [-1, -1]]
    assert rows.stage.tolist() == [1, 0, 2]
    assert not rows.stage_by_rule


def test_a_label_wins_over_the_touchpoints() -> None:
    labels = labels_of(("ada", day(15), "keen", False, 10), ("bob", day(15), "won", True, 10))
    rows = rows_by_labels(journey(10), log_of(SIX), labels)

    assert (rows.converted.tolist(), rows.stage.tolist()) == ([[0], [1]], [1, 2])


def test_a_horizon_without_labels_is_learnt_from_the_touchpoints() -> None:
    labels = labels_of(("ada", day(15), "keen", False, 10), ("bob", day(15), "won", True, 10))
    rows = rows_by_labels(journey(10, 20, 50), log_of(SIX), labels)

    assert (rows.horizons_days, rows.converted.tolist()) == ((10, 20, 50), [[0, 1, -1], [1, 1, -1]])


def test_a_stage_without_labels_is_learnt_by_rule() -> None:
    labels = labels_of(("ada", day(15), None, False, 10), ("ada", day(25), None, True, 10))
    rows = rows_by_labels(journey(10), log_of(SIX), labels)

    assert (rows.stage.tolist(), rows.stage_by_rule) == ([0, 2], True)


def test_a_stage_that_some_labels_give_is_not_learnt_for_the_others() -> None:
    labels = labels_of(("ada", day(15), "keen", None, None), ("ada", day(25), None, None, None))

    assert rows_by_labels(journey(10), log_of(SIX), labels).stage.tolist() == [1, -1]


def test_without_the_journeys_actions_only_labelled_horizons_are_learnt() -> None:
    visits = [touch(0, "visit"), touch(60, "visit")]
    labels = labels_of(("ada", day(15), None, True, 10))

    rows = rows_by_labels(journey(10, 40), log_of(visits), labels)
    assert (rows.horizons_days, rows.converted.tolist()) == ((10,), [[1]])


def test_in_the_end_comes_last_and_only_from_labels() -> None:
    labels = labels_of(("ada", day(5), None, False, None), ("bob", day(15), None, True, None))

    rows = rows_by_labels(journey(10), log_of(SIX), labels)
    assert (rows.horizons_days, rows.converted.tolist()) == ((10, None), [[0, 0], [0, 1]])


def test_a_journey_without_horizons_takes_any_labels_horizon_as_the_end() -> None:
    labels = labels_of(
        ("ada", day(15), None, True, 10), ("bob", day(15), None, False, None), ("ada", day(5), None, None, 40)
    )
    rows = rows_by_labels(journey(), log_of(SIX), labels)

    assert (rows.horizons_days, rows.converted.tolist()) == ((None,), [[1], [0], [-1]])
    assert rows.left_out[UNUSED] == 0


def test_the_end_has_come_where_any_horizon_says_so() -> None:
    labels = labels_of(("ada", day(15), None, False, 10), ("ada", day(15), None, True, 40))

    for order in (labels, labels.reverse()):
        assert converted(journey(), SIX, order) == [[1]]


def test_labels_that_fall_as_the_horizon_grows_are_refused() -> None:
    labels = labels_of(("ada", day(15), None, True, 10), ("ada", day(15), None, False, None))
    with pytest.raises(
        BadData, match="1 rows are labelled converted within one horizon but not within a longer one"
    ) as refused:
        rows_by_labels(journey(10), log_of(SIX), labels)

    assert refused.value.code == "falling_labels"


def test_touchpoints_do_not_fall_behind_a_label() -> None:
    # Bob's conversion within 10 days was labelled, not recorded.
    labels = labels_of(("bob", day(15), None, True, 10))

    assert converted(journey(10, 20), SIX, labels) == [[1, 1]]


def test_touchpoints_do_not_run_ahead_of_a_label() -> None:
    # Ada bought within 10 days of day 15, but the label says that in the end it came to nothing.
    labels = labels_of(("ada", day(15), None, False, None))

    assert converted(journey(10), SIX, labels) == [[0, 0]]


def test_unfinished_windows_of_horizons_without_labels_are_counted() -> None:
    rows = rows_by_labels(journey(10, 40), log_of(SIX), asked_at(day(15), day(45), day(55)))

    assert rows.left_out["windows of 10 days that are not over (not labelled)"] == 1
    assert rows.left_out["windows of 40 days that are not over (not labelled)"] == 2


def test_labels_for_other_horizons_are_counted_not_used() -> None:
    labels = labels_of(
        ("ada", day(15), None, False, 10), ("bob", day(15), None, False, 30), ("bob", day(5), None, None, 7)
    )
    rows = rows_by_labels(journey(10), log_of(SIX), labels)

    assert rows.converted.tolist() == [[0], [-1], [-1]]
    assert rows.left_out[UNUSED] == 1


def test_labels_for_other_horizons_alone_are_refused() -> None:
    labels = labels_of(("ada", day(15), None, False, 45), ("bob", day(15), None, True, 60))

    with pytest.raises(BadData, match="conversions are for 45, 60 days, the journey asks for 10, 40;") as refused:
        rows_by_labels(journey(10, 40), log_of(SIX), labels)
    assert refused.value.code == "no_common_horizon"


def test_labels_that_know_nothing_leave_all_to_the_touchpoints() -> None:
    log = log_of(SIX)
    by_rule = rows_by_rule(journey(10, 40), log)
    asked = pl.DataFrame(
        {"customer_id": by_rule.customer_id, "as_of": pl.Series(by_rule.as_of_us).cast(pl.Datetime("us", "UTC"))}
    ).with_columns(
        stage=pl.lit(None, pl.String), converted=pl.lit(None, pl.Boolean), horizon_days=pl.lit(None, pl.Int32)
    )
    rows = rows_by_labels(journey(10, 40), log, asked)

    assert (rows.stage.tolist(), rows.converted.tolist()) == (by_rule.stage.tolist(), by_rule.converted.tolist())


@pytest.mark.parametrize("kind", ["labels", "history"])
def test_stages_that_the_journey_does_not_know_are_refused_by_name(kind: str) -> None:
    def rows() -> LabelledRows:
        if kind == "history":
            return rows_by_stage_history(journey(10), log_of(SIX), stage_history(("ada", "lost", day(1))))
        labels = labels_of(("ada", day(15), "lost", None, None), ("bob", day(15), "won", None, None))
        return rows_by_labels(journey(10), log_of(SIX), labels)

    with pytest.raises(BadData, match="the journey 'small' does not know: lost; it knows seen, keen, won") as refused:
        rows()
    assert refused.value.code == "unknown_stage"
