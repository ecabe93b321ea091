"""The phrase head: three rows by hand, the same numbers alone and in a list, and what each message adds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from features.event_log import EventLog
from features.phrases import PhraseRows, Phrases, phrase_rows, view_phrases
from models.phrase_head import PhraseEffects, PhraseHead, phrase_effects

AS_IT_IS, UNIT = False, True
HEAD = PhraseHead(
    weights=np.array([[1.0, 2, 0, 0], [-1, 0, 4, 0]]),
    intercepts=np.array([0.5, 0.25]),
    silent=np.array([-3.0, 3]),
    at_unit_length=np.array([AS_IT_IS, AS_IT_IS]),
)
START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Message:
    """A message `day` days after the start."""

    day: float
    text: str
    actor: str = "customer"
    channel: str = "chat"
    action: str = "wrote"
    event_id: str | None = None
    recorded_at: datetime | None = None
    value: float | None = None
    campaign: str | None = None
    variant: str | None = None
    conversation_id: str | None = None

    @property
    def occurred_at(self) -> datetime:
        return START + timedelta(days=self.day)


def rows_of(offsets: list[int], column: list[int], value: list[float]) -> PhraseRows:
    return PhraseRows(np.array(offsets), np.array(column, dtype=np.int32), np.array(value, dtype=np.float32), 0)


def test_log_odds_of_three_rows() -> None:
    rows = rows_of([0, 2, 2, 3], [0, 2, 1], [1, 0.5, -1])

    assert HEAD.log_odds(rows).tolist() == [[1.5, 1.25], [-3.0, 3.0], [-1.5, 0.25]]


def test_an_output_may_read_each_view_at_unit_length() -> None:
    """Two phrases in each of four views: in the first view 3 and 4, of length 5; in the last 0.5."""
    head = PhraseHead(
        np.tile([1.0, 2, 0, 0, 0, 0, 0, 10], (2, 1)), np.ones(2), np.full(2, -3.0), np.array([UNIT, AS_IT_IS])
    )
    rows = rows_of([0, 3, 3], [0, 1, 7], [3, 4, 0.5])

    assert head.log_odds(rows) == pytest.approx(np.array([[1 + (3 + 8) / 5 + 10, 1 + 3 + 8 + 5], [-3, -3]]))


def test_no_rows_have_no_log_odds() -> None:
    assert HEAD.log_odds(rows_of([0], [], [])).shape == (0, 2)


def test_a_row_alone_has_the_log_odds_it_has_among_others() -> None:
    random = np.random.default_rng(4)
    head = PhraseHead(random.normal(size=(4, 900)), random.normal(size=4), random.normal(size=4), np.full(4, AS_IT_IS))
    dense = np.where(random.random((50, 900)) < 0.1, random.normal(size=(50, 900)), 0).astype(np.float32)
    row, column = np.nonzero(dense)
    rows = PhraseRows(np.searchsorted(row, np.arange(51)), column.astype(np.int32), dense[row, column], 900)
    alone = [
        rows_of([0, stop - start], column[start:stop].tolist(), rows.value[start:stop].tolist())
        for start, stop in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)
    ]

    assert np.concatenate([head.log_odds(of) for of in alone]).tolist() == head.log_odds(rows).tolist()
    assert head.log_odds(rows) == pytest.approx(dense @ head.weights.T + head.intercepts, abs=1e-9)


PHRASES = Phrases(("price", "why"), np.array([1.0, 1.0]))


def effects_of(head: PhraseHead, output: int, *messages: Message) -> tuple[PhraseEffects, np.ndarray]:
    """The effects of one customer's messages at day 100, and the log-odds."""
    log = EventLog.from_records([("ada", messages)])
    as_of_us = np.array([(START + timedelta(days=100)).timestamp() * 1e6], dtype=np.int64)
    viewed = view_phrases(log, np.zeros(len(log), dtype=np.bool_), np.zeros(1, dtype=np.int64), as_of_us, PHRASES)
    rows = phrase_rows(viewed, PHRASES)
    return phrase_effects(head, output, rows, viewed), head.log_odds(rows)


def test_a_phrase_is_shared_by_the_messages_that_hold_it() -> None:
    """Views of own, last own, lately, company; "price" is alone in its views, three times in the first two."""
    head = PhraseHead(np.array([[3.0, 0, 10, 0, 0, 0, 100, 0]]), np.array([0.5]), np.array([9.0]), np.array([AS_IT_IS]))
    said = [
        Message(1, "price price"),
        Message(50, "Price!"),
        Message(51, "x", "company"),
        Message(60, "price", "company"),
    ]
    told, log_odds = effects_of(head, 0, *said)

    assert told.events.tolist() == [1, 0, 3, 2]  # the own messages, newest first, then the company's
    own = (3 + 10) * np.sqrt((1 + np.log(3)) / 25)
    assert told.effects.tolist() == pytest.approx([own / 3, own * 2 / 3, 100 * np.sqrt(1 / 25), 0])
    assert told.offsets.tolist() == [0, 4]
    assert log_odds == pytest.approx(own + 20 + 0.5)


def test_effects_and_the_intercept_sum_to_the_log_odds() -> None:
    random = np.random.default_rng(5)
    head = PhraseHead(
        random.normal(size=(2, 8)), random.normal(size=2), random.normal(size=2), np.array([UNIT, AS_IT_IS])
    )
    texts = [" ".join(random.choice(["price", "why", "x"], size=6)) for _ in range(50)]
    said = [Message(i * 2, text, "company" if i % 2 else "customer") for i, text in enumerate(texts)]
    for output in range(2):
        told, log_odds = effects_of(head, output, *said)
        assert sorted(told.events) == list(range(50))
        assert told.effects.sum() + head.intercepts[output] == pytest.approx(log_odds[0, output], abs=1e-9)


def test_messages_without_phrases_add_nothing() -> None:
    told, log_odds = effects_of(
        PhraseHead(np.ones((1, 8)), np.ones(1), np.zeros(1), np.array([UNIT])), 0, Message(1, "x")
    )

    assert told.effects.tolist() == [0.0]
    assert log_odds.tolist() == [[0.0]]
