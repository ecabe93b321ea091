"""Phrases: which ones count and how they are weighed, by hand on a few messages, then what must hold of any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import phrases as module
from features.event_log import EventLog, to_us
from features.phrases import VIEWS, PhraseRows, Phrases, learn_phrases, phrase_rows, phrases_of, view_phrases

START = datetime(2024, 1, 1, tzinfo=UTC)
OWN, LAST, LATELY, COMPANY = range(4)


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


def log_of(*histories: Sequence[Touch]) -> EventLog:
    return EventLog.from_records([(f"c{i}", history) for i, history in enumerate(histories)])


def saying(*texts: str) -> EventLog:
    """The log of customers who said one thing each."""
    return log_of(*([Touch(1, text)] for text in texts))


def learn(log: EventLog) -> Phrases:
    return learn_phrases(log, np.ones(len(log), dtype=np.bool_))


def weigh(log: EventLog, customer: Sequence[int], days: Sequence[float], phrases: Phrases) -> PhraseRows:
    hidden = np.array([log.actions[code] == "whispered" for code in log.action], dtype=np.bool_)
    as_of_us = np.array([to_us(at(day)) for day in days], dtype=np.int64)
    viewed = view_phrases(log, hidden, np.array(customer, dtype=np.int64), as_of_us, phrases)
    return phrase_rows(viewed, phrases)


def written(rows: PhraseRows, row: int, phrases: Phrases) -> dict[tuple[int, str], float]:
    """A row's values by view and phrase."""
    entries = slice(rows.offsets[row], rows.offsets[row + 1])
    views, codes = np.divmod(rows.column[entries], len(phrases.names))
    names = [phrases.names[code] for code in codes]
    return dict(zip(zip(views.tolist(), names, strict=True), rows.value[entries].tolist(), strict=True))


# Cutting a text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Hm…", ["hm"]),
        ("How MUCH, is it?!", ["how", "much", "is", "it", "?", "!", "how much", "much is", "is it", "it ?", "? !"]),
        ("ÄRGER\nno_1", ["ärger", "no_1", "ärger no_1"]),
    ],
)
def test_a_text_is_cut_into_words_and_pairs(text: str, expected: list[str]) -> None:
    assert phrases_of(text) == expected


def test_only_the_start_of_a_long_text_is_read() -> None:
    assert phrases_of("ab " * 6_666 + "cdef") == phrases_of("ab " * 6_666 + "cd")
    assert len(phrases_of("a " * 20_000)) == 10_000 + 9_999


# Which phrases count


def test_what_ten_customers_say_counts() -> None:
    phrases = learn(saying(*["how much"] * 10, *["how many"] * 9, "why"))

    assert phrases.names == ("how", "how much", "much")
    assert phrases.inverse_frequency.tolist() == pytest.approx(
        [np.log(21 / 20) + 1, np.log(21 / 11) + 1, np.log(21 / 11) + 1]
    )


def test_no_phrase_of_few_peoples_conversations_is_kept() -> None:
    """One customer may say it a hundred times, and nine may say it: it would tell of them."""
    secret = [Touch(day, "my secret") for day in range(100)]
    log = log_of(*[secret] * 9, *[[Touch(1, "my word")]] * 9)

    assert learn(log).names == ("my",)
    assert learn(log_of(*[secret] * 9)).names == ()


def test_of_many_customers_one_in_two_hundred_must_say_it() -> None:
    assert learn(saying(*["rare"] * 10, *["x"] * 2_189)).names == ("rare", "x")
    assert learn(saying(*["rare"] * 10, *["x"] * 2_190)).names == ("x",)
    assert learn(saying(*["rare"] * 11, *["x"] * 2_189)).names == ("rare", "x")


def test_what_the_company_says_counts_as_well() -> None:
    log = log_of(*[[Touch(1, "hello"), Touch(2, "hello", "company")]] * 5, *[[Touch(1, "hello", "company")]] * 5)

    assert learn(log).names == ("hello",)
    assert learn(log).inverse_frequency.tolist() == [1.0]


def test_words_of_two_messages_are_no_pair() -> None:
    assert learn(log_of(*[[Touch(1, "a b"), Touch(2, "c")]] * 10)).names == ("a", "a b", "b", "c")


