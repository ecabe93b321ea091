"""The artefact: a folder that describes itself, holds no pickle, and is hash-checked before anything is parsed.

Layout: `model.json` (journey, vocabulary, scalars, provenance), `arrays.safetensors`, `trees/*.txt` (LightGBM),
`embedder/` (where text is read), and `manifest.json` with the SHA-256 of every other file.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from features.errors import BadEnvironment, BadUsage
from features.journey import Journey
from features.market import Market
from features.phrases import Phrases
from features.vocabulary import Kind, Vocabulary
from models.bundle_files import (
    FORMAT,
    MANIFEST,
    bundle_file_names,
    bundle_version,
    manifest_bytes,
    read_bundle_files,
    sha256,
)
from models.calibration import Blend
from models.conversion import ConversionModel, Hazard
from models.intervals import VennAbers
from models.journey_model import JourneyModel, Reader
from models.learnt_customers import LearntCustomers
from models.linear_head import LinearHead
from models.phrase_head import PhraseHead
from models.rank_line import RankLine
from models.reliability import UsualRange
from models.stage import StageModel
from models.stage_examples import StageByExamples
from models.trees import Trees

EMBEDDER = "embedder"
STAGE = ("classes", "shares", "start", "blend", "decision", "thresholds")
STAGE_BY_EXAMPLES = ("classes", "columns")
MARKET = tuple(field.name for field in fields(Market))

Head = TypeVar("Head", LinearHead, PhraseHead)
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle. `version` names its content: equal versions give equal scores.

    `embedder_files` are the bytes of `embedder_folder` as they were when their hashes were checked.
    """

    model: JourneyModel
    version: str
    embedder_folder: Path | None
    embedder_files: Mapping[str, bytes]


