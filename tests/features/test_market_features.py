"""A customer's place in a market by hand, the cut to the microsecond, then what must hold for any customer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.event_log import EventLog, to_us
from features.journey import DEFAULT_JOURNEY
from features.market import Market, no_market, survey
from features.market_features import MARKET_FEATURES, market_features, market_trends
from features.vocabulary import OTHER, Kind, Vocabulary

AS_OF = datetime(2024, 5, 19, 23, 45, tzinfo=UTC)
ONE_US = timedelta(microseconds=1)
VOCABULARY = Vocabulary(
    kinds=(
        Kind("any", "touchpoint"),
        *(Kind("actor", name) for name in ("customer", "company")),
        *(Kind("channel", name) for name in ("chat", "web", OTHER)),
        *(Kind("action", name) for name in ("viewed", "asked", OTHER)),
    ),
    known_channels=frozenset({"chat", "web"}),
    known_actions=frozenset({"viewed", "asked", "purchase"}),
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
Rows = np.ndarray[Any, np.dtype[np.float32]]


def ago(days: float) -> datetime:
    return AS_OF - timedelta(days=days)


def hide(log: EventLog, action: str) -> Any:
    return np.array([log.actions[code] == action for code in log.action], dtype=np.bool_)


def surveyed(histories: Sequence[History], *moments: datetime, hidden_action: str = "") -> Market:
    log = EventLog.from_records(histories)
    at = np.array([to_us(moment) for moment in moments], dtype=np.int64)
    return survey(log, VOCABULARY, DEFAULT_JOURNEY, hide(log, hidden_action), at)


def rows_of(
    market: Market, histories: Sequence[History], asked: Sequence[tuple[int, datetime]], hidden_action: str = ""
) -> Rows:
    log = EventLog.from_records(histories)
    customer = np.array([customer for customer, _ in asked], dtype=np.int64)
    as_of_us = np.array([to_us(as_of) for _, as_of in asked], dtype=np.int64)
    return market_features(market, log, VOCABULARY, hide(log, hidden_action), customer, as_of_us)


def row_of(market: Market, history: list[Touch], as_of: datetime = AS_OF, hidden_action: str = "") -> dict[str, float]:
    (row,) = rows_of(market, [("ada", history)], [(0, as_of)], hidden_action)
    return dict(zip((feature.name.removeprefix("market: ") for feature in MARKET_FEATURES), row.tolist(), strict=True))


SIX: list[History] = [
    ("ada", [Touch(ago(400)), Touch(ago(31), value=7.0), Touch(ago(3), "chat", "purchase", value=8.0)]),
    ("bob", [Touch(ago(7), "web", "asked"), Touch(ago(1), "radio")]),
    ("cid", [Touch(ago(364))]),
]
MARKET = surveyed(SIX, AS_OF)
OWN = [feature.name for feature in MARKET_FEATURES]


def test_every_feature_of_one_of_six_touchpoints() -> None:
    # The market's channels: chat 1, web 3, (other) 1; its actions: viewed 3, asked 1, (other) 1.
    assert row_of(MARKET, SIX[0][1]) == pytest.approx(
        {
            "rank by touchpoints in 30 days": 1.5 / 3,
            "rank by touchpoints": 2.5 / 3,
            "rank by days since the last touchpoint": 1.5 / 3,
            "rank by days since the first touchpoint": 2 / 3,
            "rank by value": 2.5 / 3,
            "unusual channels": (abs(1 / 3 - 1 / 5) + abs(2 / 3 - 3 / 5) + abs(0 - 1 / 5)) / 2,
            "unusual actions": (abs(2 / 3 - 3 / 5) + abs(0 - 1 / 5) + abs(1 / 3 - 1 / 5)) / 2,
        }
    )
    assert market_trends(MARKET)[0] == pytest.approx([365 / 30 * 3 / 5, 365 / 30 * 1 / 2, 1 / 3, 365 / 30])


def test_a_newcomer_is_ranked_below_and_a_regular_above_everybody() -> None:
    newcomer = row_of(MARKET, [Touch(AS_OF, "radio", "sang")])
    regular = row_of(MARKET, [Touch(ago(2000), value=1e12)] + [Touch(ago(i / 9)) for i in range(1, 100)])
    ranks = ["rank by touchpoints in 30 days", "rank by touchpoints", "rank by days since the first touchpoint"]

    assert [newcomer[rank] for rank in [*ranks[1:], "rank by days since the last touchpoint"]] == pytest.approx(
        [0.5 / 3, 0, 0]
    )
    assert [regular[rank] for rank in [*ranks, "rank by value"]] == [1, 1, 1, 1]
    assert (newcomer["unusual channels"], newcomer["unusual actions"]) == pytest.approx((4 / 5, 4 / 5))


@pytest.mark.parametrize("late", [Touch(AS_OF, "chat"), Touch(ago(9), "chat", recorded_at=AS_OF)])
def test_a_touchpoint_counts_from_the_microsecond_it_is_known(late: Touch) -> None:
    market, before = surveyed(SIX, ago(20)), [Touch(ago(12))]

    np.testing.assert_equal(row_of(market, [*before, late], AS_OF - ONE_US), row_of(market, before, AS_OF - ONE_US))
    assert row_of(market, [*before, late])["unusual channels"] == 0.5
    assert row_of(market, before)["unusual channels"] == 0


def test_a_row_reads_the_latest_survey_that_is_not_later() -> None:
    market = surveyed(SIX, ago(10), ago(2))
    rows = rows_of(market, SIX, [(1, moment) for moment in (ago(10) - ONE_US, ago(10), ago(2) - ONE_US, ago(2))])
    (earlier,) = rows_of(surveyed(SIX, ago(10)), SIX, [(1, ago(2) - ONE_US)])
    (later,) = rows_of(surveyed(SIX, ago(2)), SIX, [(1, ago(2))])

    assert np.isnan(rows[0]).all()
    np.testing.assert_array_equal(rows[2], earlier)
    np.testing.assert_array_equal(rows[3], later)
    assert rows[2].tolist() != rows[3].tolist()


def test_without_a_market_every_feature_is_nan() -> None:
    rows = rows_of(no_market(VOCABULARY, DEFAULT_JOURNEY), SIX, [(0, AS_OF), (-1, AS_OF)])

    assert rows.shape == (2, len(MARKET_FEATURES))
    assert np.isnan(rows).all()


@pytest.mark.parametrize("unknown", ["no touchpoint", "all hidden", "not yet"])
def test_who_is_not_known_has_no_place_in_the_market(unknown: str) -> None:
    day = {"no touchpoint": 0, "all hidden": 1, "not yet": -1}[unknown]
    histories = [("ada", [Touch(ago(day), action="asked")])]
    customer = -1 if unknown == "no touchpoint" else 0
    (row,) = rows_of(MARKET, histories, [(customer, AS_OF)], hidden_action="asked")

    assert np.isnan(row).all()


def test_an_empty_log_and_an_empty_market_are_read() -> None:
    nobody = surveyed([], AS_OF)

    assert np.isnan(rows_of(nobody, SIX, [(0, AS_OF)])).all()
    assert np.isnan(rows_of(MARKET, [], [(-1, AS_OF)])[0]).all()
    assert rows_of(MARKET, [], []).shape == (0, len(MARKET_FEATURES))


def test_hidden_touchpoints_are_in_no_feature() -> None:
    seen = [touch for touch in SIX[1][1] if touch.action != "asked"]

    assert row_of(MARKET, SIX[1][1], hidden_action="asked") == row_of(MARKET, seen)


def test_a_market_without_conversions_has_a_rate_of_0_and_no_trend_of_it() -> None:
    market = surveyed(SIX[1:], ago(2), AS_OF)

    assert market_trends(market)[:, 2].tolist() == [0, 0]
    assert np.isnan(market_trends(market)[:, 3]).all()


def test_a_later_conversion_changes_no_earlier_rate() -> None:
    with_later = surveyed(SIX, ago(10), AS_OF)

    np.testing.assert_array_equal(market_trends(with_later)[0], market_trends(surveyed(SIX, ago(10)))[0])
    assert market_trends(with_later)[:, 2].tolist() == [0, 1 / 3]


# What must hold for any customer

moments = st.builds(
    lambda age, microseconds: ago(age) + timedelta(microseconds=microseconds),
    st.sampled_from([0, 1, 2, 29, 30, 31, 364, 365, 730]),
    st.integers(-1, 1),
)
histories = st.lists(
    st.builds(
        Touch,
        occurred_at=moments,
        channel=st.sampled_from(["web", "chat", "radio"]),
        action=st.sampled_from(["viewed", "asked", "purchase"]),
        value=st.none() | st.sampled_from([0.1, 0.2, 0.7, -3.0, 1e9]),
        recorded_at=st.none() | moments,
    ),
    max_size=6,
)


@given(history=histories, as_of=moments)
def test_what_becomes_known_later_changes_nothing(history: list[Touch], as_of: datetime) -> None:
    known = [touch for touch in history if max(touch.occurred_at, touch.recorded_at or touch.occurred_at) <= as_of]

    np.testing.assert_equal(row_of(MARKET, history, as_of), row_of(MARKET, known, as_of))


@given(crowd=st.lists(histories, min_size=1, max_size=4), as_of=moments)
def test_a_customer_alone_has_the_row_it_has_in_a_crowd(crowd: list[list[Touch]], as_of: datetime) -> None:
    market = surveyed(SIX, ago(365), ago(30), AS_OF)
    named = [(f"c{i}", history) for i, history in enumerate(crowd)]
    together = rows_of(market, named, [(i, as_of) for i in range(len(crowd))])

    for row, history in zip(together, named, strict=True):
        assert row.tobytes() == rows_of(market, [history], [(0, as_of)]).tobytes()


@given(history=histories, as_of=moments, data=st.data())
def test_neither_order_nor_duplicates_change_a_row(history: list[Touch], as_of: datetime, data: st.DataObject) -> None:
    again = data.draw(st.permutations([*history, *history[:2]]))

    np.testing.assert_equal(row_of(MARKET, again, as_of), row_of(MARKET, history, as_of))


@given(crowd=st.lists(histories, min_size=1, max_size=4), as_of=moments)
def test_ranks_shares_and_distances_lie_between_0_and_1_and_ranks_of_a_market_are_a_half_on_average(
    crowd: list[list[Touch]], as_of: datetime
) -> None:
    named = [(f"c{i}", history) for i, history in enumerate(crowd)]
    market = surveyed(named, as_of)
    rows = rows_of(market, named, [(i, as_of) for i in range(len(crowd))])

    assert ((rows >= 0) & (rows <= 1) | np.isnan(rows)).all()
    recent = [i for i, (_, history) in enumerate(named) if _seen_within_365d(history, as_of)]
    if recent:
        np.testing.assert_allclose(rows[recent, :5].mean(axis=0), 0.5, rtol=1e-6)


def _seen_within_365d(history: list[Touch], as_of: datetime) -> bool:
    return any(
        max(touch.occurred_at, touch.recorded_at or touch.occurred_at) <= as_of < touch.occurred_at + timedelta(365)
        for touch in history
    )
