"""The log: six rows' columns read by hand, then the same log whichever way and in whatever order the rows come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.aggregate import aggregate
from features.event_log import DAY_US, EPOCH, EventLog, from_us, has_known, is_known, to_us
from features.packed_touchpoints import (
    NOTHING,
    NUMBERED,
    divide,
    event_log,
    from_bytes,
    join,
    pack,
    to_bytes,
)
from features.touchpoints import TOUCHPOINT_TYPES, drop_duplicates
from features.vocabulary import OTHER, Kind, Vocabulary
from features.word_codes import WordNumbers

START = datetime(2024, 1, 1, tzinfo=UTC)
START_US = 1_704_067_200_000_000
ONE_US = timedelta(microseconds=1)
INDIA = timezone(timedelta(hours=5, minutes=30))


@dataclass(frozen=True)
class Touch:
    """A touchpoint in the contract's columns, without its customer."""

    occurred_at: datetime
    channel: str = "web"
    action: str = "viewed"
    event_id: str | None = None
    recorded_at: datetime | None = None
    actor: str = "customer"
    value: float | None = None
    campaign: str | None = None
    variant: str | None = None
    conversation_id: str | None = None
    text: str | None = None


Histories = Mapping[str, Sequence[Touch]]


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def from_records(histories: Histories) -> EventLog:
    return EventLog.from_records(sorted(histories.items()))


def frame_of(histories: Histories) -> pl.DataFrame:
    """As touchpoints come from files: in UTC, rows of all customers mixed."""
    rows = [{"customer_id": who, **in_utc(touch)} for who, touches in histories.items() for touch in touches]
    return pl.DataFrame(rows[::-1], schema=TOUCHPOINT_TYPES)


def from_frame(histories: Histories) -> EventLog:
    return EventLog.from_frame(drop_duplicates(frame_of(histories)))


def from_disk(histories: Histories, most_words: int = 99, batch_rows: int = 4, seed: int = 0) -> EventLog:
    """As a list's touchpoints come: packed batch by batch, divided among three buckets, written and read again."""
    frame, numbers = frame_of(histories), WordNumbers(NUMBERED, most_words)
    batches = [pack(batch, numbers, seed) for batch in frame.iter_slices(batch_rows)]
    written = [b"".join(to_bytes(part)) for packed in batches for _, part in divide(packed, 3)]
    customer_ids = frame["customer_id"].unique().sort()
    return event_log(join([NOTHING, *map(from_bytes, written)]), numbers.words(), customer_ids, seed)


def in_utc(touch: Touch) -> dict[str, Any]:
    return {name: at.astimezone(UTC) if isinstance(at, datetime) else at for name, at in asdict(touch).items()}


def spelled_out(log: EventLog) -> list[tuple[Any, ...]]:
    """Each touchpoint of the log with its customer, the codes replaced by what they stand for."""

    def name(code: int, names: Sequence[str | None]) -> str | None:
        return None if code == -1 else names[code]

    return [
        (
            log.customer_ids[customer],
            log.occurred_us[row],
            log.known_us[row],
            log.channels[log.channel[row]],
            log.actions[log.action[row]],
            name(log.campaign[row], log.campaigns),
            name(log.conversation[row], log.conversations),
            bool(log.is_company[row]),
            None if np.isnan(log.value[row]) else log.value[row],
            name(log.text[row], log.texts),
            name(log.text[row], log.event_ids),
        )
        for customer in range(len(log.customer_ids))
        for row in range(log.offsets[customer], log.offsets[customer + 1])
    ]


def texts(*touches: Touch) -> list[str | None]:
    return [row[-2] for row in spelled_out(EventLog.from_records([("ada", touches)]))]


SIX = {
    "ada": [
        Touch(day(3), "web", "viewed", "e3", day(9), value=2.5),
        Touch(day(1), "email", "mailed", "e1", actor="company", campaign="spring", variant="B", text="Hello"),
        Touch(day(2), "email", "opened", "e2", recorded_at=day(1), campaign="spring", variant="B"),
    ],
    "bob": [
        Touch(day(2), "web", "viewed", value=0.0),
        Touch(day(1), "chat", "wrote", "e1", conversation_id="c1", text="Hello"),
        Touch(day(1), "chat", "wrote", None, conversation_id="c2", text="Anyone?"),
    ],
}