def test_the_most_widespread_are_kept_and_ties_go_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PHRASES", 3)

    assert learn(saying(*["z"] * 12, *["b c"] * 10, *["a"] * 10)).names == ("a", "b", "z")


def test_only_usable_messages_teach() -> None:
    log = log_of(*[[Touch(1, "known"), Touch(2, "later")]] * 10, *[[Touch(1, "later")]] * 9)
    usable = np.array([log.texts[text] == "known" for text in log.text])
    phrases = learn_phrases(log, usable)

    assert phrases.names == ("known",)
    assert phrases.inverse_frequency.tolist() == [1.0]  # of the ten customers who may be known, not of nineteen


def test_where_nobody_says_anything_there_are_no_phrases() -> None:
    log = log_of([Touch(1)], [])
    phrases = learn(log)
    rows = weigh(log, [0, 1], [9, 9], phrases)

    assert (phrases.names, phrases.inverse_frequency.tolist()) == ((), [])
    assert (rows.offsets.tolist(), len(rows.column), len(rows.value)) == ([0, 0, 0], 0, 0)


# How the phrases of a row are weighed

SIX = [
    Touch(0, "price"),
    Touch(100, "the price the price"),
    Touch(101, "Why?", "company"),
    Touch(102, "why"),
    Touch(103, "the"),
    Touch(104, "nothing of it"),
]
PHRASES = Phrases(("price", "the", "the price", "why"), np.array([3.0, 1.0, 4.0, 2.0]))


def scaled(**weights: float) -> dict[str, float]:
    """A view of length 25 would have unit length, one of length 100 length 2."""
    length = np.sqrt(sum(weight**2 for weight in weights.values()))
    return {name: weight / np.sqrt(length * 25) for name, weight in weights.items()}


def test_the_views_of_six_touchpoints() -> None:
    rows = weigh(log_of(SIX), [0], [105], PHRASES)
    twice, thrice = 1 + np.log(2), 1 + np.log(3)
    expected = {
        OWN: scaled(price=3 * thrice, the=thrice, pair=4 * twice, why=2.0),
        LAST: scaled(the=1.0, why=2.0),
        LATELY: scaled(price=3 * twice, the=thrice, pair=4 * twice, why=2.0),
        COMPANY: scaled(why=2.0),
    }

    assert written(rows, 0, PHRASES) == pytest.approx(
        {
            (view, name.replace("pair", "the price")): value
            for view, values in expected.items()
            for name, value in values.items()
        }
    )
    assert rows.column.tolist() == [0, 1, 2, 3, 5, 7, 8, 9, 10, 11, 15]
    assert (rows.offsets.dtype, rows.column.dtype, rows.value.dtype) == (np.int64, np.int32, np.float32)
    assert len(VIEWS) == 4


def test_lately_is_within_sixty_days() -> None:
    log = log_of([Touch(0, "why")])
    moments = [60, 60 - 1e-9, 0]

    assert [(LATELY, "why") in written(weigh(log, [0], [day], PHRASES), 0, PHRASES) for day in moments] == [
        False,
        True,
        True,
    ]


def test_all_messages_of_each_side_are_read() -> None:
    log = log_of([Touch(0, "price"), Touch(0, "the price", "company"), *(Touch(i, "why") for i in range(1, 50))])
    read = written(weigh(log, [0], [49], PHRASES), 0, PHRASES)

    assert (OWN, "price") in read
    assert (COMPANY, "the price") in read
    assert (LAST, "price") not in read


def test_hidden_messages_are_not_read() -> None:
    said, hidden = Touch(1, "why"), Touch(2, "the price", action="whispered")

    assert same(weigh(log_of([said, hidden]), [0], [9], PHRASES), weigh(log_of([said]), [0], [9], PHRASES))


def test_rows_without_phrases_are_empty() -> None:
    rows = weigh(log_of(SIX, []), [1, -1, 0, 0], [105, 105, -1, 0], PHRASES)

    assert rows.offsets.tolist() == [0, 0, 0, 0, 3]
    assert len(rows) == 4


