"""The one pass over the log: all measures of six touchpoints by hand, edges to the microsecond, then what must hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.aggregate import HISTORY_MEASURES, RECORD_MEASURES, aggregate, width
from features.event_log import EventLog, to_us
from features.journey import Spans
from features.vocabulary import OTHER, Kind, Vocabulary

AS_OF = datetime(2024, 5, 19, 23, 45, tzinfo=UTC)  # a Sunday
ONE_US = timedelta(microseconds=1)

VOCABULARY = Vocabulary(
    kinds=(
        Kind("any", "touchpoint"),
        *(Kind("actor", name) for name in ("customer", "company")),
        *(Kind("channel", name) for name in ("email", "web", OTHER)),
        *(Kind("action", name) for name in ("mailed", "viewed", OTHER)),
        *(Kind("channel and action", name) for name in ("email / mailed", "email / viewed")),
        *(Kind("campaign", name) for name in ("spring", OTHER)),
        *(Kind("message", name) for name in ("customer", "company")),
    ),
    known_channels=frozenset({"email", "web"}),
    known_actions=frozenset({"mailed", "viewed", "purchased", "wrote"}),
    transitions=(("mailed", "viewed"), ("viewed", OTHER)),
    stages=("aware", "keen", "won"),
    stages_recorded=True,
)


@dataclass(frozen=True)
class Touch:
    """A touchpoint in the contract's columns, without its customer."""

    occurred_at: datetime
    channel: str = "web"
    action: str = "viewed"
    actor: str = "customer"
    value: float | None = None
    campaign: str | None = None
    text: str | None = None
    recorded_at: datetime | None = None
    event_id: str | None = None
    variant: str | None = None
    conversation_id: str | None = None


Rows = np.ndarray[Any, np.dtype[np.float32]]
Measures = dict[str, float]


def days(number: float) -> timedelta:
    return timedelta(days=number)


def recorded(stage: str, since: datetime, recorded_at: datetime | None = None) -> Touch:
    """A stage as a CRM recorded it."""
    return Touch(since, "crm", f"stage: {stage}", "company", recorded_at=recorded_at)


def rows_of(
    log: EventLog,
    customer: Sequence[int],
    moments: Sequence[datetime],
    hidden_action: str = "",
    vocabulary: Vocabulary = VOCABULARY,
) -> Rows:
    hidden = np.array([log.actions[code] == hidden_action for code in log.action], dtype=np.bool_)
    as_of_us = np.array([to_us(moment) for moment in moments], dtype=np.int64)
    return aggregate(log, vocabulary, hidden, np.array(customer, dtype=np.int64), as_of_us)


def rows_at(history: Sequence[Touch], moments: Sequence[datetime], hidden_action: str = "") -> Rows:
    log = EventLog.from_records([("ada", history)])
    return rows_of(log, [0] * len(moments), moments, hidden_action)


def of_each_kind(row: Rows) -> list[Measures]:
    table = row[: len(VOCABULARY.kinds) * len(MEASURES)].reshape(len(VOCABULARY.kinds), len(MEASURES)).tolist()
    return [dict(zip(MEASURES, measured, strict=True)) for measured in table]


def after_the_kinds(history: Sequence[Touch], as_of: datetime) -> Measures:
    row = rows_at(history, [as_of])[0, len(VOCABULARY.kinds) * len(MEASURES) :]
    return dict(zip((*HISTORY_MEASURES, *VOCABULARY.transitions, *RECORD_MEASURES), row.tolist(), strict=True))


def of_any(history: Sequence[Touch], as_of: datetime) -> Measures:
    return of_each_kind(rows_at(history, [as_of])[0])[0]


def of_the_history(history: Sequence[Touch], as_of: datetime = AS_OF) -> Measures:
    measured = after_the_kinds(history, as_of)
    return {name: measured[name] for name in HISTORY_MEASURES}


def of_the_record(history: Sequence[Touch], as_of: datetime = AS_OF) -> list[float]:
    """Stage, days in it, changes, steps back, furthest."""
    measured = after_the_kinds(history, as_of)
    return [measured[name] for name in RECORD_MEASURES]


def of_the_transitions(history: Sequence[Touch], as_of: datetime = AS_OF) -> list[float]:
    """Steps from mailed to viewed, and from viewed to another."""
    measured = after_the_kinds(history, as_of)
    return [measured[name] for name in VOCABULARY.transitions]


# Six touchpoints, five of them exactly as old as a window is long.