@pytest.mark.parametrize("build", [from_frame, from_records, from_disk])
def test_six_touchpoints_become_columns(build: Callable[[Histories], EventLog]) -> None:
    log = build(SIX)

    assert (log.customer_ids, log.offsets.tolist(), len(log)) == (["ada", "bob"], [0, 3, 6], 6)
    assert ((log.occurred_us - START_US) / DAY_US).tolist() == [1, 2, 3, 1, 1, 2]
    assert ((log.known_us - START_US) / DAY_US).tolist() == [1, 2, 9, 1, 1, 2]
    assert [log.channels[code] for code in log.channel] == ["email", "email", "web", "chat", "chat", "web"]
    assert [log.actions[code] for code in log.action] == ["mailed", "opened", "viewed", "wrote", "wrote", "viewed"]
    assert (log.campaigns, log.campaign.tolist()) == (["spring"], [0, 0, -1, -1, -1, -1])
    assert [log.conversations[code] for code in log.conversation[3:5]] == ["c1", "c2"]
    assert log.conversation[[0, 1, 2, 5]].tolist() == [-1] * 4
    assert log.is_company.tolist() == [True, False, False, False, False, False]
    assert np.isnan(log.value).tolist() == [True, True, False, True, True, False]
    assert log.value[[2, 5]].tolist() == [2.5, 0.0]
    assert (log.texts, log.text.tolist()) == (["Hello", "Hello", "Anyone?"], [0, -1, -1, 1, 2, -1])
    assert log.event_ids == ["e1", "e1", None]


@pytest.mark.parametrize("build", [from_frame, from_records, from_disk])
def test_the_columns_types_are_those_the_compiled_passes_read(build: Callable[[Histories], EventLog]) -> None:
    log = build(SIX)

    assert {column.dtype for column in (log.offsets, log.occurred_us, log.known_us)} == {np.dtype(np.int64)}
    codes = (log.channel, log.action, log.campaign, log.conversation, log.text)
    assert {column.dtype for column in codes} == {np.dtype(np.int32)}
    assert (log.is_company.dtype, log.value.dtype) == (np.bool_, np.float64)


@pytest.mark.parametrize("build", [from_frame, from_records, from_disk])
def test_a_log_may_be_empty(build: Callable[[Histories], EventLog]) -> None:
    log = build({})

    assert (len(log), log.customer_ids, log.offsets.tolist(), log.texts) == (0, [], [0], [])
    assert log.customer_rows(["ada"]).tolist() == [-1]


def test_a_log_of_some_customers_alone() -> None:
    three = SIX | {"cat": [Touch(day(4), text="Hello again")]}
    some = from_records(three).of_customers(1, 3)

    assert (some.customer_ids, some.offsets.tolist()) == (["bob", "cat"], [0, 3, 4])
    assert spelled_out(some) == spelled_out(from_records({who: three[who] for who in ("bob", "cat")}))


def test_histories_keep_their_place_even_when_empty_or_of_one_id() -> None:
    log = EventLog.from_records([("bob", [Touch(day(1))]), ("ada", []), ("bob", [Touch(day(1)), Touch(day(2))])])

    assert log.customer_ids == ["bob", "ada", "bob"]
    assert log.offsets.tolist() == [0, 1, 1, 3]


def test_customers_are_found_by_id() -> None:
    assert from_records(SIX).customer_rows(["bob", "eve", "ada", "bob"]).tolist() == [1, -1, 0, 1]


# Duplicates and order, on the records; `drop_duplicates` of the frame has tests of its own.


def test_of_one_event_the_version_known_first_stays() -> None:
    corrected = Touch(day(1), event_id="e1", recorded_at=day(9), text="corrected later")
    original = Touch(day(2), event_id="e1", recorded_at=day(3), text="as first known")
    announced = Touch(day(5), event_id="e2", recorded_at=day(1), text="not known before day 5")
    happened = Touch(day(3), event_id="e2", recorded_at=day(4), text="known on day 4")

    assert texts(corrected, announced, happened, original) == ["as first known", "known on day 4"]


def test_of_versions_known_at_the_same_time_the_first_in_the_order_stays() -> None:
    a, b = (Touch(day(2), event_id="e1", recorded_at=day(3), text=text) for text in "ab")

    assert texts(b, a) == texts(a, b) == ["a"]


def test_without_an_event_id_only_equal_rows_are_duplicates() -> None:
    a, b = (Touch(day(1), text=text) for text in "ab")
    elsewhere = replace(a, occurred_at=day(1).astimezone(INDIA))

    assert texts(a, b, a, elsewhere) == ["a", "b"]


def test_one_event_id_of_two_customers_is_two_touchpoints() -> None:
    assert len(from_records({"ada": [Touch(day(1), event_id="e1")], "bob": [Touch(day(1), event_id="e1")]})) == 2


def test_at_equal_times_the_content_decides_nulls_first() -> None:
    in_order = [
        Touch(day(1), "email", "viewed", text="channel"),
        Touch(day(1), "web", "asked", text="action"),
        Touch(day(1), "web", "viewed", "e3", text="not recorded"),
        Touch(day(1), "web", "viewed", "e2", day(1), "company", text="actor"),
        Touch(day(1), "web", "viewed", "e4", day(1), "customer", text="said by the customer"),
        Touch(day(1), "web", "viewed", None, day(1), "customer", text="said twice, no event id"),
        Touch(day(1), "web", "viewed", "e1", day(1), "customer", text="said twice, no event id"),
        Touch(day(1) + ONE_US, "chat", "asked", text="later"),
    ]

    assert texts(*in_order[::-1]) == [touch.text for touch in in_order]


# Time


def test_what_is_known_at_as_of_is_known_in_its_own_microsecond() -> None:
    assert is_known(np.array([9, 10, 11]), 10).tolist() == [True, True, False]


