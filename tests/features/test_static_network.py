"""A static embedder's vectors: the direction of a sum of token vectors, on three words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from features.static_network import STATIC_FILE, VECTORS, StaticNetwork


@pytest.fixture
def network(tmp_path: Path) -> StaticNetwork:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "good": 1, "price": 2, "bad": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    save_file({VECTORS: np.array([[0, 0], [3, 0], [0, 4], [-3, 0]], dtype=np.float16)}, tmp_path / STATIC_FILE)
    return StaticNetwork((tmp_path / STATIC_FILE).read_bytes(), (tmp_path / "tokenizer.json").read_bytes())


@pytest.mark.parametrize(
    ("text", "vector"),
    [
        ("price", (0, 1)),
        ("good price", (0.6, 0.8)),
        ("price unheard good", (0.6, 0.8)),
        ("good bad", (0, 0)),
        ("unheard", (0, 0)),
        ("", (0, 0)),
        ("price price price good", (0, 1)),
    ],
)
def test_a_text_is_the_direction_of_its_tokens_sum(
    network: StaticNetwork, text: str, vector: tuple[float, float]
) -> None:
    found = network.vector(text)
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx(vector)