SIX = [
    Touch(AS_OF - days(365), "web", "viewed", value=10, campaign="spring"),
    Touch(AS_OF - days(90), "email", "mailed", "company", campaign="spring", text="New: …"),
    Touch(AS_OF - days(30), "email", "mailed", "company", value=8, campaign="summer"),
    Touch(AS_OF - days(7), "email", "viewed", value=3, text="How much?"),
    Touch(AS_OF - days(1), "chat", "wrote", "company", text="Nothing, today"),
    Touch(AS_OF - timedelta(hours=23.5), "web", "purchased", value=-1, text="Then yes"),
]
# How often within 1, 7, 30, 90, 365 days and ever; that, decayed with half-lives of 3, 30, 180 days; then the rest.
MEASURES = (
    *("1d", "7d", "30d", "90d", "365d", "ever", "decayed_3d", "decayed_30d", "decayed_180d"),
    *("days_since_last", "days_since_first", "touchpoints_since_last"),
    *("value_sum_30d", "value_sum", "value_mean", "value_last"),
)
OF_EACH_KIND = """
any touchpoint                    1 2 3 4 5 6  1.79063     3.43068  4.80904    0.979167 365      0   2   20 5   -1
actor customer                    1 1 2 2 2 3  0.995955    1.82852  2.21487    0.979167 365      0   2   12 4   -1
actor company                     0 1 1 2 3 3  0.794677    1.60216  2.59416    1        90       1   0   8  8   8
channel email                     0 0 1 2 3 3  0.199402    1.47567  2.57141    7        90       2   3   11 5.5 3
channel web                       1 1 1 1 1 2  0.797530    0.977848 1.24147    0.979167 365      0   -1  9  4.5 -1
channel (other)                   0 1 1 1 1 1  0.793701    0.977160 0.996157   1        1        1   nan nan nan nan
action mailed                     0 0 0 1 2 2  0.000976563 0.625    1.59801    30       90       3   0   8  8   8
action viewed                     0 0 1 1 1 2  0.198425    0.850885 1.21864    7        365      2   3   13 6.5 3
action (other)                    1 2 2 2 2 2  1.59123     1.95479  1.99239    0.979167 1        0   -1  -1 -1  -1
channel and action email / mailed 0 0 0 1 2 2  0.000976563 0.625    1.59801    30       90       3   0   8  8   8
channel and action email / viewed 0 0 1 1 1 1  0.198425    0.850667 0.973404   7        7        2   3   3  3   3
campaign spring                   0 0 0 0 1 2  9.31323e-10 0.125218 0.952339   90       365      4   0   10 10  10
campaign (other)                  0 0 0 1 1 1  0.000976563 0.5      0.890899   30       30       3   0   8  8   8
message customer                  1 1 2 2 2 2  0.995955    1.82830  1.96964    0.979167 7        0   2   2  1   -1
message company                   0 1 1 1 2 2  0.793701    1.10216  1.70326    1        90       1   nan nan nan nan
"""
# The gaps are 275, 60, 23, 6 and 1/48 days: mean 72.8042, deviation 103.235.
OF_THE_HISTORY = {
    "days_since_second_last": 1,
    "gap_mean_days": 72.8042,
    "gap_deviation_days": 103.235,
    "gap_now_to_mean": 0.0134493,  # 0.979167 / 72.8042
    "gap_recent_to_mean": 0.132872,  # (23 + 6 + 1/48) / 3 / 72.8042
    "burstiness": 0.172866,  # (103.235 - 72.8042) / (103.235 + 72.8042)
    "active_days_30d": 3,
    "active_days": 6,
    "sessions_30d": 2,  # the last two are 30 minutes apart, and of two days
    "sessions": 5,
    "company_share": 0.5,
    "responses": 2,  # to the second mailing and in the chat; the second mailing does not answer the first
    "response_hours": 276.25,  # (23 days + 0.5 h) / 2
    "night_share": 0.166667,  # the last, at 0:15
    "weekend_share": 0.666667,  # Saturday, Monday, Friday, Sunday, Saturday, Sunday
    "channel_entropy": 1.01140,  # of 3, 2 and 1 of 6
    "distinct_actions": 3,
    "unheard_of_share": 0.166667,  # the chat
    "gap_trend_days": -60.3958,  # (-2 * 275 - 60 + 6 + 2 / 48) / 10
    "gap_first_days": 275,
    "busiest_hour_share": 0.333333,  # the first and the chat, both on a Saturday at 23:45
    "repeat_share": 0.2,  # the second mailing
    "backward_share": 0.333333,  # from viewed to mailed; then mailed and viewed; the others have no place
    "depth": 1,
    "depth_of_last": 1,  # viewed
    "value_trend": -1.66667,  # (8 + 3 - 1) / 3 - 20 / 4
    "depth_of_second_last": 0,  # the second mailing; the chat and the purchase have no place
    "depth_of_third_last": 0,  # the first
    "hour_entropy": 1.56071,  # two in one of five hours: ln 6 - 2 ln 2 / 6
}


def test_the_measures_of_each_kind_of_six_touchpoints() -> None:
    expected = [line.rsplit(maxsplit=len(MEASURES)) for line in OF_EACH_KIND.strip().splitlines()]
    measured = [list(measures.values()) for measures in of_each_kind(rows_at(SIX, [AS_OF])[0])]

    assert [kind for kind, *_ in expected] == [f"{kind.family} {kind.name}" for kind in VOCABULARY.kinds]
    np.testing.assert_allclose(measured, [[float(number) for number in numbers] for _, *numbers in expected], rtol=5e-6)


def test_the_measures_of_the_history_of_six_touchpoints() -> None:
    assert of_the_history(SIX) == pytest.approx(OF_THE_HISTORY, rel=5e-6)


