"""Conversations: which messages count, their pools and measures on vectors of two numbers, then what must hold."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.conversations import (
    MESSAGE_FEATURES,
    MOST_MESSAGES,
    Messages,
    last_messages,
    message_features,
    pool_messages,
)
from features.event_log import EventLog, to_us

START = datetime(2024, 1, 1, tzinfo=UTC)
ONE_US = timedelta(microseconds=1)
Rows = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Touch:
    """A touchpoint `day` days after the start; with a text it is a message."""

    day: float
    text: str | None = None
    actor: str = "customer"
    action: str = "wrote"
    recorded_day: float | None = None
    channel: str = "chat"
    event_id: str | None = None
    value: float | None = None
    campaign: str | None = None
    variant: str | None = None
    conversation_id: str | None = None

    @property
    def occurred_at(self) -> datetime:
        return at(self.day)

    @property
    def recorded_at(self) -> datetime | None:
        return None if self.recorded_day is None else at(self.recorded_day)


def at(day: float) -> datetime:
    return START + timedelta(days=day)


def own(day: float, text: str) -> Touch:
    return Touch(day, text)


def company(day: float, text: str) -> Touch:
    return Touch(day, text, "company")


def read(
    log: EventLog, customer: Sequence[int], moments: Sequence[datetime], hidden_action: str = "whispered"
) -> Messages:
    hidden = np.array([log.actions[code] == hidden_action for code in log.action], dtype=np.bool_)
    as_of_us = np.array([to_us(moment) for moment in moments], dtype=np.int64)
    return last_messages(log, hidden, np.array(customer, dtype=np.int64), as_of_us)


def texts_read(history: Sequence[Touch], as_of: datetime) -> tuple[list[str], list[str]]:
    """The own messages and the company's that are read, in their order."""
    log = EventLog.from_records([("ada", history)])
    messages = read(log, [0], [as_of])
    sides = (messages.own[0], messages.company[0])
    mine, theirs = ([log.texts[log.text[event]] for event in side if event >= 0] for side in sides)
    return mine, theirs


# Which messages count


def test_the_last_messages_of_each_side_are_read_newest_first() -> None:
    history = [own(1, "a"), company(2, "B"), own(3, "c"), Touch(4), own(5, "d"), company(6, "E")]

    assert texts_read(history, at(9)) == (["d", "c", "a"], ["E", "B"])


def test_20_messages_of_each_side_are_read() -> None:
    owns, companies = [own(i, f"own {i}") for i in range(22)], [company(i + 0.5, f"company {i}") for i in range(21)]
    last_20 = [f"own {i}" for i in range(21, 1, -1)], [f"company {i}" for i in range(20, 0, -1)]

    assert texts_read([*owns, *companies], at(99)) == last_20
    assert texts_read([*owns, company(-1, "first of all")], at(99)) == (last_20[0], ["first of all"])
    assert texts_read([*companies, own(-1, "first of all")], at(99)) == (["first of all"], last_20[1])


def test_rows_are_padded_with_minus_one() -> None:
    log = EventLog.from_records([("ada", [own(1, "a"), own(2, "b"), company(3, "C")])])
    messages = read(log, [0], [at(9)])

    assert messages.own.tolist() == [[1, 0] + [-1] * 18]
    assert messages.company.tolist() == [[2] + [-1] * 19]


def test_a_message_counts_once_it_is_known() -> None:
    history = [own(1, "a"), Touch(2, "late", recorded_day=4), own(3, "c")]
    moments = [at(3) - ONE_US, at(3), at(4) - ONE_US, at(4)]

    assert [texts_read(history, moment)[0] for moment in moments] == [["a"], ["c", "a"], ["c", "a"], ["c", "late", "a"]]


def test_hidden_messages_are_not_read() -> None:
    whispered = Touch(2, "psst", action="whispered")

    assert texts_read([own(1, "a"), whispered, own(3, "c")], at(9)) == (["c", "a"], [])


def test_a_customer_who_is_not_in_the_log_said_nothing() -> None:
    log = EventLog.from_records([("ada", [own(1, "a")]), ("bob", [])])
    messages = read(log, [-1, 1, 0], [at(9)] * 3)

    assert messages.own[:, 0].tolist() == [-1, -1, 0]


def test_only_texts_that_some_row_reads_are_needed() -> None:
    log = EventLog.from_records([("ada", [own(1, "a"), own(2, "b"), own(9, "later")]), ("bob", [company(1, "D")])])

    assert read(log, [1, 0, 0], [at(5), at(1), at(5)]).needed(log).tolist() == [0, 1, 3]
    assert read(log, [0], [at(0)]).needed(log).tolist() == []