def test_each_different_text_is_cut_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[str] = []
    monkeypatch.setattr(module, "phrases_of", lambda text: cut.append(text) or phrases_of(text))
    asked = replace(PHRASES)  # which remembers nothing yet
    weigh(log_of(SIX, [Touch(1, "why"), Touch(2, "why")], SIX), [0, 1, 2, 0], [105] * 4, asked)

    assert sorted(cut) == sorted({touch.text for touch in SIX})


# What must hold

days = st.integers(0, 99)
histories = st.lists(
    st.builds(
        Touch,
        day=days,
        text=st.none() | st.lists(st.sampled_from(["price", "the", "why", "x", "?"]), max_size=6).map(" ".join),
        actor=st.sampled_from(["customer", "company"]),
        action=st.sampled_from(["wrote", "whispered"]),
        recorded_day=st.none() | days,
    ),
    max_size=8,
)
crowds = st.lists(histories, min_size=1, max_size=4)


def same(one: PhraseRows, other: PhraseRows) -> bool:
    names = ("offsets", "column", "value")
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in names)


def entries(rows: PhraseRows, row: int) -> tuple[bytes, bytes]:
    of_row = slice(rows.offsets[row], rows.offsets[row + 1])
    return rows.column[of_row].tobytes(), rows.value[of_row].tobytes()


@given(crowd=crowds, moments=st.lists(days, min_size=1, max_size=3))
def test_each_row_is_the_same_alone_to_the_last_bit(crowd: list[list[Touch]], moments: list[int]) -> None:
    asked = [(customer, day) for customer in (*range(len(crowd)), -1) for day in moments]
    together = weigh(log_of(*crowd), *zip(*asked, strict=True), PHRASES)

    for row, (customer, day) in enumerate(asked):
        history = [] if customer == -1 else crowd[customer]
        assert entries(together, row) == entries(weigh(log_of(history), [0], [day], PHRASES), 0)


@given(history=histories, day=days, more=histories)
def test_what_becomes_known_later_changes_nothing(history: list[Touch], day: int, more: list[Touch]) -> None:
    later = [Touch(day + 1 + touch.day, touch.text, touch.actor) for touch in more]

    assert same(weigh(log_of(history), [0], [day], PHRASES), weigh(log_of(history + later), [0], [day], PHRASES))


@given(history=histories, day=days)
def test_repeated_and_shuffled_touchpoints_change_nothing(history: list[Touch], day: int) -> None:
    again = log_of([*reversed(history), *history])

    assert same(weigh(log_of(history), [0], [day], PHRASES), weigh(again, [0], [day], PHRASES))


@given(history=histories, day=days)
def test_views_stand_one_after_the_other_and_none_is_longer_than_all_own_messages_but_the_companys(
    history: list[Touch], day: int
) -> None:
    rows = weigh(log_of(history), [0], [day], PHRASES)
    squares = np.bincount(rows.column // len(PHRASES.names), rows.value.astype(np.float64) ** 2, len(VIEWS))

    assert (np.diff(rows.column) > 0).all()
    assert max(squares[[LAST, LATELY]]) <= squares[OWN] * (1 + 1e-6)


@given(crowd=crowds)
def test_the_order_of_the_customers_teaches_nothing(crowd: list[list[Touch]]) -> None:
    one, other = (learn(log_of(*(of * 10))) for of in (crowd, crowd[::-1]))

    assert one.names == other.names
    assert one.inverse_frequency.tobytes() == other.inverse_frequency.tobytes()


@given(crowd=crowds)
def test_phrases_are_those_of_enough_conversations(crowd: list[list[Touch]]) -> None:
    """Counted the plain way."""
    log = log_of(*(crowd * 5))
    conversations = [{name for touch in of for name in phrases_of(touch.text or "")} for of in crowd * 5]
    spoke = sum(any(touch.text is not None for touch in of) for of in crowd * 5)
    held = {name: sum(name in of for of in conversations) for name in set().union(*conversations)}
    phrases = learn(log)

    assert phrases.names == tuple(sorted(name for name, customers in held.items() if customers >= 10))
    assert phrases.inverse_frequency.tolist() == [np.log((1 + spoke) / (1 + held[name])) + 1 for name in phrases.names]
