"""Anchors: likeness to examples and to a tone, on vectors of two numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from features.aggregate import Float32s
from features.anchors import Anchors, anchor_catalog, anchor_features, embed_anchors, likeness
from features.embedder import Embedder
from training.embedder_export import exported_embedder

ANCHORS = Anchors(
    tone=np.array([[1, 0], [0, 1]], dtype=np.float32),
    stages=np.array([[3, 4], [-1, 0]], dtype=np.float32),
    stage_names=("curious", "buyer"),
)


def rows(*vectors: tuple[float, float]) -> Float32s:
    return np.array(vectors, dtype=np.float32)


def test_likeness_is_the_cosine_and_empty_for_nothing() -> None:
    found = likeness(rows((2, 0), (0, -1), (0, 0)), ANCHORS.stages)
    np.testing.assert_allclose(found, [[0.6, -1], [-0.8, 0], [np.nan, np.nan]])


def test_the_columns_are_those_of_the_catalog() -> None:
    found = anchor_features(rows((1, 0)), rows((1, 1)), rows((0, 5)), ANCHORS)
    named = dict(zip((feature.name for feature in anchor_catalog(ANCHORS.stage_names)), found[0].tolist(), strict=True))

    assert named == pytest.approx(
        {
            "tone of own messages": 1,
            "tone of the last own message": -1,
            "change of tone": -1,  # (1, 1) is as near to one as to the other
            "own messages like the examples of curious": 0.6,
            "last own message like the examples of curious": 0.8,
            "own messages like the examples of buyer": -1,
            "last own message like the examples of buyer": 0,
        },
        abs=1e-6,
    )


@pytest.mark.parametrize("count", [0, 2])
def test_without_examples_there_is_a_tone_and_no_more(count: int) -> None:
    none = Anchors(ANCHORS.tone, ANCHORS.stages[:0], ())
    own = np.ones((count, 2), dtype=np.float32)
    assert anchor_features(own, own, own, none).shape == (count, 3) == (count, len(anchor_catalog(())))


def test_an_anchor_is_the_mean_of_its_sentences() -> None:
    def embed(texts: Sequence[str]) -> Float32s:
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    anchors = embed_anchors({"curious": ["abc", "abcde"], "buyer": ["x"]}, embed)
    assert anchors.stage_names == ("curious", "buyer")
    assert anchors.stages.tolist() == [[4, 1], [1, 1]]
    assert anchors.tone[:, 0].tolist() == pytest.approx([39.8, 40.4])


def test_the_tone_tells_praise_from_complaint() -> None:
    embed = Embedder(exported_embedder("minilm")).embed
    praise = ["The new shoes fit perfectly, great quality.", "Wow, so quick. Lovely people!", "Merci, c'était parfait."]
    complaint = [
        "The heel broke after a day, awful.",
        "Still waiting, and nobody picks up the phone.",
        "Worst shop ever.",
    ]
    vectors = embed([*praise, *complaint])
    tone = anchor_features(vectors, vectors, vectors, embed_anchors({}, embed))[:, 0]
    assert tone[:3].min() > tone[3:].max()


def test_examples_tell_the_stage_without_any_label() -> None:
    embed = Embedder(exported_embedder("minilm")).embed
    examples = {
        "looking": ["How much is it?", "Is there a cheaper plan?"],
        "owning": ["How do I return my order?", "It arrived broken."],
    }
    said = embed(["What does the yearly subscription cost?", "My parcel came damaged, can I send it back?"])
    assert likeness(said, embed_anchors(examples, embed).stages).argmax(axis=1).tolist() == [0, 1]
