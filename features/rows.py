"""Feature rows: everything known about each (customer, as_of), the same for training, lists and the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from features.aggregate import Float32s, aggregate, width
from features.anchors import Anchors, anchor_catalog, anchor_features
from features.catalog import Feature, touchpoint_features
from features.conversations import (
    MESSAGE_FEATURES,
    Messages,
    last_messages,
    last_own_vectors,
    message_features,
    pool_messages,
)
from features.event_log import Bools, EventLog, Int64s
from features.phrases import PhraseRows, Phrases, ViewedPhrases, phrase_rows, view_phrases
from features.stage_records import stage_records
from features.vocabulary import Vocabulary

Embed = Callable[[Sequence[str]], Float32s]  # texts -> (texts, dimension)


@dataclass(frozen=True)
class TextVectors:
    """The vectors of the messages that some rows read: `vectors[i]` embeds `log.texts[texts[i]]`, `texts` sorted."""

    texts: Int64s
    vectors: Float32s


@dataclass(frozen=True)
class FeatureRows:
    """`features` (rows, columns of `feature_catalog`) and, where text is read, `pools` (rows, pool dimensions).

    `phrases` are there where phrases have been learnt as well, made of `viewed`.
    """

    features: Float32s
    pools: Float32s | None
    messages: Messages | None
    phrases: PhraseRows | None = None
    viewed: ViewedPhrases | None = None


class Alike(NamedTuple):
    """Rows of the same questions with other touchpoints hidden.

    `differs` (rows,) says which may differ from them, `says_the_same` that none does in what was said.
    """

    rows: FeatureRows
    differs: Bools
    says_the_same: bool


def alike_but_for(rows: FeatureRows, touchpoints: Bools, log: EventLog, customer: Int64s) -> Alike:
    """Of these rows those that have one of the `touchpoints` of the log are to be made anew."""
    before = np.concatenate([[0], np.cumsum(touchpoints)])[log.offsets]
    having = np.diff(before, append=0) > 0  # one entry more, for -1: nobody
    return Alike(rows, having[customer], bool((log.text[touchpoints] < 0).all()))


def feature_catalog(vocabulary: Vocabulary, reads_text: bool, example_stages: Sequence[str] = ()) -> list[Feature]:
    """The columns of `FeatureRows.features`, in order; `example_stages` are those with examples in the journey."""
    conversation = [*MESSAGE_FEATURES, *anchor_catalog(example_stages)] if reads_text else []
    return touchpoint_features(vocabulary) + conversation


def build_rows(
    log: EventLog,
    vocabulary: Vocabulary,
    hidden: Bools,
    customer: Int64s,
    as_of_us: Int64s,
    embed: Embed | None,
    anchors: Anchors | None,
    phrases: Phrases | None = None,
    market: Float32s | None = None,
    alike: Alike | None = None,
) -> FeatureRows:
    """Build the feature rows from what was known at each row's as_of and is not `hidden`.

    `customer` indexes the log's customers, -1 for one without touchpoints. The conversation is left out where `embed`
    and `anchors`, which that embedded, are None; the `phrases` are those that training has learnt. The columns of
    `market` (rows, columns), where given, come last. From rows that are `alike` is taken what is equal.
    """
    columns = width(vocabulary)
    if alike is not None:
        mended = alike.rows.features.copy()
        differs = alike.differs
        mended[differs, :columns] = aggregate(log, vocabulary, hidden, customer[differs], as_of_us[differs])
        if alike.says_the_same or embed is None:
            return replace(alike.rows, features=mended)
    if embed is None or anchors is None:
        return FeatureRows(aggregate(log, vocabulary, hidden, customer, as_of_us, market), None, None)
    unread = hidden | stage_records(log, vocabulary.stages)
    messages = last_messages(log, unread, customer, as_of_us)
    said = embed_messages(log, messages, embed)
    pools = pool_messages(log, messages, said.texts, said.vectors)
    conversation = message_features(log, messages, said.texts, said.vectors, pools)
    own, recent, _ = np.split(pools, 3, axis=1)
    last = last_own_vectors(log, messages, said.texts, said.vectors)
    likenesses = anchor_features(own, recent, last, anchors)
    touchpoints = aggregate(log, vocabulary, hidden, customer, as_of_us) if alike is None else mended[:, :columns]
    last_columns = [] if market is None else [market]
    features = np.hstack([touchpoints, conversation, likenesses, *last_columns])
    rows = FeatureRows(features, pools, messages)
    if phrases is None:
        return rows
    viewed = view_phrases(log, unread, customer, as_of_us, phrases)
    return replace(rows, phrases=phrase_rows(viewed, phrases), viewed=viewed)


def each_once(embed: Embed) -> Embed:
    """`embed`, for several readings of the same messages: asks for each different text once."""
    known: dict[str, Float32s] = {}

    def embed_once(texts: Sequence[str]) -> Float32s:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        vectors = embed(new)
        known.update(zip(new, vectors, strict=True))
        return np.stack([known[text] for text in texts]) if texts else vectors

    return embed_once


def embed_messages(log: EventLog, messages: Messages, embed: Embed) -> TextVectors:
    """Embed each message that some row reads, once."""
    texts = messages.needed(log)
    return TextVectors(texts, embed([log.texts[text] for text in texts]))
