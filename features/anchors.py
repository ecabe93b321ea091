"""Sentences that stand for something: a stage's examples, and a tone. What people say is measured against them.

They need no label: where the journey file gives examples, text says something of the stage before anything is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.catalog import Feature
from features.event_log import Floats

TONE_FEATURES: Final = (
    Feature("tone of own messages", "cosine", "Likeness of the own messages to satisfied - to dissatisfied sentences."),
    Feature("tone of the last own message", "cosine", "The same of the last own message alone."),
    Feature("change of tone", "cosine", "Tone of the last 3 own messages - tone of the own messages."),
)
# General on purpose: no trade, no product, and one sentence in each pair says the opposite of the other.
SATISFIED: Final = (
    "Thank you so much, that was a great help!",
    "I am very happy with it, everything works.",
    "Excellent service, friendly and fast.",
    "I love it and would recommend it to everybody.",
    "Good news, the problem is solved.",
)
DISSATISFIED: Final = (
    "Nobody helps me, this is a waste of time!",
    "I am very disappointed with it, nothing works.",
    "Terrible service, rude and slow.",
    "I hate it and would warn everybody against it.",
    "Bad news, the problem is still there.",
)


@dataclass(frozen=True, eq=False)
class Anchors:
    """Mean vectors of groups of sentences: `tone` (2, dimension), satisfied and dissatisfied, and `stages`, one row for
    each of `stage_names`: the stages with examples, in frame order."""

    tone: Float32s
    stages: Float32s
    stage_names: tuple[str, ...]


def embed_anchors(examples: Mapping[str, Sequence[str]], embed: Callable[[Sequence[str]], Float32s]) -> Anchors:
    """Embed the tone's sentences and each stage's examples."""
    tone = np.stack([embed(sentences).mean(axis=0) for sentences in (SATISFIED, DISSATISFIED)])
    stages = [embed(sentences).mean(axis=0) for sentences in examples.values()]
    return Anchors(tone, np.stack(stages) if stages else tone[:0], tuple(examples))


def anchor_catalog(stage_names: Sequence[str]) -> list[Feature]:
    """The columns of `anchor_features`, in order."""
    of_stages = [
        feature
        for stage in stage_names
        for feature in (
            Feature(
                f"own messages like the examples of {stage}",
                "cosine",
                f"Likeness of the own messages to the journey file's examples of {stage}.",
            ),
            Feature(
                f"last own message like the examples of {stage}",
                "cosine",
                f"Likeness of the last own message to the journey file's examples of {stage}.",
            ),
        )
    ]
    return [*TONE_FEATURES, *of_stages]


def anchor_features(own: Float32s, recent: Float32s, last: Float32s, anchors: Anchors) -> Float32s:
    """The columns of `anchor_catalog`, from each row's own pool, last three and last own message, each (rows,
    dimension); empty where nothing was said. Shape (rows, 3 + 2 * stages)."""
    tone, tone_recent, tone_last = (_tone(vectors, anchors) for vectors in (own, recent, last))
    of_stages = np.stack([likeness(own, anchors.stages), likeness(last, anchors.stages)], axis=2)
    columns = [
        tone[:, None],
        tone_last[:, None],
        (tone_recent - tone)[:, None],
        of_stages.reshape(len(own), 2 * len(anchors.stages)),
    ]
    return np.hstack(columns).astype(np.float32)


def likeness(vectors: Float32s, anchors: Float32s) -> Floats:
    """Cosine of each row with each anchor, NaN where either is zero. Shape (rows, anchors).

    With `Anchors.stages` this is what words alone say of the stage: a score by stage for rows without any label.
    """
    cosines = np.full((len(vectors), len(anchors)), np.nan)
    _cosines(vectors, anchors, cosines)
    return cosines


def _tone(vectors: Float32s, anchors: Anchors) -> Floats:
    likenesses = likeness(vectors, anchors.tone)
    return likenesses[:, 0] - likenesses[:, 1]


@njit(cache=True, nogil=True)
def cosine(a, b):  # type: ignore[no-untyped-def]
    """In a fixed order, not BLAS: a row's likeness must not depend on its neighbours. NaN where one is zero."""
    dot, length_a, length_b = 0.0, 0.0, 0.0
    for k in range(len(a)):
        dot += a[k] * b[k]
        length_a += a[k] * a[k]
        length_b += b[k] * b[k]
    return dot / np.sqrt(length_a * length_b) if length_a > 0 and length_b > 0 else np.nan


@njit(cache=True, nogil=True)
def _cosines(vectors, anchors, cosines):  # type: ignore[no-untyped-def]
    for row in range(len(vectors)):
        for anchor in range(len(anchors)):
            cosines[row, anchor] = cosine(vectors[row], anchors[anchor])
