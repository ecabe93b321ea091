"""The market of six touchpoints by hand, its edges to the microsecond, then what must hold for any market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.event_log import DAY_US, EventLog, Int64s, to_us
from features.journey import Journey
from features.market import (
    BINS,
    MOST_MOMENTS,
    Market,
    Standing,
    Tally,
    bin_of,
    no_market,
    survey,
    survey_moments,
)
from features.vocabulary import OTHER, Kind, Vocabulary

AS_OF = datetime(2024, 5, 19, 23, 45, tzinfo=UTC)
ONE_US = timedelta(microseconds=1)
JOURNEY = Journey.from_dict(
    {
        "name": "three",
        "stages": ["new", "active", "bought"],
        "conversion": {"actions": ["bought"]},
        "labels": {
            "rules": [
                {"stage": "new", "when": "any"},
                {"stage": "active", "actions": ["asked"]},
                {"stage": "bought", "actions": ["bought"]},
            ]
        },
    }
)
VOCABULARY = Vocabulary(
    kinds=(
        Kind("any", "touchpoint"),
        *(Kind("actor", name) for name in ("customer", "company")),
        *(Kind("channel", name) for name in ("chat", "web", OTHER)),
        *(Kind("action", name) for name in ("viewed", "asked", OTHER)),
    ),
    known_channels=frozenset({"chat", "web"}),
    known_actions=frozenset({"viewed", "asked", "bought"}),
)


@dataclass(frozen=True)
class Touch:
    """A touchpoint in the contract's columns, without its customer."""

    occurred_at: datetime
    channel: str = "web"
    action: str = "viewed"
    value: float | None = None
    recorded_at: datetime | None = None
    actor: str = "customer"
    campaign: str | None = None
    text: str | None = None
    event_id: str | None = None
    variant: str | None = None
    conversation_id: str | None = None


History = tuple[str, list[Touch]]


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def us(*moments: datetime) -> Int64s:
    return np.array([to_us(moment) for moment in moments], dtype=np.int64)


def surveyed(histories: Sequence[History], *moments: datetime, hidden_action: str = "") -> Market:
    log = EventLog.from_records(histories)
    hidden = np.array([log.actions[code] == hidden_action for code in log.action], dtype=np.bool_)
    return survey(log, VOCABULARY, JOURNEY, hidden, us(*moments))


def tally_of(market: Market, moment: int = 0) -> dict[str, int]:
    return {name.name.lower(): int(market.tallies[moment, name]) for name in Tally}


def histograms_of(market: Market, moment: int = 0) -> dict[str, dict[int, int]]:
    """The bins that hold somebody, of each standing."""
    return {
        name.name.lower(): {int(i): int(market.histograms[moment, name, i]) for i in np.nonzero(row)[0]}
        for name, row in zip(Standing, market.histograms[moment], strict=True)
    }


def figures(market: Market) -> list[object]:
    return [getattr(market, field.name).tolist() for field in fields(Market)]


SIX: list[History] = [
    ("ada", [Touch(ago(400)), Touch(ago(31), value=7.0), Touch(ago(3), "chat", "bought", value=8.0)]),
    ("bob", [Touch(ago(7), "web", "asked"), Touch(ago(1), "radio")]),
    ("cid", [Touch(ago(365))]),
]


def test_every_figure_of_six_touchpoints() -> None:
    market = surveyed(SIX, AS_OF)

    assert market.moments_us.tolist() == [to_us(AS_OF)]
    assert tally_of(market) == {
        "touchpoints_30d": 3,
        "touchpoints_365d": 4,
        "customers_30d": 2,
        "customers_365d": 2,
        "newcomers_30d": 1,
        "newcomers_365d": 1,
        "converted_30d": 1,
        "converted_365d": 1,
    }
    assert market.mix.tolist() == [[0, 0, 0, 1, 2, 1, 2, 1, 1]]
    assert market.stages.tolist() == [[0, 1, 1]]
    # Four bins to each doubling of 1 + value: 3 is in bin 8, 15 in 16, an hour in 4.
    assert histograms_of(market) == {
        "touchpoints_30d": {4: 1, 6: 1},
        "touchpoints": {6: 1, 8: 1},
        "hours_since_last": {18: 1, 24: 1},
        "hours_since_first": {29: 1, 52: 1},
        "value_sum": {0: 1, 16: 1},
    }