def test_has_known_asks_for_a_marked_touchpoint_known_by_then() -> None:
    log = from_records({"ada": [Touch(day(1)), Touch(day(2), action="bought", recorded_at=day(5))], "bob": []})
    bought = np.array([False, True])
    customer = np.array([0, 0, 0, 1, -1], dtype=np.int64)
    as_of_us = np.array([to_us(moment) for moment in (day(5) - ONE_US, day(5), day(9), day(9), day(9))])

    assert has_known(log, bought, customer, as_of_us).tolist() == [False, True, True, False, False]
    assert has_known(log, ~bought, customer, as_of_us).tolist() == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("moment", "moment_us"),
    [
        (EPOCH, 0),
        (START, START_US),
        (datetime(2024, 1, 1, 5, 30, tzinfo=INDIA), START_US),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
        (datetime.min.replace(tzinfo=UTC), -62_135_596_800_000_000),
        (datetime.max.replace(tzinfo=UTC), 253_402_300_799_999_999),
    ],
)
def test_times_are_exact_microseconds(moment: datetime, moment_us: int) -> None:
    assert to_us(moment) == moment_us
    assert from_us(moment_us) == moment
    assert from_us(moment_us).tzinfo is UTC


# Whichever way and in whatever order the rows come.

VOCABULARY = Vocabulary(
    kinds=(
        Kind("any", "touchpoint"),
        *(Kind("actor", name) for name in ("customer", "company")),
        *(Kind("channel", name) for name in ("web", OTHER)),
        *(Kind("action", name) for name in ("viewed", OTHER)),
        Kind("channel and action", "web / viewed"),
        *(Kind("campaign", name) for name in ("é", OTHER)),
        *(Kind("message", name) for name in ("customer", "company")),
    ),
    known_channels=frozenset({"web"}),
    known_actions=frozenset({"viewed", "asked"}),
)


def features(log: EventLog) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Every customer's features, at one moment after another."""
    moments_us = [to_us(day(number)) for number in (0, 1, 1.5, 2, 3, 6)]
    customer = np.repeat(np.arange(len(log.customer_ids)), len(moments_us))
    as_of_us = np.tile(np.array(moments_us, dtype=np.int64), len(log.customer_ids))
    return aggregate(log, VOCABULARY, np.zeros(len(log), dtype=np.bool_), customer, as_of_us)


def assert_same(one: EventLog, other: EventLog) -> None:
    assert spelled_out(one) == spelled_out(other)
    np.testing.assert_array_equal(features(one), features(other))


# Of few values each, so that times tie, event ids come again and rows are equal; the same instants at three offsets.
moments = st.builds(
    lambda number, us, zone: (day(number) + us * ONE_US).astimezone(zone),
    st.integers(0, 3),
    st.integers(0, 1),
    st.sampled_from([UTC, INDIA, timezone(timedelta(hours=-8))]),
)
maybe_word = st.sampled_from([None, "a", "B", "é", "ﬀ", "😀"])
touches = st.builds(
    Touch,
    occurred_at=moments,
    channel=st.sampled_from(["web", "email"]),
    action=st.sampled_from(["viewed", "asked", "unheard"]),
    event_id=st.sampled_from([None, "e1", "e2", "e3"]),
    recorded_at=st.none() | moments,
    actor=st.sampled_from(["customer", "company"]),
    value=st.sampled_from([None, -1.5, -0.0, 0.0, 2.0]),
    campaign=maybe_word,
    variant=maybe_word,
    conversation_id=maybe_word,
    text=maybe_word,
)
histories = st.dictionaries(st.sampled_from(["ada", "bob", "Éva"]), st.lists(touches, min_size=1, max_size=8))


@given(histories=histories)
def test_a_frame_and_records_make_the_same_log(histories: Histories) -> None:
    assert_same(from_frame(histories), from_records(histories))


@given(histories=histories, most_words=st.integers(1, 9), batch_rows=st.integers(1, 9), seed=st.integers(0, 9))
def test_what_was_packed_makes_the_same_log(histories: Histories, most_words: int, batch_rows: int, seed: int) -> None:
    assert_same(from_disk(histories, most_words, batch_rows, seed), from_records(histories))


@given(histories=histories)
def test_a_log_is_in_order_and_holds_no_event_twice(histories: Histories) -> None:
    rows = spelled_out(from_records(histories))

    assert [row[:2] for row in rows] == sorted(row[:2] for row in rows)
    named = [(row[0], row[-1]) for row in rows if row[-1] is not None]  # messages
    assert len(named) == len(set(named))


@given(history=st.lists(touches, min_size=1, max_size=8), data=st.data())
def test_neither_the_order_of_rows_nor_repeating_them_matters(history: list[Touch], data: st.DataObject) -> None:
    repeated = history + data.draw(st.lists(st.sampled_from(history), max_size=3))
    shuffled = data.draw(st.permutations(repeated))

    assert_same(from_records({"ada": shuffled}), from_records({"ada": history}))