def test_the_transitions_of_six_touchpoints() -> None:
    assert of_the_transitions(SIX) == [1, 1]  # from wrote to purchased is from other to other


SIX_RECORDED = [
    recorded("aware", AS_OF - days(100)),
    recorded("keen", AS_OF - days(60), AS_OF - days(59)),
    recorded("keen", AS_OF - days(50)),  # still
    recorded("won", AS_OF - days(20), AS_OF - days(30)),
    recorded("keen", AS_OF - days(10)),
    recorded("won", AS_OF - days(2), AS_OF + ONE_US),  # not known yet
]


def test_the_measures_of_six_recorded_stages() -> None:
    assert of_the_record(SIX_RECORDED) == [1, 10, 3, 1, 2]
    assert of_the_record(SIX_RECORDED[:3]) == [1, 60, 1, 0, 1]
    assert of_the_record(SIX_RECORDED, AS_OF + ONE_US)[2:] == [4, 1, 2]


# Nothing known

NOTHING_OF_A_KIND = dict.fromkeys(MEASURES[:9], 0.0) | dict.fromkeys(MEASURES[9:], float("nan"))
COUNTS = ("active_days_30d", "active_days", "sessions_30d", "sessions", "responses", "unheard_of_share")
NOTHING_OF_THE_HISTORY = {name: 0.0 if name in COUNTS else float("nan") for name in OF_THE_HISTORY}
NOTHING_ELSE = [0.0, 0.0, float("nan"), float("nan"), 0.0, 0.0, float("nan")]  # no step, no stage, no change
NOTHING = [
    *list(NOTHING_OF_A_KIND.values()) * len(VOCABULARY.kinds),
    *NOTHING_OF_THE_HISTORY.values(),
    *NOTHING_ELSE,
]


def test_without_a_known_touchpoint_counts_are_zero_and_times_empty() -> None:
    log = EventLog.from_records([("ada", SIX), ("bob", []), ("eve", [Touch(AS_OF - days(9), action="secret")])])
    before_the_first, not_in_the_log, without_touchpoints, all_hidden = rows_of(
        log, [0, -1, 1, 2], [AS_OF - days(365) - ONE_US, AS_OF, AS_OF, AS_OF], hidden_action="secret"
    ).tolist()

    for row in (before_the_first, not_in_the_log, without_touchpoints, all_hidden):
        assert row == pytest.approx(NOTHING, nan_ok=True)


def test_an_empty_log_knows_nothing() -> None:
    rows = rows_of(EventLog.from_records([]), [-1, -1], [AS_OF, AS_OF])

    assert rows.tolist() == [pytest.approx(NOTHING, nan_ok=True)] * 2


def test_there_is_one_row_of_float32_for_each_asked_pair() -> None:
    rows = rows_at(SIX, [AS_OF, AS_OF])

    assert (rows.dtype, rows.shape) == (np.float32, (2, 276))
    assert width(VOCABULARY) == 276  # 15 kinds of 16 measures, 29 of the history, 2 transitions, 5 of the record
    assert rows_at(SIX, []).shape == (0, 276)


def test_without_a_stage_history_in_training_there_are_no_columns_for_it() -> None:
    log = EventLog.from_records([("ada", SIX + SIX_RECORDED)])
    rows = rows_of(log, [0], [AS_OF], vocabulary=replace(VOCABULARY, stages_recorded=False))

    np.testing.assert_array_equal(rows[0], rows_at(SIX, [AS_OF])[0, : -len(RECORD_MEASURES)])


# Edges, to the microsecond


def test_a_touchpoint_counts_from_its_own_microsecond_on() -> None:
    moments = [AS_OF - ONE_US, AS_OF, AS_OF + ONE_US]

    assert [of_any([Touch(AS_OF)], moment)["ever"] for moment in moments] == [0, 1, 1]
    assert of_any([Touch(AS_OF)], AS_OF)["days_since_last"] == 0


@pytest.mark.parametrize(
    ("measure", "length_days"), [("1d", 1), ("7d", 7), ("30d", 30), ("90d", 90), ("365d", 365), ("value_sum_30d", 30)]
)
def test_a_window_leaves_out_what_is_exactly_its_length_ago(measure: str, length_days: int) -> None:
    history = [Touch(AS_OF - days(length_days), value=1)]

    assert [of_any(history, moment)[measure] for moment in (AS_OF - ONE_US, AS_OF)] == [1, 0]


@pytest.mark.parametrize("measure", ["active_days_30d", "sessions_30d"])
def test_days_and_sessions_leave_out_what_is_exactly_30_days_ago(measure: str) -> None:
    history = [Touch(AS_OF - days(30))]

    assert [of_the_history(history, moment)[measure] for moment in (AS_OF - ONE_US, AS_OF)] == [1, 0]


def test_a_late_record_counts_once_it_is_recorded_and_is_as_old_as_it_is() -> None:
    late = [Touch(AS_OF - days(4), recorded_at=AS_OF)]

    assert [of_any(late, moment)["ever"] for moment in (AS_OF - days(4), AS_OF - ONE_US, AS_OF)] == [0, 0, 1]
    assert of_any(late, AS_OF)["days_since_last"] == 4


