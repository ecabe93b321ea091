"""What a conversation says at as_of: the last messages of each side, pooled, and how they were written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.anchors import cosine
from features.catalog import Feature
from features.conversation_turns import RECENT_MESSAGES, TURN_FEATURES, turn_features
from features.event_log import Bools, EventLog, Floats, Int32s, Int64s, is_known

MOST_MESSAGES = 20  # of each side: what came before says little about today and would have to be embedded
HALF_LIFE_MESSAGES = 4.0
_DIGIT = re.compile(r"\d")
POOLS = ("own messages", "last own messages", "messages by the company")

WORD_FEATURES = (
    Feature("own messages read", "messages", f"Own messages that count: the last {MOST_MESSAGES} at most."),
    Feature("company messages read", "messages", f"Company messages that count: the last {MOST_MESSAGES} at most."),
    Feature("mean length of own messages", "characters", "Over the own messages read."),
    Feature("length of the last own message", "characters", "Empty where the customer said nothing."),
    Feature("own messages with a question", "share", "Own messages with a question mark / own messages read."),
    Feature("own messages with an exclamation", "share", "Own messages with an exclamation mark / own messages read."),
    Feature("own messages with a link", "share", "Own messages with '://' / own messages read."),
    Feature("own messages with a number", "share", "Own messages with a digit / own messages read."),
    Feature("change of subject", "cosine", "Likeness of the last own message to the own messages before it."),
    Feature("own words against the company's", "cosine", "Likeness of the own messages to the company's."),
    Feature(
        "move towards the company's words",
        "cosine",
        "Likeness of the last 3 own messages to the company's - that of the own messages before them.",
    ),
)
MESSAGE_FEATURES = (*WORD_FEATURES, *TURN_FEATURES)


@dataclass(frozen=True)
class Messages:
    """Rows of the log that hold each row's last messages, newest first, -1 padded. Shapes (rows, MOST_MESSAGES)."""

    own: Int64s
    company: Int64s

    def needed(self, log: EventLog) -> Int64s:
        """Indices into `log.texts` of every message that some row reads, sorted."""
        events = np.concatenate([self.own.ravel(), self.company.ravel()])
        return np.unique(log.text[events[events >= 0]]).astype(np.int64)


def last_messages(log: EventLog, hidden: Bools, customer: Int64s, as_of_us: Int64s) -> Messages:
    """The last messages of each side known at each row's as_of, from touchpoints that are not `hidden`."""
    own = np.full((len(customer), MOST_MESSAGES), -1, dtype=np.int64)
    company = np.full((len(customer), MOST_MESSAGES), -1, dtype=np.int64)
    _last_messages(log.offsets, log.known_us, log.text, log.is_company, hidden, customer, as_of_us, own, company)
    return Messages(own, company)


def pool_messages(log: EventLog, messages: Messages, texts: Int64s, vectors: Float32s) -> Float32s:
    """Pool each row's messages into one vector a pool of `POOLS`. Shape (rows, len(POOLS) * dimension).

    `vectors[i]` embeds `log.texts[texts[i]]`, with `texts` sorted. The newest message counts most: a message's weight
    halves every 4 messages. A side that said nothing is a zero vector.
    """
    dimension = vectors.shape[1]
    pools = np.zeros((len(messages.own), len(POOLS) * dimension), dtype=np.float32)
    sides = (messages.own, messages.own, messages.company)
    for pool, (events, weight) in enumerate(zip(sides, pool_weights(), strict=True)):
        _pool(
            events, log.text, texts, vectors, weight, pools[:, pool * dimension : (pool + 1) * dimension]
        )  # one loop in a fixed order, not BLAS: a row's vector must not depend on its neighbours
    return pools


def pool_weights() -> Floats:
    """How much each of a side's messages, newest first, counts in each pool. Shape (len(POOLS), MOST_MESSAGES)."""
    halving = np.exp2(-np.arange(MOST_MESSAGES) / HALF_LIFE_MESSAGES)
    recent = np.where(np.arange(MOST_MESSAGES) < RECENT_MESSAGES, 1.0, 0.0)
    return np.stack([halving, recent, halving])


