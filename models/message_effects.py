"""What each message adds to what a linear head on the pooled messages says, exactly."""

from __future__ import annotations

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.conversations import MOST_MESSAGES, POOLS, Messages, pool_weights
from features.event_log import EventLog, Floats
from features.rows import TextVectors
from models.linear_head import LinearHead


def message_effects(
    head: LinearHead, output: int, pools: Float32s, log: EventLog, messages: Messages, said: TextVectors
) -> tuple[Floats, Floats]:
    """What each message adds to one output's log-odds, aligned with `messages.own` and `messages.company`.

    `pools` are those of the rows, made of `said`. A row's effects and the head's intercept (in a row without pools, its
    `silent`) sum to the log-odds. In each pool the newest message bears what rounding the pool to single precision did.
    """
    dimension = said.vectors.shape[1]
    own, company = np.zeros((len(pools), MOST_MESSAGES)), np.zeros((len(pools), MOST_MESSAGES))
    sides = ((messages.own, own), (messages.own, own), (messages.company, company))
    weights = np.split(head.weights[output], len(POOLS))
    for pool, ((events, effects), counts) in enumerate(zip(sides, pool_weights(), strict=True)):
        pooled = pools[:, pool * dimension : (pool + 1) * dimension]
        _split(events, log.text, said.texts, said.vectors, counts, weights[pool], pooled, effects)
    return own, company


@njit(cache=True, nogil=True)
def _split(events, text, texts, vectors, counts, weights, pooled, effects):  # type: ignore[no-untyped-def]
    for row in range(len(events)):
        total, rest, newest = 0.0, 0.0, -1
        for rank in range(events.shape[1]):
            if events[row, rank] >= 0:
                total += counts[rank]
        for k in range(len(weights)):
            rest += weights[k] * pooled[row, k]
        for rank in range(events.shape[1]):
            if events[row, rank] < 0 or counts[rank] == 0.0:
                continue
            vector, effect = vectors[np.searchsorted(texts, text[events[row, rank]])], 0.0
            for k in range(len(weights)):
                effect += weights[k] * vector[k]
            effects[row, rank] += effect * counts[rank] / total
            rest -= effect * counts[rank] / total
            newest = rank if newest < 0 else newest
        if newest >= 0:
            effects[row, newest] += rest