def test_an_early_record_does_not_count_before_it_has_occurred() -> None:
    announced = [Touch(AS_OF, recorded_at=AS_OF - days(4))]

    assert [of_any(announced, moment)["ever"] for moment in (AS_OF - days(4), AS_OF - ONE_US, AS_OF)] == [0, 0, 1]


def test_a_late_record_takes_its_place_among_the_others() -> None:
    history = [Touch(AS_OF - days(3)), Touch(AS_OF - days(2), recorded_at=AS_OF), Touch(AS_OF - days(1))]

    assert of_the_history(history, AS_OF - ONE_US)["gap_mean_days"] == 2
    assert of_the_history(history, AS_OF)["gap_mean_days"] == 1


def test_over_30_minutes_end_a_session() -> None:
    first = AS_OF - days(1)

    def sessions(gap: timedelta) -> float:
        return of_the_history([Touch(first), Touch(first + gap)])["sessions"]

    assert [sessions(timedelta(minutes=30)), sessions(timedelta(minutes=30) + ONE_US)] == [1, 2]


def test_a_session_goes_on_while_each_touchpoint_follows_within_30_minutes() -> None:
    history = [Touch(AS_OF - timedelta(minutes=minutes)) for minutes in (80, 55, 25, 0)]

    assert of_the_history(history)["sessions"] == 1


def test_active_days_are_days_in_utc() -> None:
    midnight = datetime(2024, 5, 18, tzinfo=UTC)

    assert of_the_history([Touch(midnight), Touch(midnight + days(1) - ONE_US)])["active_days"] == 1
    assert of_the_history([Touch(midnight), Touch(midnight - ONE_US)])["active_days"] == 2


@pytest.mark.parametrize(
    ("day", "share"),
    [((2024, 5, 18), 1), ((2024, 5, 19), 1), ((2024, 5, 17), 0), ((2024, 5, 20), 0), ((1969, 12, 28), 1)],
    ids=["Saturday", "Sunday", "Friday", "Monday", "Sunday before 1970"],
)
def test_the_weekend_is_saturday_and_sunday(day: tuple[int, int, int], share: int) -> None:
    midnight = datetime(*day, tzinfo=UTC)

    for moment in (midnight, midnight + days(1) - ONE_US):
        assert of_the_history([Touch(moment)], moment)["weekend_share"] == share


@pytest.mark.parametrize("midnight", [datetime(2024, 5, 18, tzinfo=UTC), datetime(1969, 12, 28, tzinfo=UTC)])
def test_the_night_ends_at_6(midnight: datetime) -> None:
    six = midnight + timedelta(hours=6)

    assert [of_the_history([Touch(moment)])["night_share"] for moment in (midnight - ONE_US, midnight)] == [0, 1]
    assert [of_the_history([Touch(moment)])["night_share"] for moment in (six - ONE_US, six)] == [1, 0]


# Few touchpoints


def test_one_touchpoint_has_no_rhythm() -> None:
    measured = of_the_history([Touch(AS_OF - days(2))])

    assert [name for name, value in measured.items() if np.isnan(value)] == [
        *("days_since_second_last", "gap_mean_days", "gap_deviation_days", "gap_now_to_mean", "gap_recent_to_mean"),
        *("burstiness", "response_hours"),
        *("gap_trend_days", "gap_first_days", "repeat_share", "backward_share", "value_trend"),
        *("depth_of_second_last", "depth_of_third_last"),
    ]


def test_two_touchpoints_have_one_gap() -> None:
    measured = of_the_history([Touch(AS_OF - days(6)), Touch(AS_OF - days(2))])

    assert (measured["gap_mean_days"], measured["gap_deviation_days"], measured["burstiness"]) == (4, 0, -1)
    assert (measured["gap_now_to_mean"], measured["gap_recent_to_mean"]) == (0.5, 1)
    assert measured["gap_first_days"] == 4
    assert np.isnan(measured["gap_trend_days"])


def test_equal_gaps_have_no_deviation() -> None:
    gap = timedelta(minutes=21, microseconds=1)  # rounding leaves a variance just below zero
    measured = of_the_history([Touch(AS_OF - times * gap) for times in range(4)])

    assert (measured["gap_deviation_days"], measured["burstiness"], measured["gap_recent_to_mean"]) == (0, -1, 1)


def test_touchpoints_of_one_instant_have_gaps_but_no_rhythm() -> None:
    measured = of_the_history([Touch(AS_OF, channel) for channel in ("chat", "email", "web")])

    assert (measured["gap_mean_days"], measured["gap_deviation_days"], measured["sessions"]) == (0, 0, 1)
    assert all(np.isnan(measured[ratio]) for ratio in ("gap_now_to_mean", "gap_recent_to_mean", "burstiness"))


