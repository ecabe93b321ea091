"""A static embedder distilled from a sentence-transformers model: what the model says of each token alone.

Method: model2vec (Tulkens and van Dongen, "Model2Vec: Fast State-of-the-Art Static Embeddings", 2024). The model's
outputs for the tokens of its vocabulary are reduced by principal components and weighted down where a token is
frequent (Arora, Liang and Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", 2017), frequencies being
guessed from the vocabulary's order by Zipf's law. It takes no text.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt

DIMENSION: Final = 256
SIF_COEFFICIENT: Final = 1e-4  # as model2vec has it
_NO_WORD = re.compile(r"\[[^\]]+\]")  # [CLS], [UNK], [unused12] ...: never part of what a text says

Matrix = npt.NDArray[np.float32]


def distil(outputs: Matrix, tokens: list[str]) -> npt.NDArray[np.float16]:
    """float16[tokens, 256] vectors, weights in them, from the model's outputs float32[tokens, n].

    `tokens` is the vocabulary in order, frequent ones first. Marks such as [CLS] become zero vectors.
    """
    words = np.flatnonzero([not _NO_WORD.fullmatch(token) for token in tokens])
    vectors = np.zeros((len(tokens), min(DIMENSION, outputs.shape[1])), np.float32)
    vectors[words] = principal_components(outputs[words], DIMENSION) * token_weights(len(words))[:, None]
    return vectors.astype(np.float16)


def principal_components(outputs: Matrix, dimension: int) -> Matrix:
    """float32[n, dimension at most]: centred and turned to the axes of most variance."""
    centred = outputs - outputs.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    chosen = axes[:, ::-1][:, :dimension]
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])])  # else of either sign
    components: Matrix = (centred @ chosen).astype(np.float32)
    return components


def token_weights(words: int) -> npt.NDArray[np.float64]:
    """float64[words]: a / (a + p), where word k of the vocabulary has the probability p by Zipf's law."""
    frequency = 1 / np.arange(2, words + 2)
    weights: npt.NDArray[np.float64] = SIF_COEFFICIENT / (SIF_COEFFICIENT + frequency / frequency.sum())
    return weights
