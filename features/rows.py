"""Feature rows: everything known about each (customer, as_of), the same for training, lists and the endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from features.aggregate import Float32s, aggregate
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
from features.phrases import PhraseRows, Phrases, phrase_rows
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

    `phrases` are there where phrases have been learnt as well.
    """

    features: Float32s
    pools: Float32s | None
    messages: Messages | None
    phrases: PhraseRows | None = None


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
    like: FeatureRows | None = None,
) -> FeatureRows:
    """Build the feature rows from what was known at each row's as_of and is not `hidden`.

    `customer` indexes the log's customers, -1 for one without touchpoints. The conversation is left out where `embed`
    and `anchors`, which that embedded, are None; the `phrases` are those that training has learnt. `like` are rows of
    the same questions with other touchpoints hidden: where they read the same messages, those are not read again.
    """
    touchpoints = aggregate(log, vocabulary, hidden, customer, as_of_us)
    if embed is None or anchors is None:
        return FeatureRows(touchpoints, None, None)
    messages = last_messages(log, hidden | stage_records(log, vocabulary.stages), customer, as_of_us)
    if like is not None and messages.are_those_of(like.messages):
        conversation = like.features[:, touchpoints.shape[1] :]
        return FeatureRows(np.hstack([touchpoints, conversation]), like.pools, messages, like.phrases)
    said = embed_messages(log, messages, embed)
    pools = pool_messages(log, messages, said.texts, said.vectors)
    conversation = message_features(log, messages, said.texts, said.vectors, pools)
    own, recent, _ = np.split(pools, 3, axis=1)
    last = last_own_vectors(log, messages, said.texts, said.vectors)
    likenesses = anchor_features(own, recent, last, anchors)
    weighed = None if phrases is None else phrase_rows(log, messages, as_of_us, phrases)
    return FeatureRows(np.hstack([touchpoints, conversation, likenesses]), pools, messages, weighed)


def embed_messages(log: EventLog, messages: Messages, embed: Embed) -> TextVectors:
    """Embed each message that some row reads, once."""
    texts = messages.needed(log)
    return TextVectors(texts, embed([log.texts[text] for text in texts]))