def test_a_company_act_is_answered_by_the_next_touchpoint_only() -> None:
    mailed, other = Touch(AS_OF - days(3), actor="company"), Touch(AS_OF - days(2), "chat", actor="company")
    answer = Touch(AS_OF - days(1))

    assert of_the_history([answer, Touch(AS_OF, actor="company")])["responses"] == 0
    assert of_the_history([mailed, other, answer])["responses"] == 1
    assert of_the_history([mailed, other, answer])["response_hours"] == 24
    assert of_the_history([mailed, answer, Touch(AS_OF)])["response_hours"] == 48


def acted(*actions: str) -> list[Touch]:
    return [Touch(AS_OF - days(len(actions) - i), action=action) for i, action in enumerate(actions)]


def test_equal_gaps_neither_deviate_nor_have_a_trend() -> None:
    third_of_a_day = timedelta(hours=8, microseconds=1)
    measured = of_the_history([Touch(AS_OF - i * third_of_a_day) for i in range(50)])

    assert (measured["gap_deviation_days"], measured["gap_trend_days"], measured["burstiness"]) == (0, 0, -1)


def test_gaps_that_grow_by_half_a_day_have_that_trend() -> None:
    measured = of_the_history([Touch(AS_OF - days(age)) for age in (10, 9, 7.5, 5.5, 3)])

    assert measured["gap_trend_days"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("actions", "repeats", "backward"),
    [
        (("viewed", "viewed", "viewed"), 1, 0),
        (("mailed", "viewed", "mailed", "viewed"), 0, 1 / 3),
        (("viewed", "sang", "mailed"), 0, 1),
        (("sang", "sang", "viewed"), 0.5, np.nan),
    ],
    ids=["again", "there and back", "across an unusual action", "one usual action"],
)
def test_steps_go_from_usual_action_to_usual_action(actions: tuple[str], repeats: float, backward: float) -> None:
    measured = of_the_history(acted(*actions))

    assert measured["repeat_share"] == repeats
    assert measured["backward_share"] == pytest.approx(backward, nan_ok=True)


@pytest.mark.parametrize(
    ("actions", "depth", "of_last"),
    [
        (("viewed", "mailed"), 1, 0),
        (("mailed", "sang"), 0, 0),
        (("mailed", "viewed"), 1, 1),
        (("sang",), np.nan, np.nan),
    ],
)
def test_depth_is_the_place_in_the_usual_order(actions: tuple[str], depth: float, of_last: float) -> None:
    measured = of_the_history(acted(*actions))

    assert [measured["depth"], measured["depth_of_last"]] == pytest.approx([depth, of_last], nan_ok=True)


@pytest.mark.parametrize(
    ("later", "share"),
    [(days(7), 1), (timedelta(minutes=59), 1), (timedelta(hours=1), 0.5), (days(1), 0.5), (days(-364), 1)],
)
def test_an_hour_of_the_week_comes_again_after_seven_days(later: timedelta, share: float) -> None:
    nine = datetime(2024, 5, 13, 9, tzinfo=UTC)

    assert of_the_history([Touch(nine), Touch(nine + later)], nine + days(9))["busiest_hour_share"] == share


@pytest.mark.parametrize(
    ("values", "trend"),
    [((), np.nan), ((5,), 0), ((1, 3), 0), ((4, None, 1, 1, 1), -0.75), ((0, 0, 0, 1, 1, 4), 1)],
)
def test_the_value_trend_is_that_of_the_last_three_values(values: tuple[float | None, ...], trend: float) -> None:
    history = [Touch(AS_OF - days(len(values) - i), value=value) for i, value in enumerate(values)]

    assert of_the_history(history)["value_trend"] == pytest.approx(trend, nan_ok=True)


def test_decayed_counts_hold_over_a_life() -> None:
    ages = [3650 * 9, 3650 * 8, 3650, 6, 3]  # of which 3 days are thousands of half-lives

    measured = of_any([Touch(AS_OF - days(age)) for age in ages], AS_OF)
    assert measured["decayed_3d"] == 0.75
    assert measured["decayed_180d"] == pytest.approx(sum(2 ** (-age / 180) for age in ages), rel=1e-6)


