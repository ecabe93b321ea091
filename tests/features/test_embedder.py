"""Vectors that depend on the text and on nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import features.embedder
from features.embedder import Embedder, EmbedderCard, normalise_text, read_files
from features.errors import BadEnvironment
from features.vector_cache import VectorCache
from training.embedder_export import exported_embedder

PARCEL = "The parcel has not arrived."
TEXTS = [
    PARCEL,
    "My delivery is late.",
    "Thank you!",
    "👍",
    "Wie lange dauert die Lieferung?",
    "We compared five suppliers by price and delivery time. " * 40,
    "",
]


@pytest.fixture(scope="session")
def folder() -> Path:
    return exported_embedder("minilm")


@pytest.fixture(scope="session")
def embedder(folder: Path) -> Embedder:
    return Embedder(folder)


@pytest.fixture
def cached(folder: Path, tmp_path: Path) -> Iterator[Embedder]:
    embedder = Embedder.with_cache(folder, cache_path=tmp_path / "vectors.sqlite")
    yield embedder
    embedder.close()


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  two\t words\r\n ", "two words"),
        ("a\x00b\x07c\x85d\u2028e", "abc d e"),
        ("cafe\u0301", "caf\u00e9"),
        ("\ud83d\ude00 \ud83d", "😀 \ufffd"),
        ("👩\u200d💻 naïve 東京", "👩\u200d💻 naïve 東京"),
        (" \x00\n", ""),
        ("x" * 101, "x" * 100),
    ],
)
def test_a_text_has_one_normal_form(text: str, normal: str) -> None:
    assert normalise_text(text, 100) == normal


@given(st.text(st.characters(codec=None), max_size=60))
def test_the_normal_form_is_settled_and_can_be_encoded(text: str) -> None:
    normal = normalise_text(text, 1000)
    assert normalise_text(normal, 1000) == normal
    assert normal.encode().decode() == normal


def test_a_card_says_what_the_embedder_is(embedder: Embedder) -> None:
    assert (embedder.card.name, embedder.dimension, embedder.card.max_tokens) == ("all-MiniLM-L6-v2", 384, 256)
    assert embedder.card.cosine_mean >= 0.99
    assert len(bytes.fromhex(embedder.sha256)) == 32


def test_meaning_is_nearness_as_the_published_model_has_it(embedder: Embedder) -> None:
    vectors = embedder.embed([PARCEL, "My delivery is late.", "The cat sleeps on the sofa."])
    fp32 = [1.0, 0.442, -0.061]
    assert vectors @ vectors[0] == pytest.approx(fp32, abs=0.02)


def test_every_vector_has_length_one_and_no_text_is_zero(embedder: Embedder) -> None:
    vectors = embedder.embed([*TEXTS, " \x00\n"])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 1, 1, 1, 0, 0], abs=1e-6)


def test_no_texts_make_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, 384)


def test_a_vector_is_the_same_alone_in_company_and_in_any_order(embedder: Embedder) -> None:
    together = embedder.embed(TEXTS)
    alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
    backwards = embedder.embed(TEXTS[::-1] + TEXTS)[: len(TEXTS)][::-1]
    assert together.tobytes() == alone.tobytes() == backwards.tobytes()


def test_a_vector_is_the_same_with_two_threads(folder: Path, embedder: Embedder) -> None:
    assert Embedder(folder, threads=2).embed(TEXTS * 3).tobytes() == embedder.embed(TEXTS * 3).tobytes()


def test_a_vector_is_the_same_in_another_process_which_needs_no_torch(folder: Path, embedder: Embedder) -> None:
    program = (
        "import sys, json; from pathlib import Path; from features.embedder import Embedder;"
        "vectors = Embedder(Path(sys.argv[1])).embed(json.loads(sys.argv[2]));"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules);"
        "sys.stdout.buffer.write(vectors.tobytes())"
    )
    other = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(folder), json.dumps(TEXTS)], capture_output=True, check=True
    )
    assert other.stdout == embedder.embed(TEXTS).tobytes()


def test_spacing_and_control_characters_do_not_matter(embedder: Embedder) -> None:
    vectors = embedder.embed([PARCEL, f"\x00 {PARCEL.replace(' ', chr(9))}\n"])
    assert vectors[0].tobytes() == vectors[1].tobytes()


@pytest.mark.parametrize("text", ["\ud800", "\x00\x01 a", "🎉" * 5000, "़" * 5000, "word " * 200_000, "x" * 1_000_000])
def test_odd_texts_are_embedded_in_little_time(embedder: Embedder, text: str) -> None:
    embedder.load()
    start = time.process_time()
    vector = embedder.embed([text])[0]
    assert time.process_time() - start < 1
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_only_the_first_tokens_count(embedder: Embedder) -> None:
    vectors = embedder.embed(["word " * 254 + ending for ending in ("", "ignored", "left out")])
    assert vectors[0].tobytes() == vectors[1].tobytes() == vectors[2].tobytes()


def test_equal_texts_are_embedded_once(embedder: Embedder) -> None:
    seen: list[tuple[int, int]] = []
    embedder.embed([PARCEL, "Thanks", f" {PARCEL}", ""] * 3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 2)]


def test_the_cache_gives_the_same_vectors_without_the_model(cached: Embedder, tmp_path: Path) -> None:
    computed = cached.embed(TEXTS)
    without_model = Embedder(tmp_path / "nowhere", VectorCache(tmp_path / "vectors.sqlite", 384, cached.sha256))
    without_model.__dict__["card"] = cached.card
    assert without_model.embed(TEXTS).tobytes() == computed.tobytes()
    without_model.close()
    with pytest.raises(BadEnvironment):
        without_model.embed(["new"])


def test_without_vnni_the_vectors_are_the_same(
    folder: Path, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text("flags : sse2 avx2\n")
    for cpu_file in (tmp_path / "cpuinfo", tmp_path / "none"):
        monkeypatch.setattr(features.embedder, "CPU_FILE", cpu_file)
        assert not features.embedder.has_vnni()
        assert Embedder(folder).embed(TEXTS).tobytes() == embedder.embed(TEXTS).tobytes()
    (tmp_path / "cpuinfo").write_text("flags : sse2 avx512_vnni\n")
    monkeypatch.setattr(features.embedder, "CPU_FILE", tmp_path / "cpuinfo")
    assert features.embedder.has_vnni()


def test_what_was_computed_is_counted(cached: Embedder) -> None:
    cached.embed([PARCEL, "Thanks", PARCEL])
    assert cached.texts_computed == 2
    cached.embed([PARCEL, "Thanks", "new"])
    assert cached.texts_computed == 3


@pytest.fixture(scope="session")
def static() -> Embedder:
    return Embedder(exported_embedder("static"))


def test_a_static_embedder_is_one_like_any_other(static: Embedder, embedder: Embedder) -> None:
    vectors = static.embed([*TEXTS, " \x00\n"])
    assert (vectors.shape, vectors.dtype, static.card.name) == ((8, 256), np.float32, "static MiniLM")
    # An emoji is no token of the vocabulary, and nothing is left of it.
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1, 0, 1, 1, 0, 0], abs=1e-6)
    assert static.embed(TEXTS[::-1])[::-1].tobytes() == vectors[:-1].tobytes()
    assert static.sha256 != embedder.sha256


def test_a_static_embedder_knows_what_is_near(static: Embedder) -> None:
    near, far = static.embed(["My delivery is late.", "The cat sleeps on the sofa."]) @ static.embed([PARCEL])[0]
    assert near > 0.4 > 0.2 > far


def test_a_static_embedder_needs_neither_torch_nor_a_model_file(static: Embedder) -> None:
    assert sorted(path.name for path in static.folder.iterdir()) == [
        "embedder.json",
        "token_vectors.safetensors",
        "tokenizer.json",
    ]


def test_damaged_token_vectors_are_refused(static: Embedder, tmp_path: Path) -> None:
    copy = shutil.copytree(static.folder, tmp_path / "embedder")
    content = bytearray((copy / "token_vectors.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "token_vectors.safetensors").write_bytes(content)
    with pytest.raises(BadEnvironment, match=r"token_vectors\.safetensors has not the SHA-256"):
        Embedder(copy).load()


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json", "embedder.json"])
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "embedder")
    (copy / name).unlink()
    with pytest.raises(BadEnvironment, match=f"No such file or directory: {name}"):
        Embedder(copy).load()


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_damaged_file_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "embedder")
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(BadEnvironment, match=f"{name} has not the SHA-256 that embedder.json gives"):
        Embedder(copy).load()


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"format_version": 1}'])
def test_a_card_of_another_kind_is_refused(folder: Path, tmp_path: Path, card: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "embedder")
    (copy / "embedder.json").write_text(card)
    with pytest.raises(BadEnvironment, match=r"embedder\.json is not an embedder's card"):
        _ = Embedder(copy).dimension


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("format_version", 99, "its format is 99, this program reads 1"),
        ("sample", [1.0] + [0.0] * 383, "its vectors differ from those of the machine that exported it"),
        ("sample", [], "its vectors differ from those of the machine that exported it"),
    ],
)
def test_an_embedder_that_does_not_fit_this_program_or_machine_is_refused(
    folder: Path, tmp_path: Path, field: str, value: object, found: str
) -> None:
    copy = shutil.copytree(folder, tmp_path / "embedder")
    (copy / "embedder.json").write_text(json.dumps({**asdict(EmbedderCard.read(folder)), field: value}))
    with pytest.raises(BadEnvironment, match=found):
        Embedder(copy).load()


def test_a_model_that_is_none_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "embedder")
    (copy / "model.onnx").write_bytes(b"nothing")
    card = asdict(EmbedderCard.read(folder))
    card["files"]["model.onnx"] = hashlib.sha256(b"nothing").hexdigest()
    (copy / "embedder.json").write_text(json.dumps(card))
    with pytest.raises(BadEnvironment, match="its model or tokenizer cannot be read"):
        Embedder(copy).load()


def test_an_embedder_that_is_exchanged_while_in_use_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "embedder")
    embedder = Embedder(copy)
    assert embedder.dimension == 384
    (copy / "embedder.json").write_text(json.dumps({**asdict(embedder.card), "name": "other"}))
    with pytest.raises(BadEnvironment, match="it was exchanged while it was in use"):
        embedder.load()


def test_files_read_before_are_what_is_loaded_whatever_became_of_the_folder(embedder: Embedder, folder: Path) -> None:
    given = Embedder(Path("nowhere"), files=read_files(folder))
    assert given.embed([PARCEL]).tobytes() == embedder.embed([PARCEL]).tobytes()


def test_texts_computed_and_remembered_are_counted(cached: Embedder) -> None:
    cached.embed([PARCEL, PARCEL, "new"])
    cached.embed(["new", "newer"])
    assert (cached.texts_computed, cached.texts_remembered) == (3, 1)
