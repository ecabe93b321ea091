"""What the phrases of the messages alone say: a linear model from weighed phrases to log-odds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from features.event_log import Bools, Floats, Int64s
from features.phrases import (
    BY_COMPANY,
    N_VIEWS,
    OWN,
    PhraseRows,
    ViewedPhrases,
    messages_in_view,
    most_messages,
    tally,
)


@dataclass(frozen=True)
class PhraseHead:
    """Weights of shape (outputs, views * phrases); the others of shape (outputs,).

    `silent` is the answer for a row whose messages hold none of the phrases: the usual log-odds of such rows. An output
    reads each view of a row as it is, or `at_unit_length`: what was said, whatever its amount.
    """

    weights: Floats
    intercepts: Floats
    silent: Floats
    at_unit_length: Bools

    def log_odds(self, rows: PhraseRows) -> Floats:
        """One column an output. Shape (rows, outputs)."""
        outputs = np.empty((len(rows), len(self.intercepts)))
        _linear(
            rows.offsets, rows.column, rows.value, self.weights, self.intercepts, self.silent, self.at_unit_length,
            outputs,
        )  # fmt: skip
        return outputs


@dataclass(frozen=True, eq=False)
class PhraseEffects:
    """What each message adds: row `i` has the touchpoints `events[offsets[i]:offsets[i + 1]]` of the log."""

    offsets: Int64s
    events: Int64s
    effects: Floats


def phrase_effects(head: PhraseHead, output: int, rows: PhraseRows, viewed: ViewedPhrases) -> PhraseEffects:
    """What each message adds to one output's log-odds.

    `rows` are the phrases of `viewed`, weighed. A phrase's part is shared by the messages of the view that hold it, by
    how often they do. A row's effects and the head's intercept (in a row without phrases, its `silent`) sum to the
    log-odds.
    """
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    _count(viewed, offsets[1:])
    np.cumsum(offsets, out=offsets)
    events, effects = np.empty(offsets[-1], dtype=np.int64), np.zeros(offsets[-1])
    weights, is_unit = head.weights[output], bool(head.at_unit_length[output])
    _split(viewed, rows.offsets, rows.column, rows.value, weights, is_unit, offsets, events, effects)
    return PhraseEffects(offsets, events, effects)


@njit(cache=True, nogil=True)
def _count(viewed, messages):  # type: ignore[no-untyped-def]
    events = np.empty(most_messages(viewed), np.int64)
    for row in range(len(messages)):
        for view in (OWN, BY_COMPANY):
            messages[row] += messages_in_view(viewed, view, row, events)


@njit(cache=True, nogil=True)
def _split(viewed, starts, column, value, weights, is_unit, offsets, said, effects):  # type: ignore[no-untyped-def]
    n_phrases = len(weights) // N_VIEWS
    counts, seen, share = np.zeros(n_phrases, np.int64), np.empty(n_phrases, np.int32), np.empty(n_phrases)
    events = np.empty(most_messages(viewed), np.int64)
    for row in range(len(starts) - 1):
        at, first = starts[row], offsets[row]
        for view in range(N_VIEWS):
            messages = messages_in_view(viewed, view, row, events)
            if view == BY_COMPANY:
                first = offsets[row + 1] - messages
            if view in (OWN, BY_COMPANY):
                said[first : first + messages] = events[:messages]
            different = tally(viewed, events[:messages], counts, seen)
            scale = 1 / _length(value[at : at + different]) if is_unit and different else 1.0
            for entry in range(at, at + different):
                code = column[entry] - view * n_phrases
                share[code] = weights[column[entry]] * value[entry] * scale / counts[code]
            for rank in range(messages):  # the last own messages and those lately are the first of the own
                text = viewed.text[events[rank]]
                for phrase in range(viewed.cuts[text], viewed.cuts[text + 1]):
                    effects[first + rank] += share[viewed.codes[phrase]]
            counts[seen[:different]] = 0
            at += different


@njit(cache=True, nogil=True)
def _linear(offsets, column, value, weights, intercepts, silent, at_unit_length, outputs):  # type: ignore[no-untyped-def]
    n_phrases = weights.shape[1] // N_VIEWS
    ends = np.empty(N_VIEWS, np.int64)  # of each view's entries
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        at = start
        for view in range(N_VIEWS):
            while at < stop and column[at] < (view + 1) * n_phrases:
                at += 1
            ends[view] = at
        for output in range(len(intercepts)):
            total = intercepts[output] if stop > start else silent[output]
            begin = start
            for end in ends:
                part = 0.0
                for at in range(begin, end):
                    part += weights[output, column[at]] * value[at]
                total += part / _length(value[begin:end]) if at_unit_length[output] and end > begin else part
                begin = end
            outputs[row, output] = total


@njit(cache=True, nogil=True)
def _length(values):  # type: ignore[no-untyped-def]
    squares = 0.0
    for value in values:
        squares += np.float64(value) ** 2
    return np.sqrt(squares)