@pytest.mark.parametrize(
    ("hours", "entropy"),
    [((0,), 0), ((0, 0.5), 0), ((0, 1), np.log(2)), ((0, 168, 336, 1), np.log(4) - 0.75 * np.log(3)), ((), np.nan)],
    ids=["one", "one hour", "two hours", "one hour of three weeks", "none"],
)
def test_the_hours_of_the_week_have_an_entropy(hours: tuple[float, ...], entropy: float) -> None:
    nine = datetime(2024, 4, 1, 9, tzinfo=UTC)
    history = [Touch(nine + timedelta(hours=hour)) for hour in hours]

    assert of_the_history(history)["hour_entropy"] == pytest.approx(entropy, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize(
    ("actions", "last", "second", "third"),
    [
        (("mailed", "viewed", "viewed", "mailed"), 0, 1, 1),
        (("viewed", "sang", "mailed", "sang"), 0, 1, np.nan),
        (("sang", "viewed"), 1, np.nan, np.nan),
    ],
)
def test_the_last_three_usual_actions_say_where_they_stand(
    actions: tuple[str, ...], last: float, second: float, third: float
) -> None:
    measured = of_the_history(acted(*actions))

    found = [measured[name] for name in ("depth_of_last", "depth_of_second_last", "depth_of_third_last")]
    assert found == pytest.approx([last, second, third], nan_ok=True)


@pytest.mark.parametrize(
    ("actions", "steps"),
    [
        (("mailed", "viewed", "mailed", "viewed", "viewed"), [2, 0]),
        (("viewed", "sang", "wrote", "viewed", "purchased"), [0, 2]),
        (("viewed", "mailed"), [0, 0]),
        ((), [0, 0]),
    ],
)
def test_transitions_are_steps_from_one_kind_of_action_to_another(actions: tuple[str, ...], steps: list[float]) -> None:
    assert of_the_transitions(acted(*actions)) == steps


# What a CRM recorded


def test_a_recorded_stage_is_in_no_measure_of_the_touchpoints() -> None:
    both = rows_at(SIX + SIX_RECORDED, [AS_OF])[0]

    np.testing.assert_array_equal(both[: -len(RECORD_MEASURES)], rows_at(SIX, [AS_OF])[0, : -len(RECORD_MEASURES)])


def test_a_recorded_stage_counts_from_its_own_microsecond_on() -> None:
    begun, late = recorded("keen", AS_OF), recorded("won", AS_OF - days(1), AS_OF)
    nothing = [np.nan, np.nan, 0, 0, np.nan]

    assert of_the_record([begun], AS_OF - ONE_US) == pytest.approx(nothing, nan_ok=True)
    assert of_the_record([begun], AS_OF) == [1, 0, 0, 0, 1]
    assert of_the_record([late], AS_OF - ONE_US) == pytest.approx(nothing, nan_ok=True)
    assert of_the_record([late], AS_OF) == [2, 1, 0, 0, 2]


def test_a_late_record_takes_its_place_among_the_recorded_stages() -> None:
    history = [
        recorded("aware", AS_OF - days(9)),
        recorded("won", AS_OF - days(5), AS_OF),
        recorded("keen", AS_OF - days(1)),
    ]

    assert of_the_record(history, AS_OF - ONE_US)[2:] == [1, 0, 1]
    assert of_the_record(history, AS_OF)[2:] == [2, 1, 2]


def test_of_stages_begun_at_once_the_one_recorded_last_counts_and_then_the_furthest() -> None:
    since = AS_OF - days(3)
    corrected = [recorded("won", since), recorded("aware", since, AS_OF - days(1))]

    assert of_the_record(corrected, AS_OF - days(2)) == [2, 1, 0, 0, 2]
    assert of_the_record(corrected) == [0, 3, 0, 0, 0]  # what was corrected never was
    assert of_the_record([recorded("keen", since), recorded("aware", since)]) == [1, 3, 0, 0, 1]


def test_a_stage_that_the_journey_does_not_know_is_an_unheard_of_touchpoint() -> None:
    history = [Touch(AS_OF - days(1)), recorded("lost", AS_OF)]

    assert of_the_history(history)["unheard_of_share"] == 0.5
    assert of_any(history, AS_OF)["ever"] == 2
    assert np.isnan(of_the_record(history)[0])


def test_only_the_channel_of_the_crm_records_stages() -> None:
    history = [Touch(AS_OF, "web", "stage: keen")]

    assert of_any(history, AS_OF)["ever"] == 1
    assert np.isnan(of_the_record(history)[0])


def test_a_hidden_record_is_not_read() -> None:
    rows = rows_at(SIX_RECORDED, [AS_OF], hidden_action="stage: keen")

    assert rows[0, -len(RECORD_MEASURES) :].tolist() == [2, 20, 1, 0, 2]  # aware, won


# Windows, half-lives and sessions of one's own


def with_spans(**spans: Any) -> Rows:
    log = EventLog.from_records([("ada", SIX)])
    return rows_of(log, [0], [AS_OF], vocabulary=replace(VOCABULARY, spans=Spans(**spans)))[0]


def test_windows_and_half_lives_may_be_chosen() -> None:
    of_any = with_spans(windows_days=(8, 2), half_lives_days=(1,))[:11].tolist()

    # Within 2 and 8 days and ever; 1/2 for the chat, 2^-7 for the view, 2^-(23.5 / 24) for the purchase, then older.
    assert of_any[:3] == [2, 3, 6]
    assert of_any[3] == pytest.approx(0.5 + 2**-7 + 2 ** -(23.5 / 24) + 2**-30, rel=1e-6)
    assert of_any[4:] == pytest.approx([0.979167, 365, 0, 2, 20, 5, -1], rel=5e-6)


def test_measures_of_30_days_mean_30_days_whatever_windows_are_chosen() -> None:
    usual, chosen = rows_at(SIX, [AS_OF])[0], with_spans(windows_days=(2,), half_lives_days=())

    kinds = len(VOCABULARY.kinds)
    np.testing.assert_array_equal(chosen[kinds * 9 :], usual[kinds * 16 :])
    np.testing.assert_array_equal(
        chosen[: kinds * 9].reshape(kinds, 9)[:, 2:], usual[: kinds * 16].reshape(kinds, 16)[:, 9:]
    )


def test_no_window_and_no_half_life_leave_what_was_ever() -> None:
    assert with_spans(windows_days=(), half_lives_days=())[:3].tolist() == pytest.approx([6, 0.979167, 365], rel=5e-6)


def test_a_session_may_last_over_a_longer_gap() -> None:
    at = len(VOCABULARY.kinds) * len(MEASURES) + HISTORY_MEASURES.index("sessions")

    assert [with_spans(session_gap_minutes=minutes)[at] for minutes in (29, 30, 6 * 1440)] == [6, 5, 4]


# Clocks and calendars


def test_an_hour_that_the_clock_shows_twice_is_two_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2024, 10, 27, 2, 30, tzinfo=berlin)
    measured = of_the_history([Touch(first), Touch(first.replace(fold=1))], datetime(2024, 10, 28, tzinfo=UTC))

    assert measured["gap_mean_days"] == pytest.approx(1 / 24)
    assert (measured["sessions"], measured["hour_entropy"]) == (2, pytest.approx(np.log(2)))


