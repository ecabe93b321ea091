"""What the phrases of the messages alone say: a linear model from weighed phrases to log-odds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from features.event_log import Floats
from features.phrases import VIEWS, PhraseRows, ViewedPhrases, tally


@dataclass(frozen=True)
class PhraseHead:
    """Weights of shape (outputs, views * phrases); `intercepts` and `silent` of shape (outputs,).

    `silent` is the answer for a row whose messages hold none of the phrases: the usual log-odds of such rows.
    """

    weights: Floats
    intercepts: Floats
    silent: Floats

    def log_odds(self, rows: PhraseRows) -> Floats:
        """One column an output. Shape (rows, outputs)."""
        outputs = np.empty((len(rows), len(self.intercepts)))
        _linear(rows.offsets, rows.column, rows.value, self.weights, self.intercepts, self.silent, outputs)
        return outputs


def phrase_effects(head: PhraseHead, output: int, rows: PhraseRows, viewed: ViewedPhrases) -> tuple[Floats, Floats]:
    """What each message adds to one output's log-odds, aligned with `Messages.own` and `Messages.company`.

    `rows` are the phrases of `viewed`, weighed. A phrase's part is shared by the messages of the view that hold it, by
    how often they do. A row's effects and the head's intercept (in a row without phrases, its `silent`) sum to the
    log-odds.
    """
    effects = np.zeros(viewed.slots.shape)
    n_phrases = head.weights.shape[1] // len(VIEWS)
    weights = head.weights[output]
    _split(
        viewed.slots, viewed.offsets, viewed.codes, n_phrases, rows.offsets, rows.column, rows.value, weights, effects
    )
    *own, company = effects
    return np.sum(own, axis=0), company


@njit(cache=True, nogil=True)
def _split(slots, offsets, codes, n_phrases, starts, column, value, weights, effects):  # type: ignore[no-untyped-def]
    counts, seen, share = np.zeros(n_phrases, np.int64), np.empty(n_phrases, np.int32), np.empty(n_phrases)
    for row in range(slots.shape[1]):
        at = starts[row]
        for view in range(slots.shape[0]):
            different = tally(slots[view, row], offsets, codes, counts, seen)
            for entry in range(at, at + different):
                code = column[entry] - view * n_phrases
                share[code] = weights[column[entry]] * value[entry] / counts[code]
            for rank, slot in enumerate(slots[view, row]):
                if slot >= 0:
                    for said in range(offsets[slot], offsets[slot + 1]):
                        effects[view, row, rank] += share[codes[said]]
            counts[seen[:different]] = 0
            at += different


@njit(cache=True, nogil=True)
def _linear(offsets, column, value, weights, intercepts, silent, outputs):  # type: ignore[no-untyped-def]
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        for output in range(len(intercepts)):
            total = intercepts[output] if stop > start else silent[output]
            for at in range(start, stop):
                total += weights[output, column[at]] * value[at]
            outputs[row, output] = total
