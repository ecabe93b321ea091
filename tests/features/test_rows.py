"""Feature rows: the blocks side by side under the catalog's names, and each message embedded once."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.anchors import DISSATISFIED, SATISFIED, embed_anchors
from features.event_log import EventLog, to_us
from features.phrases import Phrases
from features.rows import Embed, FeatureRows, build_rows, each_once, embed_messages, feature_catalog
from features.vocabulary import OTHER, Kind, Vocabulary

TONE_SENTENCES = [*SATISFIED, *DISSATISFIED]
START = datetime(2024, 1, 1, tzinfo=UTC)
VOCABULARY = Vocabulary(
    kinds=(
        Kind("any", "touchpoint"),
        Kind("channel", "web"),
        Kind("channel", OTHER),
        Kind("action", OTHER),
        Kind("message", "customer"),
    ),
    known_channels=frozenset({"web", "chat"}),
    known_actions=frozenset({"viewed", "wrote"}),
)


@dataclass(frozen=True)
class Touch:
    """A touchpoint `day` days after the start."""

    day: float
    channel: str = "web"
    action: str = "viewed"
    text: str | None = None
    actor: str = "customer"
    value: float | None = None
    recorded_at: datetime | None = None
    event_id: str | None = None
    campaign: str | None = None
    variant: str | None = None
    conversation_id: str | None = None

    @property
    def occurred_at(self) -> datetime:
        return at(self.day)


@dataclass
class ToyEmbed:
    """Two numbers out of each text's checksum; `asked` keeps what had to be embedded."""

    asked: list[str] = field(default_factory=list)

    def __call__(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.asked += texts
        checksums = np.array([zlib.crc32(text.encode()) for text in texts], dtype=np.uint32)
        return np.stack([checksums % 1009 / 1009, checksums % 2003 / 2003 - 0.5], axis=1).astype(np.float32)


def at(day: float) -> datetime:
    return START + timedelta(days=day)


def build(
    log: EventLog,
    customer: Sequence[int],
    moments: Sequence[datetime],
    embed: Embed | None,
    hidden: str = "",
    examples: dict[str, list[str]] | None = None,
) -> FeatureRows:
    rows_hidden = np.array([log.actions[code] == hidden for code in log.action], dtype=np.bool_)
    as_of_us = np.array([to_us(moment) for moment in moments], dtype=np.int64)
    anchors = None if embed is None else embed_anchors(examples or {}, embed)
    return build_rows(log, VOCABULARY, rows_hidden, np.array(customer, dtype=np.int64), as_of_us, embed, anchors)


SIX = EventLog.from_records(
    [
        (
            "ada",
            [
                Touch(1, "web", "viewed", value=5),
                Touch(2, "chat", "wrote", "How much?"),
                Touch(4, "chat", "wrote", "See the list", "company"),
                Touch(8, "chat", "whispered", "Not a word"),
                Touch(9, "chat", "wrote", "Later"),
            ],
        ),
        ("bob", [Touch(3, "chat", "wrote", "Hi")]),
    ]
)


NAMED = {
    "any touchpoint: times ever": 3,
    "any touchpoint: days since the last": 4,
    "any touchpoint: value ever": 5,
    "channel web: times in 7 days": 0,
    "channel web: days since the last": 7,
    "channel (other): times in 30 days": 2,
    "channel (other): touchpoints since the last": 0,
    "action (other): times ever": 3,
    "message by the customer: days since the first": 6,
    "mean gap between touchpoints": 1.5,
    "company acts answered": 0,
    "own messages read": 1,
    "company messages read": 1,
    "length of the last own message": 9,
    "own messages with a question": 1,
}


def test_the_columns_are_those_of_the_catalog() -> None:
    rows = build(SIX, [0], [at(8)], ToyEmbed(), hidden="whispered")
    catalog = feature_catalog(VOCABULARY, reads_text=True)
    row = dict(zip((feature.name for feature in catalog), rows.features[0].tolist(), strict=True))

    assert {name: row[name] for name in NAMED} == NAMED


def test_without_an_embedder_the_conversation_is_left_out() -> None:
    rows = build(SIX, [0, 1], [at(8), at(8)], embed=None)

    assert (rows.pools, rows.messages) == (None, None)
    assert rows.features.shape == (2, len(feature_catalog(VOCABULARY, reads_text=False)))


def test_the_conversation_leaves_the_touchpoints_columns_as_they_are() -> None:
    silent, read = (build(SIX, [1, 0], [at(8), at(9)], embed).features for embed in (None, ToyEmbed()))

    assert read.dtype == np.float32
    assert read.shape == (2, len(feature_catalog(VOCABULARY, reads_text=True)))
    np.testing.assert_array_equal(read[:, : silent.shape[1]], silent)


def test_words_in_a_recorded_stage_are_not_a_message() -> None:
    embed, touches = ToyEmbed(), [Touch(1), Touch(2, "crm", "stage: keen", "A note", "company")]
    vocabulary = replace(VOCABULARY, stages=("keen", "won"))
    log = EventLog.from_records([("ada", touches)])
    anchors, hidden = embed_anchors({}, embed), np.zeros(2, dtype=np.bool_)
    rows = build_rows(log, vocabulary, hidden, np.array([0]), np.array([to_us(at(3))]), embed, anchors)

    assert embed.asked == TONE_SENTENCES
    np.testing.assert_array_equal(
        rows.features, build(EventLog.from_records([("ada", touches[:1])]), [0], [at(3)], ToyEmbed()).features
    )


def test_the_examples_of_a_stage_make_columns_of_their_own() -> None:
    examples = {"considering": ["How much?"], "leaving": ["Later", "Hi"]}
    rows = build(SIX, [0, 1], [at(3), at(2)], ToyEmbed(), hidden="whispered", examples=examples)
    catalog = [feature.name for feature in feature_catalog(VOCABULARY, True, tuple(examples))]
    own, last = (
        catalog.index(f"{whose} like the examples of considering") for whose in ("own messages", "last own message")
    )

    assert rows.features.shape == (2, len(catalog))
    assert catalog[-4:-2] == [catalog[own], catalog[last]]
    assert rows.features[0, [own, last]].tolist() == pytest.approx([1, 1])  # Ada has asked just that
    assert np.isnan(rows.features[1, -4:]).all()  # Bob has said nothing yet


def test_hidden_touchpoints_are_in_no_column() -> None:
    embed = ToyEmbed()
    rows = build(SIX, [0, 0], [at(8), at(8)], embed, hidden="wrote")
    said = embed.asked[len(TONE_SENTENCES) :]
    no_message = EventLog.from_records([("ada", [Touch(1, value=5), Touch(8, "chat", "whispered", "Not a word")])])

    np.testing.assert_array_equal(rows.features[:1], build(no_message, [0], [at(8)], ToyEmbed()).features)
    assert said == ["Not a word"]


def test_each_message_that_some_row_reads_is_embedded_once() -> None:
    embed = ToyEmbed()
    rows = build(SIX, [0, 1, 0, -1], [at(4), at(4), at(8), at(8)], embed, hidden="whispered")

    assert embed.asked == [*TONE_SENTENCES, "How much?", "See the list", "Hi"]
    assert rows.messages is not None
    assert embed_messages(SIX, rows.messages, embed).texts.tolist() == [0, 1, 4]


def test_several_readings_embed_each_message_once() -> None:
    embed, alone = ToyEmbed(), ToyEmbed()
    once = each_once(embed)

    np.testing.assert_array_equal(once(["Hi", "Later", "Hi"]), alone(["Hi", "Later", "Hi"]))
    np.testing.assert_array_equal(once(["How much?", "Later"]), alone(["How much?", "Later"]))
    assert embed.asked == ["Hi", "Later", "How much?"]


def test_phrases_are_weighed_of_the_messages_that_are_read() -> None:
    phrases, embed = Phrases(("how", "not"), np.array([1.0, 2.0])), ToyEmbed()
    hidden = np.array([SIX.actions[code] == "whispered" for code in SIX.action])
    asked = (np.array([0, 1]), np.array([to_us(at(9)), to_us(at(9))]))
    rows = build_rows(SIX, VOCABULARY, hidden, *asked, embed, embed_anchors({}, embed), phrases)

    assert rows.phrases is not None
    assert (rows.phrases.offsets.tolist(), rows.phrases.column.tolist()) == ([0, 3, 3], [0, 2, 4])
    assert rows.phrases.value.tolist() == pytest.approx([0.2, 0.2, 0.2])
    assert build(SIX, [0], [at(9)], embed).phrases is None
    assert build_rows(SIX, VOCABULARY, hidden, *asked, None, None, phrases).phrases is None


def test_who_said_nothing_has_zero_pools() -> None:
    rows = build(SIX, [0, -1], [at(1), at(9)], ToyEmbed())

    assert rows.pools is not None
    assert rows.pools.tolist() == [[0] * 6] * 2
    assert rows.messages is not None
    assert (rows.messages.own == -1).all()


days = st.integers(0, 9)
histories = st.lists(
    st.builds(
        Touch,
        day=days,
        channel=st.sampled_from(["web", "chat", "radio"]),
        action=st.sampled_from(["viewed", "wrote"]),
        text=st.sampled_from([None, "a", "b?", "c!"]),
        actor=st.sampled_from(["customer", "company"]),
        value=st.sampled_from([None, 0.1, 2]),
        recorded_at=st.none() | days.map(at),
    ),
    max_size=6,
)


@given(crowd=st.lists(histories, min_size=1, max_size=4), grid=st.lists(days.map(at), min_size=1, max_size=3))
def test_each_row_is_the_same_alone_to_the_last_bit(crowd: list[list[Touch]], grid: list[datetime]) -> None:
    log = EventLog.from_records([(f"c{i}", history) for i, history in enumerate(crowd)])
    asked = [(customer, as_of) for customer in (*range(len(crowd)), -1) for as_of in grid]
    together = build(log, [customer for customer, _ in asked], [as_of for _, as_of in asked], ToyEmbed())

    for row, (customer, as_of) in enumerate(asked):
        history = [] if customer == -1 else crowd[customer]
        alone = build(EventLog.from_records([("alone", history)]), [0], [as_of], ToyEmbed())
        assert together.features[row].tobytes() == alone.features.tobytes()
        assert together.pools is not None
        assert alone.pools is not None
        assert together.pools[row].tobytes() == alone.pools.tobytes()