def test_each_moment_is_surveyed_by_what_was_known_then() -> None:
    market = surveyed(SIX, ago(3) - ONE_US, AS_OF, ago(400), ago(401), AS_OF)

    assert market.moments_us.tolist() == us(ago(401), ago(400), ago(3) - ONE_US, AS_OF).tolist()
    assert market.tallies[:, Tally.TOUCHPOINTS_365D].tolist() == [0, 1, 3, 4]
    assert market.tallies[:, Tally.CUSTOMERS_365D].tolist() == [0, 1, 3, 2]
    assert market.tallies[:, Tally.CONVERTED_365D].tolist() == [0, 0, 0, 1]
    assert market.stages.tolist() == [[0, 0, 0], [1, 0, 0], [2, 1, 0], [0, 1, 1]]


@pytest.mark.parametrize(("age", "in_30d", "in_365d"), [(30, 0, 1), (365, 0, 0)])
def test_a_window_ends_to_the_microsecond(age: float, in_30d: int, in_365d: int) -> None:
    market = surveyed([("ada", [Touch(ago(age), action="bought")])], AS_OF - ONE_US, AS_OF)

    assert tally_of(market, 1) == {name: in_30d if name.endswith("_30d") else in_365d for name in tally_of(market)}
    younger = {name: 1 if age == 30 or name.endswith("_365d") else 0 for name in tally_of(market)}
    assert tally_of(market, 0) == younger


@pytest.mark.parametrize("late", [Touch(AS_OF), Touch(ago(9), recorded_at=AS_OF)], ids=["occurred", "recorded"])
def test_what_is_known_at_the_moment_counts_and_a_microsecond_before_does_not(late: Touch) -> None:
    market = surveyed([("ada", [late])], AS_OF - ONE_US, AS_OF)

    assert market.tallies[:, Tally.TOUCHPOINTS_30D].tolist() == [0, 1]
    assert market.mix.sum(axis=1).tolist() == [0, 2]
    assert market.stages.sum(axis=1).tolist() == [0, 1]
    assert market.histograms.sum(axis=(1, 2)).tolist() == [0, len(Standing)]


def test_what_is_recorded_when_it_is_too_old_counts_in_no_window_but_in_the_standings() -> None:
    history = [Touch(ago(500), value=15.0, recorded_at=ago(1)), Touch(ago(2))]
    market = surveyed([("ada", history)], ago(1.5), AS_OF)

    assert market.tallies[:, Tally.TOUCHPOINTS_365D].tolist() == [1, 1]
    assert market.tallies[:, Tally.NEWCOMERS_365D].tolist() == [1, 0]
    assert [histograms_of(market, moment)["value_sum"] for moment in (0, 1)] == [{0: 1}, {16: 1}]


def test_hidden_touchpoints_count_in_nothing_but_the_conversions() -> None:
    market, seen = surveyed(SIX, AS_OF, hidden_action="bought"), [("ada", SIX[0][1][:2]), *SIX[1:]]

    assert tally_of(market) == tally_of(surveyed(seen, AS_OF)) | {"converted_30d": 1, "converted_365d": 1}
    assert market.mix.tolist() == surveyed(seen, AS_OF).mix.tolist()
    assert market.histograms.tolist() == surveyed(seen, AS_OF).histograms.tolist()


def test_who_was_not_seen_did_not_convert_so_that_a_rate_is_a_share() -> None:
    market = surveyed([("ada", [Touch(ago(1), action="bought")])], AS_OF, hidden_action="bought")

    assert market.tallies.tolist() == [[0] * len(Tally)]
    assert market.stages.tolist() == [[0, 0, 0]]
    assert market.histograms.sum() == 0


def test_who_converts_twice_is_one_customer_who_converted() -> None:
    market = surveyed([("ada", [Touch(ago(age), action="bought") for age in (1, 2, 60)])], AS_OF)

    assert (tally_of(market)["converted_30d"], tally_of(market)["converted_365d"]) == (1, 1)


def test_the_market_of_an_empty_log_has_nobody_in_it() -> None:
    market = surveyed([], AS_OF)

    assert [getattr(market, field.name).sum() for field in fields(Market)[1:]] == [0, 0, 0, 0]
    assert [getattr(market, field.name).shape[1:] for field in fields(Market)] == [
        getattr(no_market(VOCABULARY, JOURNEY), field.name).shape[1:] for field in fields(Market)
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-5.0, 0), (0.0, 0), (0.18, 0), (0.19, 1), (1.0, 4), (3.0, 8), (15.0, 16), (1e300, BINS - 1), (np.inf, BINS - 1)],
)
def test_bins_are_four_to_a_doubling(value: float, expected: int) -> None:
    assert bin_of.py_func(value) == expected