def test_a_day_on_which_the_clock_leaps_has_23_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    noon = datetime(2024, 3, 30, 12, tzinfo=berlin)
    next_noon = noon + days(1)  # on the wall, across the change to summer time

    assert of_any([Touch(noon)], next_noon)["days_since_last"] == pytest.approx(23 / 24)
    assert of_any([Touch(noon)], next_noon)["1d"] == 1
    assert of_any([Touch(noon)], next_noon + timedelta(hours=1) - ONE_US)["1d"] == 1
    assert of_any([Touch(noon)], noon.astimezone(UTC) + days(1))["1d"] == 0


def test_a_leap_day_is_a_day() -> None:
    history = [Touch(datetime(2024, 2, 28, 12, tzinfo=UTC)), Touch(datetime(2024, 2, 29, 12, tzinfo=UTC))]
    march = datetime(2024, 3, 1, 12, tzinfo=UTC)

    assert [of_the_history(history, march)[name] for name in ("gap_mean_days", "active_days")] == [1, 2]
    assert of_any(history, march)["days_since_first"] == 2
    # From one leap day to the day before the next March there are 365 days, and a year ends one day early.
    assert of_any(history[1:], datetime(2025, 2, 28, 12, tzinfo=UTC))["365d"] == 0
    assert of_any(history[1:], datetime(2025, 2, 28, 12, tzinfo=UTC) - ONE_US)["365d"] == 1


def test_one_instant_is_the_same_at_any_offset() -> None:
    india, west = timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))
    moved = [
        replace(touch, occurred_at=touch.occurred_at.astimezone(zone))
        for touch, zone in zip(SIX, [india, west] * 3, strict=True)
    ]

    np.testing.assert_array_equal(rows_at(moved, [AS_OF.astimezone(india)]), rows_at(SIX, [AS_OF]))


def test_a_clock_that_runs_ahead_counts_when_the_touchpoint_is_said_to_have_occurred() -> None:
    ahead = Touch(AS_OF, recorded_at=AS_OF - timedelta(seconds=90))  # the phone's clock is 90 s ahead of the server's

    assert [of_any([ahead], moment)["ever"] for moment in (AS_OF - timedelta(seconds=90), AS_OF - ONE_US, AS_OF)] == [
        0,
        0,
        1,
    ]


def test_rows_of_the_future_change_nothing() -> None:
    future = [Touch(datetime(9999, 12, 31, tzinfo=UTC), value=5), recorded("won", datetime(2124, 1, 1, tzinfo=UTC))]

    np.testing.assert_array_equal(rows_at(SIX + future, [AS_OF]), rows_at(SIX, [AS_OF]))


def test_of_a_customer_merged_upstream_each_event_counts_once() -> None:
    """Both ids were rewritten to one: what both held is one touchpoint, known since it was first known."""
    of_one = [Touch(AS_OF - days(9), event_id="e1"), Touch(AS_OF - days(4), event_id="e2")]
    of_other = [Touch(AS_OF - days(9), event_id="e1", recorded_at=AS_OF), Touch(AS_OF - days(1), event_id="e3")]
    apart = EventLog.from_records([("one", of_one), ("other", of_other)])

    assert rows_of(apart, [0, 1], [AS_OF] * 2)[:, 5].tolist() == [2, 2]  # any touchpoint: times ever
    assert of_any(of_one + of_other, AS_OF)["ever"] == 3
    assert of_any(of_other + of_one, AS_OF - days(9))["ever"] == 1
    assert of_the_history(of_one + of_other)["gap_mean_days"] == 4


# What must hold for any history.