def message_features(log: EventLog, messages: Messages, texts: Int64s, vectors: Float32s, pools: Float32s) -> Float32s:
    """How much was said, how, and in which turns: the columns of `MESSAGE_FEATURES`. Shape (rows, 21)."""
    written = np.array([_written(log.texts[text]) for text in texts], dtype=np.float64).reshape(-1, 5)
    words = np.full((len(messages.own), len(WORD_FEATURES)), np.nan, dtype=np.float32)
    _measure(messages.own, messages.company, log.text, texts, written, vectors, pools, words)
    turns = turn_features(
        messages.own,
        messages.company,
        log.occurred_us,
        log.conversation,
        own_length=_of_messages(messages.own, log.text, texts, written[:, 0]),
        company_length=_of_messages(messages.company, log.text, texts, written[:, 0]),
        last_own_asks=_of_messages(messages.own[:, 0], log.text, texts, written[:, 1]),
    )
    return np.hstack([words, turns])


def last_own_vectors(log: EventLog, messages: Messages, texts: Int64s, vectors: Float32s) -> Float32s:
    """Each row's last own message, zeros where there is none. Shape (rows, dimension)."""
    last: Float32s = _of_messages(messages.own[:, 0], log.text, texts, vectors)
    return last


def _of_messages(events: Int64s, text: Int32s, texts: Int64s, of_texts: Any) -> Any:
    """What is known of each message's text, from an array with an entry for each of `texts`; zeros for no message."""
    said = events >= 0
    found = np.zeros((*events.shape, *of_texts.shape[1:]), of_texts.dtype)
    found[said] = of_texts[np.searchsorted(texts, text[events[said]])]
    return found


def _written(text: str) -> Sequence[float]:
    return len(text), "?" in text, "!" in text, "://" in text, _DIGIT.search(text) is not None


@njit(cache=True, nogil=True)
def _last_messages(offsets, known_us, text, is_company, hidden, customer, as_of_us, own, company):  # type: ignore[no-untyped-def]
    most = own.shape[1]
    for row in range(len(customer)):
        if customer[row] < 0:
            continue
        owns, companies = 0, 0
        for event in range(offsets[customer[row] + 1] - 1, offsets[customer[row]] - 1, -1):
            if text[event] < 0 or hidden[event] or not is_known(known_us[event], as_of_us[row]):
                continue
            if is_company[event]:
                if companies < most:
                    company[row, companies] = event
                    companies += 1
            elif owns < most:
                own[row, owns] = event
                owns += 1
            if owns == most and companies == most:
                break


@njit(cache=True, nogil=True)
def _pool(events, text, texts, vectors, weights, pools):  # type: ignore[no-untyped-def]
    for row in range(len(events)):
        total = 0.0
        for rank in range(events.shape[1]):
            if events[row, rank] < 0 or weights[rank] == 0.0:
                continue
            vector = vectors[np.searchsorted(texts, text[events[row, rank]])]
            for k in range(len(vector)):
                pools[row, k] += np.float32(weights[rank]) * vector[k]
            total += weights[rank]
        if total > 0:
            for k in range(pools.shape[1]):
                pools[row, k] /= np.float32(total)


@njit(cache=True, nogil=True)
def _measure(own, company, text, texts, written, vectors, pools, features):  # type: ignore[no-untyped-def]
    dimension = vectors.shape[1]
    before_last, before_recent = np.empty(dimension), np.empty(dimension)
    for row in range(len(own)):
        out = features[row]
        owns, companies = 0, 0
        sums = np.zeros(written.shape[1])
        before_last[:], before_recent[:] = 0.0, 0.0
        for rank in range(own.shape[1]):
            companies += int(company[row, rank] >= 0)
            if own[row, rank] < 0:
                continue
            at = np.searchsorted(texts, text[own[row, rank]])
            sums += written[at]
            if owns == 0:
                out[3] = written[at, 0]
            for k in range(dimension):
                before_last[k] += vectors[at, k] if owns > 0 else 0.0
                before_recent[k] += vectors[at, k] if owns >= RECENT_MESSAGES else 0.0
            owns += 1
        out[0] = owns
        out[1] = companies
        if owns == 0:
            continue
        out[2] = sums[0] / owns
        for k in range(1, len(sums)):
            out[3 + k] = sums[k] / owns
        recent, said = pools[row, dimension : 2 * dimension], pools[row, 2 * dimension :]
        out[8] = cosine(vectors[np.searchsorted(texts, text[own[row, 0]])], before_last)
        out[9] = cosine(pools[row, :dimension], said)
        out[10] = cosine(recent, said) - cosine(before_recent, said)
