"""A static embedder: each token has one vector, and a text is the direction of their sum. No model runs."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load
from tokenizers import Tokenizer

STATIC_FILE: Final = "token_vectors.safetensors"
VECTORS: Final = "vectors"  # float16[tokens, dimension], the weight of each token in it


class StaticNetwork:
    """Tokenizer and token vectors. Raises what its two libraries raise where a file cannot be read."""

    def __init__(self, token_vectors: bytes, tokenizer: bytes) -> None:
        self._tokenizer = Tokenizer.from_buffer(tokenizer)
        self._vectors = load(token_vectors)[VECTORS].astype(np.float32)

    def vector(self, text: str) -> npt.NDArray[np.float32]:
        """float32[dimension] of one normalised text; zeros where it holds no known token."""
        tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        total: npt.NDArray[np.float32] = self._vectors[tokens].sum(axis=0)
        length = np.linalg.norm(total)
        return total / length if length > 0 else total