moments = st.builds(
    lambda age_days, minutes, us: AS_OF - days(age_days) + timedelta(minutes=minutes, microseconds=us),
    st.sampled_from([0, 1, 2, 7, 30, 31, 90, 365, 400]),
    st.sampled_from([0, 15, 31]),
    st.integers(-1, 1),
)
touches = st.builds(
    Touch,
    occurred_at=moments,
    channel=st.sampled_from(["email", "web", "chat"]),
    action=st.sampled_from(["mailed", "viewed", "purchased", "sang"]),
    actor=st.sampled_from(["customer", "company"]),
    value=st.none() | st.integers(-3, 3).map(lambda tenths: tenths / 10),
    campaign=st.sampled_from([None, "spring", "summer"]),
    text=st.sampled_from([None, "Hi"]),
    recorded_at=st.none() | moments,
)
records = st.builds(
    recorded, st.sampled_from(["aware", "keen", "won", "lost"]), since=moments, recorded_at=st.none() | moments
)
touches = touches | records
histories = st.lists(touches, max_size=8)
named = st.builds(
    lambda touch, event_id: Touch(**(vars(touch) | {"event_id": event_id})), touches, st.sampled_from("abc")
)


def is_known(touch: Touch, as_of: datetime) -> bool:
    return max(touch.occurred_at, touch.recorded_at or touch.occurred_at) <= as_of


@given(history=st.lists(touches | named, max_size=8), as_of=moments)
def test_what_becomes_known_later_changes_nothing(history: list[Touch], as_of: datetime) -> None:
    known = [touch for touch in history if is_known(touch, as_of)]

    np.testing.assert_array_equal(rows_at(history, [as_of]), rows_at(known, [as_of]))


@given(history=st.lists(records, max_size=8), as_of=moments)
def test_the_record_is_what_its_words_say(history: list[Touch], as_of: datetime) -> None:
    known = [touch for touch in history if is_known(touch, as_of) and touch.action != "stage: lost"]
    order = sorted(
        known,
        key=lambda touch: (
            touch.occurred_at,
            max(touch.occurred_at, touch.recorded_at or touch.occurred_at),
            VOCABULARY.stages.index(touch.action.removeprefix("stage: ")),
        ),
    )
    last_of_each_moment = {
        touch.occurred_at: VOCABULARY.stages.index(touch.action.removeprefix("stage: ")) for touch in order
    }
    entered: list[tuple[datetime, int]] = []
    for since, stage in last_of_each_moment.items():
        if not entered or entered[-1][1] != stage:
            entered.append((since, stage))
    stages = [stage for _, stage in entered]
    steps_back = sum(after < before for before, after in pairwise(stages))
    expected = [
        stages[-1] if stages else np.nan,
        (as_of - entered[-1][0]) / days(1) if entered else np.nan,
        max(len(stages) - 1, 0),
        steps_back,
        max(stages, default=np.nan),
    ]
    assert of_the_record(history, as_of) == pytest.approx(expected, nan_ok=True, rel=1e-6)


@given(crowd=st.lists(histories, min_size=1, max_size=4), as_of=moments)
def test_a_customer_alone_has_the_row_it_has_in_a_crowd(crowd: list[list[Touch]], as_of: datetime) -> None:
    log = EventLog.from_records([(f"c{i}", history) for i, history in enumerate(crowd)])
    backwards = list(range(len(crowd)))[::-1]

    together = rows_of(log, [*backwards, -1], [as_of] * (len(crowd) + 1))
    alone = [rows_at(crowd[i], [as_of])[0] for i in backwards]
    np.testing.assert_array_equal(together, [*alone, rows_at([], [as_of])[0]])


@given(history=histories, grid=st.lists(moments, min_size=1, max_size=5))
def test_a_grid_of_moments_gives_the_rows_of_single_passes(history: list[Touch], grid: list[datetime]) -> None:
    np.testing.assert_array_equal(rows_at(history, grid), [rows_at(history, [as_of])[0] for as_of in grid])


@given(
    crowd=st.lists(histories, min_size=1, max_size=3),
    asked=st.lists(st.tuples(st.integers(-1, 2), moments), min_size=1, max_size=12),
)
def test_rows_may_be_asked_in_any_order(crowd: list[list[Touch]], asked: list[tuple[int, datetime]]) -> None:
    log = EventLog.from_records([(f"c{i}", history) for i, history in enumerate(crowd)])
    customers = [min(customer, len(crowd) - 1) for customer, _ in asked]

    together = rows_of(log, customers, [as_of for _, as_of in asked])
    alone = [rows_of(log, [customer], [as_of])[0] for customer, (_, as_of) in zip(customers, asked, strict=True)]
    np.testing.assert_array_equal(together, alone)


@given(history=st.lists(touches | named, max_size=8), as_of=moments, data=st.data())
def test_neither_order_nor_duplicates_change_a_row(history: list[Touch], as_of: datetime, data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(history), max_size=3)) if history else []

    shuffled = data.draw(st.permutations(history + again))
    np.testing.assert_array_equal(rows_at(shuffled, [as_of]), rows_at(history, [as_of]))


@given(history=histories, as_of=moments)
def test_hidden_touchpoints_change_nothing(history: list[Touch], as_of: datetime) -> None:
    seen = [touch for touch in history if touch.action != "viewed"]

    np.testing.assert_array_equal(rows_at(history, [as_of], hidden_action="viewed"), rows_at(seen, [as_of]))