# Pools and measures on vectors of two numbers

VECTORS = {
    "Why? https://x.org": (1, 0),
    "Stop!": (0, 1),
    "Really?!": (1, 1),
    "Hm?": (0, 2),
    "Sale": (0, -1),
    "Hello": (1, 0),
    "": (0, 0),
}
SIX = [
    own(1, "Hm?"),
    company(2, "Hello"),
    own(3, "Really?!"),
    own(4, "Stop!"),
    company(5, "Sale"),
    own(6, "Why? https://x.org"),
]


def look_up(texts: Sequence[str]) -> Rows:
    return np.array([VECTORS[text] for text in texts], dtype=np.float32).reshape(-1, 2)


def toy_embed(texts: Sequence[str]) -> Rows:
    """Two numbers out of each text's checksum."""
    checksums = np.array([zlib.crc32(text.encode()) for text in texts], dtype=np.uint32)
    return np.stack([checksums % 1009 / 1009, checksums % 2003 / 2003 - 0.5], axis=1).astype(np.float32)


def pooled(
    log: EventLog, customer: Sequence[int], moments: Sequence[datetime], embed: Any = toy_embed, hidden: str = ""
) -> tuple[Rows, Rows]:
    """The pools and the measures of each asked row."""
    messages = read(log, customer, moments, hidden)
    texts = messages.needed(log)
    vectors = embed([log.texts[text] for text in texts])
    pools = pool_messages(log, messages, texts, vectors)
    return pools, message_features(log, messages, texts, vectors, pools)


def pooled_at(history: Sequence[Touch], *moments: datetime, embed: Any = toy_embed, hidden: str = "") -> Rows:
    """The pools and the measures of one customer, side by side."""
    log = EventLog.from_records([("ada", history)])
    return np.hstack(pooled(log, [0] * len(moments), moments, embed, hidden))


def measures(*history: Touch) -> dict[str, float]:
    row = pooled_at(history, at(9), embed=look_up)[0, 6:]
    return dict(zip((feature.name for feature in MESSAGE_FEATURES), row.tolist(), strict=True))


def test_the_pools_of_six_messages() -> None:
    # Weights from the newest on: 1, 0.840896, 0.707107, 0.594604.
    assert pooled_at(SIX, at(9), embed=look_up)[0, :6].tolist() == pytest.approx(
        [
            *(0.543214, 0.871000),  # (1 + 0.707107, 0.840896 + 0.707107 + 2 * 0.594604) / 3.142607
            *(2 / 3, 2 / 3),  # the last three own messages, alike
            *(0.456786, -0.543214),  # (0.840896, -1) / 1.840896
        ],
        rel=5e-6,
    )


def test_a_message_weighs_half_as_much_as_the_fourth_after_it() -> None:
    history = [own(1, "Stop!"), own(2, ""), own(3, ""), own(4, ""), own(5, "Why? https://x.org")]
    newest, fifth = pooled_at(history, at(9), embed=look_up)[0, :2].tolist()

    assert fifth / newest == pytest.approx(0.5)


def test_a_pool_of_one_message_is_its_vector() -> None:
    assert pooled_at([own(1, "Hm?")], at(9), embed=look_up)[0, :6].tolist() == [0, 2, 0, 2, 0, 0]


def test_how_six_messages_were_written() -> None:
    assert measures(*SIX) == pytest.approx(
        {
            "own messages read": 4,
            "company messages read": 2,
            "mean length of own messages": 8.5,  # (18 + 5 + 8 + 3) / 4
            "length of the last own message": 18,
            "own messages with a question": 0.75,
            "own messages with an exclamation": 0.5,
            "own messages with a link": 0.25,
            "own messages with a number": 0,
            "change of subject": 0.242536,  # (1, 0) with (0, 1) + (1, 1) + (0, 2): 1 / 17 ** 0.5
            "own words against the company's": -0.308838,  # the first pool with the third
            "move towards the company's words": 0.679261,  # -0.086107, the last three, - -0.765368, (0, 2)
            "days the conversation spans": 5,
            "mean days between own messages": 5 / 3,
            "recent length against the own mean": 1.215686,  # (18 + 5 + 8) / 3 / 8.5
            "share of the words that are the customer's": 0.790698,  # 34 / (34 + 5 + 4)
            "own messages answered": 0.5,
            "hours to the company's answer": 24,
            "last own message unanswered": 1,
            "open question": 1,
            "talks": 1,
            "messages in the present talk": 6,
        },
        rel=5e-6,
    )