def test_a_market_of_endless_values_is_surveyed() -> None:
    market = surveyed([("ada", [Touch(ago(age), value=1.7e308) for age in (1, 2)])], AS_OF)

    assert histograms_of(market)["value_sum"] == {BINS - 1: 1}


# When it is surveyed


@pytest.mark.parametrize("span", [0, 1, 61, 62, 63, 64, 65, 126, 1000, 4000])
@pytest.mark.parametrize("after_us", [0, 1, 40 * DAY_US])
def test_surveys_are_few_and_none_of_a_row_is_later(span: int, after_us: int) -> None:
    rows = np.array([100 * DAY_US + 5, (100 + span) * DAY_US + 7], dtype=np.int64)
    moments = survey_moments(rows, int(rows.max()) + after_us)

    assert (moments[0], moments[-1]) == (100 * DAY_US, rows.max() + after_us)
    assert len(moments) <= MOST_MOMENTS
    assert len(set(np.diff(moments[:-1]))) <= 1
    assert (moments[:-1] % DAY_US == 0).all()


def test_rows_later_than_all_that_is_known_are_surveyed_too() -> None:
    rows = np.array([3 * DAY_US, 5 * DAY_US + 1], dtype=np.int64)

    assert survey_moments(rows, DAY_US).tolist() == [day * DAY_US for day in (1, 2, 3, 4, 5)]
    assert survey_moments(rows[:0], DAY_US + 9).tolist() == [DAY_US, DAY_US + 9]


# What must hold for any market

moments = st.builds(
    lambda age, microseconds: ago(age) + timedelta(microseconds=microseconds),
    st.sampled_from([0, 1, 2, 29, 30, 31, 364, 365, 366, 730]),
    st.integers(-1, 1),
)
touches = st.builds(
    Touch,
    occurred_at=moments,
    channel=st.sampled_from(["web", "chat", "radio"]),
    action=st.sampled_from(["viewed", "asked", "bought"]),
    value=st.none() | st.sampled_from([0.1, 0.2, 0.7, -3.0, 1e9]),
    recorded_at=st.none() | moments,
)
crowds = st.lists(st.lists(touches, min_size=1, max_size=6), max_size=4).map(
    lambda crowd: [(f"c{i}", history) for i, history in enumerate(crowd)]
)


@given(crowd=crowds, now=moments, later=moments, hidden=st.sampled_from(["", "asked", "bought"]))
def test_what_becomes_known_later_changes_no_survey(
    crowd: list[History], now: datetime, later: datetime, hidden: str
) -> None:
    known = [
        (name, [touch for touch in history if max(touch.occurred_at, touch.recorded_at or touch.occurred_at) <= now])
        for name, history in crowd
    ]
    alone = surveyed(known, now, hidden_action=hidden)
    among = surveyed(crowd, now, later, hidden_action=hidden)
    place = int(np.searchsorted(among.moments_us, to_us(now)))

    for field in fields(Market):
        assert getattr(among, field.name)[place].tolist() == getattr(alone, field.name)[0].tolist()


@given(crowd=crowds, grid=st.lists(moments, min_size=1, max_size=12, unique=True))
def test_many_moments_at_once_are_surveyed_as_one_by_one(crowd: list[History], grid: list[datetime]) -> None:
    together, one_by_one = surveyed(crowd, *grid), [surveyed(crowd, moment) for moment in sorted(grid)]

    for field in fields(Market):
        assert getattr(together, field.name).tolist() == [getattr(one, field.name)[0].tolist() for one in one_by_one]


@given(crowd=crowds, now=moments, data=st.data())
def test_neither_order_nor_duplicates_change_a_survey(crowd: list[History], now: datetime, data: st.DataObject) -> None:
    again = [(name, data.draw(st.permutations([*history, *history[:2]]))) for name, history in crowd]

    assert figures(surveyed(again[::-1], now)) == figures(surveyed(crowd, now))


@given(crowd=crowds, now=moments)
def test_the_figures_agree_with_each_other(crowd: list[History], now: datetime) -> None:
    market = surveyed(crowd, now, hidden_action="asked")
    tally = tally_of(market)

    assert market.histograms.sum(axis=2).tolist() == [[tally["customers_365d"]] * len(Standing)]
    assert market.mix[0, 3:6].sum() == market.mix[0, 6:].sum() == tally["touchpoints_365d"]
    assert market.stages.sum() == tally["customers_365d"]
    for name in ("touchpoints", "customers", "newcomers", "converted"):
        assert 0 <= tally[f"{name}_30d"] <= tally[f"{name}_365d"]
    assert max(tally["converted_365d"], tally["newcomers_365d"]) <= tally["customers_365d"]