def save_bundle(model: JourneyModel, embedder_folder: Path | None, out: Path) -> str:
    """Write the bundle to `out`, whole or not at all, and return its version.

    An older bundle at `out` is replaced. Raises BadUsage where something else is there, BadEnvironment where the folder
    cannot be written.
    """
    check_out(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise BadEnvironment("out_unwritable", f"{out} cannot be written: {error.strerror}") from None
    try:
        _write(model, embedder_folder, draft)
        version = _write_manifest(draft)
        _replace(draft, out)
    except OSError as error:
        raise BadEnvironment("out_unwritable", f"{out} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return version


def check_out(out: Path) -> None:
    """Raise BadUsage where a bundle must not be written, because something else is there, or among an older one."""
    if not out.exists():
        return
    try:
        known = {*json.loads((out / MANIFEST).read_bytes())["sha256"], MANIFEST}
        strange = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()} - known
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        strange = {"something"}
    if strange:
        raise BadUsage(
            "out_exists",
            f"{out} exists and is not a bundle, or holds other files beside one; give another --out or remove it",
        )


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle back. Raises BadUsage where there is none, BadEnvironment where a file differs from its hash."""
    version, files = read_bundle_files(folder)
    state = json.loads(files["model.json"])
    arrays = safetensors.numpy.load(files["arrays.safetensors"])
    trees = {name: files[name].decode() for name in files if name.startswith("trees/")}
    inside = f"{EMBEDDER}/"
    return Bundle(
        model=_read_model(state, arrays, trees),
        version=version,
        embedder_folder=folder / EMBEDDER if state["reads_text"] else None,
        embedder_files={name.removeprefix(inside): files[name] for name in files if name.startswith(inside)},
    )


def _write(model: JourneyModel, embedder_folder: Path | None, draft: Path) -> None:
    (draft / "trees").mkdir()
    state, arrays, trees = _state_of(model)
    (draft / "model.json").write_text(json.dumps(state, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    (draft / "arrays.safetensors").write_bytes(safetensors.numpy.save(dict(sorted(arrays.items()))))
    for name, text in trees.items():
        (draft / name).write_text(text, "utf-8")
    if embedder_folder is not None:
        shutil.copytree(embedder_folder, draft / EMBEDDER)


def _write_manifest(draft: Path) -> str:
    hashes = {name: sha256((draft / name).read_bytes()) for name in bundle_file_names(draft)}
    version = bundle_version(hashes)
    manifest = {"format": FORMAT, "version": version, "sha256": hashes}
    (draft / MANIFEST).write_bytes(manifest_bytes(manifest))
    return version


def _replace(draft: Path, out: Path) -> None:
    draft.chmod(0o777 & ~_umask())  # mkdtemp made it private
    if not out.exists():
        draft.rename(out)
        return
    older = Path(tempfile.mkdtemp(prefix=f".{out.name}-older-", dir=out.parent))
    try:
        out.rename(older / out.name)
        try:
            draft.rename(out)
        except BaseException:  # a signal, too, ends the program by an exception
            (older / out.name).rename(out)
            raise
    finally:
        if out.exists():  # else what is there is the only copy
            shutil.rmtree(older, ignore_errors=True)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _state_of(model: JourneyModel) -> tuple[dict[str, Any], Arrays, dict[str, str]]:
    state: dict[str, Any] = {
        "journey": model.reader.journey.to_dict(),
        "vocabulary": {
            "kinds": [asdict(kind) for kind in model.reader.vocabulary.kinds],
            "known_channels": sorted(model.reader.vocabulary.known_channels),
            "known_actions": sorted(model.reader.vocabulary.known_actions),
            "transitions": model.reader.vocabulary.transitions,
            "stages_recorded": model.reader.vocabulary.stages_recorded,
        },
        "reads_text": model.reader.reads_text,
        "phrases": None if model.reader.phrases is None else model.reader.phrases.names,
        "stage_by_rule": model.reader.stage_by_rule,
        "stage_by_record": model.reader.stage_by_record,
        "most_outside": model.usual.most_outside,
        "about": model.about,
        "stage": None,
        "conversion": None,
    }
    arrays: Arrays = {f"market.{name}": getattr(model.reader.market, name) for name in MARKET}
    if model.reader.phrases is not None:
        arrays["phrases.inverse_frequency"] = model.reader.phrases.inverse_frequency
    arrays |= {f"usual.{name}": getattr(model.usual, name) for name in ("columns", "low", "high")}
    if model.learnt is not None:
        arrays["learnt.bits"] = model.learnt.bits
    trees: dict[str, str] = {}
    if isinstance(model.stage, StageByExamples):
        state["stage"] = {"by_examples": True}
        arrays |= {f"stage.{name}": getattr(model.stage, name) for name in STAGE_BY_EXAMPLES}
    elif model.stage is not None:
        state["stage"] = {}
        arrays |= {f"stage.{name}": getattr(model.stage, name) for name in STAGE}
        _add_heads(arrays, "stage", model.stage)
        _add_line(arrays, "stage-line", model.stage.line)
        if model.stage.trees is not None:
            _add_trees(arrays, trees, "stage", model.stage.trees)
    if model.conversion is not None:
        state["conversion"] = {
            "horizons_days": model.conversion.horizons_days,
            "hazards": [
                {"words": asdict(hazard.words), "blend": asdict(hazard.blend)} for hazard in model.conversion.hazards
            ],
        }
        arrays |= {f"conversion.{name}": getattr(model.conversion, name) for name in ("base_log_odds", "reference")}
        _add_heads(arrays, "conversion", model.conversion)
        for i, (hazard, interval) in enumerate(zip(model.conversion.hazards, model.conversion.intervals, strict=True)):
            _add_trees(arrays, trees, f"conversion-{i}", hazard.trees)
            _add_line(arrays, f"line-{i}", hazard.line)
            arrays |= {f"interval-{i}.{name}": getattr(interval, name) for name in ("score", "low", "high")}
    return state, {name: np.ascontiguousarray(array) for name, array in arrays.items()}, trees


def _add_heads(arrays: Arrays, owner: str, model: StageModel | ConversionModel) -> None:
    _add_head(arrays, f"{owner}.text", model.text_head)
    _add_head(arrays, f"{owner}.phrases", model.phrase_head)


def _add_head(arrays: Arrays, owner: str, head: LinearHead | PhraseHead | None) -> None:
    if head is not None:
        arrays |= {f"{owner}.head.{field.name}": getattr(head, field.name) for field in fields(head)}


def _add_line(arrays: Arrays, owner: str, line: RankLine | None) -> None:
    if line is not None:
        arrays |= {f"{owner}.columns": line.columns, f"{owner}.grid": line.grid}
        _add_head(arrays, owner, line.head)


def _add_trees(arrays: Arrays, trees: dict[str, str], name: str, fitted: Trees) -> None:
    trees[f"trees/{name}.txt"] = fitted.text
    arrays[f"trees.{name}.columns"] = fitted.columns


def _read_model(state: dict[str, Any], arrays: Arrays, trees: dict[str, str]) -> JourneyModel:
    journey = Journey.from_dict(state["journey"])
    vocabulary = state["vocabulary"]
    reader = Reader(
        journey=journey,
        vocabulary=Vocabulary(
            kinds=tuple(Kind(**kind) for kind in vocabulary["kinds"]),
            known_channels=frozenset(vocabulary["known_channels"]),
            known_actions=frozenset(vocabulary["known_actions"]),
            transitions=tuple((before, after) for before, after in vocabulary["transitions"]),
            stages=journey.stages,
            stages_recorded=vocabulary["stages_recorded"],
            spans=journey.features,
        ),
        reads_text=state["reads_text"],
        stage_by_rule=state["stage_by_rule"],
        market=Market(**{name: arrays[f"market.{name}"] for name in MARKET}),
        stage_by_record=state["stage_by_record"],
        phrases=_read_phrases(state["phrases"], arrays),
    )
    return JourneyModel(
        reader=reader,
        stage=_read_stage(state["stage"], len(journey.stages), arrays, trees),
        conversion=_read_conversion(state["conversion"], arrays, trees),
        usual=UsualRange(arrays["usual.columns"], arrays["usual.low"], arrays["usual.high"], state["most_outside"]),
        about=state["about"],
        learnt=LearntCustomers(arrays["learnt.bits"]) if "learnt.bits" in arrays else None,
    )


def _read_phrases(names: list[str] | None, arrays: Arrays) -> Phrases | None:
    return None if names is None else Phrases(tuple(names), arrays["phrases.inverse_frequency"])


def _read_stage(
    state: dict[str, Any] | None, n_stages: int, arrays: Arrays, trees: dict[str, str]
) -> StageModel | StageByExamples | None:
    if state is None:
        return None
    if state.get("by_examples"):
        return StageByExamples(n_stages, *(arrays[f"stage.{name}"] for name in STAGE_BY_EXAMPLES))
    fitted = _read_trees("stage", arrays, trees) if "trees/stage.txt" in trees else None
    return StageModel(
        n_stages=n_stages,
        trees=fitted,
        line=_read_line("stage-line", arrays),
        **{name: arrays[f"stage.{name}"] for name in STAGE},
        text_head=_read_head("stage.text", arrays, LinearHead),
        phrase_head=_read_head("stage.phrases", arrays, PhraseHead),
    )


def _read_conversion(state: dict[str, Any] | None, arrays: Arrays, trees: dict[str, str]) -> ConversionModel | None:
    if state is None:
        return None
    hazards = [
        Hazard(
            words=_read_blend(hazard["words"]),
            trees=_read_trees(f"conversion-{i}", arrays, trees),
            line=_read_line(f"line-{i}", arrays),
            blend=_read_blend(hazard["blend"]),
        )
        for i, hazard in enumerate(state["hazards"])
    ]
    intervals = [
        VennAbers(*(arrays[f"interval-{i}.{name}"] for name in ("score", "low", "high"))) for i in range(len(hazards))
    ]
    return ConversionModel(
        horizons_days=tuple(state["horizons_days"]),
        hazards=tuple(hazards),
        intervals=tuple(intervals),
        base_log_odds=arrays["conversion.base_log_odds"],
        reference=arrays["conversion.reference"],
        text_head=_read_head("conversion.text", arrays, LinearHead),
        phrase_head=_read_head("conversion.phrases", arrays, PhraseHead),
    )


def _read_blend(state: dict[str, Any]) -> Blend:
    return Blend(tuple(state["weights"]), state["intercept"])


def _read_line(owner: str, arrays: Arrays) -> RankLine | None:
    head = _read_head(owner, arrays, LinearHead)
    return None if head is None else RankLine(arrays[f"{owner}.columns"], arrays[f"{owner}.grid"], head)


def _read_head(owner: str, arrays: Arrays, kind: type[Head]) -> Head | None:
    if f"{owner}.head.weights" not in arrays:
        return None
    return kind(*(arrays[f"{owner}.head.{field.name}"] for field in fields(kind)))


def _read_trees(name: str, arrays: Arrays, trees: dict[str, str]) -> Trees:
    return Trees(trees[f"trees/{name}.txt"], arrays[f"trees.{name}.columns"])