def test_who_said_nothing_has_empty_measures_and_zero_pools() -> None:
    log = EventLog.from_records([("ada", [Touch(1)]), ("bob", [company(1, "Sale")])])
    pools, features = pooled(log, [0, 1, -1], [at(9)] * 3, look_up)

    assert pools.tolist() == [[0] * 6, [0, 0, 0, 0, 0, -1], [0] * 6]
    assert features[:, :2].tolist() == [[0, 0], [0, 1], [0, 0]]
    bob = dict(zip((feature.name for feature in MESSAGE_FEATURES[2:]), features[1, 2:].tolist(), strict=True))
    assert {name: value for name, value in bob.items() if not np.isnan(value)} == {
        "days the conversation spans": 0,
        "share of the words that are the customer's": 0,
        "talks": 1,
        "messages in the present talk": 1,
    }
    assert np.isnan(features[[0, 2], 2:]).all()


def test_a_likeness_is_empty_where_one_side_of_it_is() -> None:
    one_message = measures(own(1, "Hm?"))
    nothing_in_common = measures(own(1, "Hm?"), own(2, ""), company(3, "Sale"))

    assert np.isnan([one_message["change of subject"], one_message["own words against the company's"]]).all()
    assert np.isnan(nothing_in_common["change of subject"])
    assert nothing_in_common["own words against the company's"] == -1


def test_each_row_has_three_pools_and_its_measures_in_float32() -> None:
    pools, features = pooled(EventLog.from_records([("ada", SIX)]), [0, 0], [at(9), at(3)])

    assert (pools.dtype, pools.shape) == (np.float32, (2, 6))
    assert (features.dtype, features.shape) == (np.float32, (2, len(MESSAGE_FEATURES)))


# What must hold for any conversation.

days = st.integers(0, 5)
touches = st.builds(
    Touch,
    day=days,
    text=st.sampled_from([None, "", "a", "b?", "c!", "://"]),
    actor=st.sampled_from(["customer", "company"]),
    conversation_id=st.sampled_from([None, "x", "y"]),
    action=st.sampled_from(["wrote", "whispered"]),
    recorded_day=st.none() | days,
    event_id=st.uuids().map(str),
)
histories = st.lists(touches, max_size=8) | st.lists(touches, min_size=MOST_MESSAGES + 5, max_size=MOST_MESSAGES + 10)
moments = days.map(at)


@given(crowd=st.lists(histories, min_size=1, max_size=4), as_of=moments)
def test_a_row_alone_is_the_row_in_a_crowd_to_the_last_bit(crowd: list[list[Touch]], as_of: datetime) -> None:
    log = EventLog.from_records([(f"c{i}", history) for i, history in enumerate(crowd)])
    backwards = list(range(len(crowd)))[::-1]

    together = np.hstack(pooled(log, [*backwards, -1], [as_of] * (len(crowd) + 1)))
    alone = [pooled_at(crowd[i], as_of)[0] for i in backwards]
    assert together.tobytes() == np.stack([*alone, pooled_at([], as_of)[0]]).tobytes()


@given(history=histories, grid=st.lists(moments, min_size=1, max_size=4))
def test_a_grid_of_moments_gives_the_rows_of_single_passes(history: list[Touch], grid: list[datetime]) -> None:
    alone = [pooled_at(history, as_of)[0] for as_of in grid]

    assert pooled_at(history, *grid).tobytes() == np.stack(alone).tobytes()


@given(history=histories, as_of=moments)
def test_what_becomes_known_later_changes_nothing(history: list[Touch], as_of: datetime) -> None:
    known = [touch for touch in history if max(touch.occurred_at, touch.recorded_at or touch.occurred_at) <= as_of]

    np.testing.assert_array_equal(pooled_at(history, as_of), pooled_at(known, as_of))


@given(history=histories, as_of=moments)
def test_hidden_and_silent_touchpoints_change_nothing(history: list[Touch], as_of: datetime) -> None:
    heard = [touch for touch in history if touch.action != "whispered"]
    silent = [replace(touch, text=None, event_id=None) for touch in history]

    np.testing.assert_array_equal(pooled_at([*history, *silent], as_of, hidden="whispered"), pooled_at(heard, as_of))
