"""The bundle: what is written is what is read, and nothing that was tampered with is parsed."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from features.errors import BadEnvironment, BadUsage
from features.event_log import EventLog, Int64s
from features.journey import DEFAULT_JOURNEY, Spans
from features.market import Market
from features.phrases import learn_phrases
from features.rows import Embed
from models import bundle
from models.bundle import load_bundle, save_bundle
from models.bundle_files import check_target, manifest_bytes
from models.calibration import Blend
from models.conversion import ConversionModel
from models.journey_model import Asked, JourneyModel, Reader
from models.reasons import explain

FILES = [
    "arrays.safetensors",
    "embedder/config.json",
    "embedder/weights/config.json",
    "embedder/weights/model.onnx",
    "model.json",
    "trees/conversion-0.txt",
    "trees/conversion-1.txt",
    "trees/stage.txt",
]


@pytest.fixture(scope="module")
def embedder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedder")
    (folder / "weights").mkdir()
    for name in ("config.json", "weights/config.json"):
        (folder / name).write_text('{"dimension": 8}')
    (folder / "weights" / "model.onnx").write_bytes(bytes(range(256)))
    return folder


@pytest.fixture(scope="module")
def written(model: JourneyModel, embedder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written") / "bundle"
    save_bundle(model, embedder_folder, out)
    return out


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    """A bundle of one's own to tamper with."""
    return Path(shutil.copytree(written, tmp_path / "bundle"))


def bits(model: JourneyModel, asked: Asked) -> list[Any]:
    forecast = model.forecast(asked)
    answers = [getattr(forecast, field.name) for field in fields(forecast)]
    return [answer.tobytes() if isinstance(answer, np.ndarray) else answer for answer in answers]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refusal(folder: Path) -> BadEnvironment:
    with pytest.raises(BadEnvironment) as refused:
        load_bundle(folder)
    assert refused.value.code == "bundle_corrupt"
    return refused.value


def wordless(conversion: ConversionModel) -> ConversionModel:
    hazards = tuple(replace(hazard, words=Blend((), 0.1)) for hazard in conversion.hazards)
    return replace(conversion, hazards=hazards, text_head=None, phrase_head=None)


def assert_same(read: Reader, written: Reader) -> None:
    assert replace(read, market=written.market, phrases=written.phrases) == written
    for name in (field.name for field in fields(Market)):
        assert getattr(read.market, name).tolist() == getattr(written.market, name).tolist()
    assert read.phrases.names == written.phrases.names
    assert read.phrases.inverse_frequency.tolist() == written.phrases.inverse_frequency.tolist()


def test_a_bundle_is_these_files(written: Path) -> None:
    assert sorted(contents(written)) == sorted([*FILES, "manifest.json"])


def test_who_may_read_a_folder_may_read_the_bundle(written: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    assert written.stat().st_mode == (tmp_path / "folder").stat().st_mode


def test_how_recorded_stages_are_read_and_the_chosen_windows_are_kept(model: JourneyModel, tmp_path: Path) -> None:
    spans = Spans(windows_days=(14,), half_lives_days=(5, 50), session_gap_minutes=60)
    vocabulary = replace(
        model.reader.vocabulary, stages_recorded=True, spans=spans, transitions=(("viewed_pricing", "asked"),)
    )
    reader = replace(
        model.reader,
        journey=DEFAULT_JOURNEY.model_copy(update={"features": spans}),
        vocabulary=vocabulary,
        stage_by_rule=False,
        stage_by_record=True,
    )
    save_bundle(replace(model, reader=reader), None, tmp_path / "bundle")

    assert_same(load_bundle(tmp_path / "bundle").model.reader, reader)


def test_the_phrases_are_weighed_as_in_training(
    model: JourneyModel, log: EventLog, rows: tuple[Int64s, Int64s], embed: Embed, tmp_path: Path
) -> None:
    phrases = learn_phrases(log, np.ones(len(log), dtype=np.bool_))
    trained = replace(model.reader, phrases=phrases)
    save_bundle(replace(model, reader=trained), None, tmp_path / "bundle")
    served = load_bundle(tmp_path / "bundle").model.reader
    known, answered = (reader.read(log, *rows, embed).conversion.phrases for reader in (trained, served))

    assert len(phrases.names) > 10
    assert served.phrases.names == phrases.names
    assert len(known.value) > 100
    for name in ("offsets", "column", "value"):
        assert getattr(answered, name).tobytes() == getattr(known, name).tobytes()


def test_what_is_read_is_what_was_written(
    written: Path, model: JourneyModel, asked: Asked, log: EventLog, embed: Embed
) -> None:
    loaded = load_bundle(written)

    assert bits(loaded.model, asked) == bits(model, asked)
    assert explain(loaded.model, asked, log, embed) == explain(model, asked, log, embed)
    assert_same(loaded.model.reader, model.reader)
    assert loaded.model.about == model.about
    assert loaded.embedder_folder == written / "embedder"
    assert sorted(loaded.embedder_files) == ["config.json", "weights/config.json", "weights/model.onnx"]
    assert loaded.embedder_files["weights/model.onnx"] == bytes(range(256))


def test_rows_are_read_as_they_were(written: Path, asked: Asked, log: EventLog, rows: Any, embed: Embed) -> None:
    again = load_bundle(written).model.reader.read(log, *rows, embed)

    assert again.conversion.features.tobytes() == asked.conversion.features.tobytes()
    assert again.stage.features.tobytes() == asked.stage.features.tobytes()


@pytest.mark.parametrize(
    "reduce",
    [
        lambda model: replace(model, stage=None),
        lambda model: replace(model, conversion=None),
        lambda model: replace(model, stage=replace(model.stage, text_head=None, start=np.ones(1))),
        lambda model: replace(model, conversion=wordless(model.conversion)),
        lambda model: replace(model, conversion=replace(model.conversion, horizons_days=(30, None))),
        lambda model: replace(
            model,
            stage=replace(
                model.stage,
                trees=None,
                classes=np.array([2]),
                shares=np.ones(1),
                decision=np.ones(1),
                thresholds=np.zeros(1),
            ),
        ),
    ],
    ids=["no stage", "no conversion", "no words on stages", "no words on conversion", "in the end", "a single stage"],
)
def test_models_with_less_in_them_are_read_as_well(
    reduce: Callable[[JourneyModel], JourneyModel],
    model: JourneyModel,
    embedder_folder: Path,
    asked: Asked,
    tmp_path: Path,
) -> None:
    reduced = reduce(model)
    save_bundle(reduced, embedder_folder, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle").model

    assert bits(loaded, asked) == bits(reduced, asked)
    assert (loaded.conversion and loaded.conversion.horizons_days) == (
        reduced.conversion and reduced.conversion.horizons_days
    )


def test_without_text_there_is_no_embedder(model: JourneyModel, tmp_path: Path) -> None:
    wordless = replace(model, reader=replace(model.reader, reads_text=False))
    save_bundle(wordless, None, tmp_path / "bundle")

    assert load_bundle(tmp_path / "bundle").embedder_folder is None
    assert not (tmp_path / "bundle" / "embedder").exists()


def test_the_version_names_the_content(
    written: Path, model: JourneyModel, embedder_folder: Path, tmp_path: Path
) -> None:
    same = save_bundle(model, embedder_folder, tmp_path / "same")
    other = save_bundle(replace(model, about={"seed": 4}), embedder_folder, tmp_path / "other")

    assert same == load_bundle(written).version == json.loads((written / "manifest.json").read_text())["version"]
    assert other != same
    assert contents(tmp_path / "same") == contents(written)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_a_flipped_bit_is_refused(name: str, share: float, copied: Path) -> None:
    content = bytearray((copied / name).read_bytes())
    content[int(share * (len(content) - 1))] ^= 1
    (copied / name).write_bytes(content)

    assert name in str(refusal(copied)) or name == "manifest.json"


def test_no_flip_in_the_manifest_goes_unnoticed(copied: Path) -> None:
    content = (copied / "manifest.json").read_bytes()
    random = np.random.default_rng(13)
    for place, bit in zip(random.integers(len(content), size=150), random.integers(8, size=150), strict=True):
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        (copied / "manifest.json").write_bytes(flipped)

        assert str(copied) in str(refusal(copied))


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(name: str, keep: float, copied: Path) -> None:
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[: int(keep * len(content))])

    assert name in str(refusal(copied)) or name == "manifest.json"


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(name: str, copied: Path) -> None:
    (copied / name).unlink()

    assert refusal(copied).faults == (f"{copied}: {name}: missing; restore or retrain the bundle",)


@pytest.mark.parametrize("name", ["notes.txt", "trees/conversion-2.txt", "embedder/manifest.json", ".hidden"])
def test_an_extra_file_is_refused(name: str, copied: Path) -> None:
    (copied / name).write_text("")

    assert refusal(copied).faults == (f"{copied}: {name}: not in the manifest; restore or retrain the bundle",)


@pytest.mark.parametrize("name", FILES)
def test_a_link_in_place_of_a_file_is_refused(name: str, copied: Path, tmp_path: Path) -> None:
    (copied / name).rename(tmp_path / "elsewhere")
    (copied / name).symlink_to(tmp_path / "elsewhere")

    assert f"{name}: missing" in str(refusal(copied))


def test_a_link_to_the_same_content_is_refused(copied: Path) -> None:
    (copied / "embedder" / "config.json").unlink()
    (copied / "embedder" / "config.json").symlink_to("weights/config.json")

    assert "embedder/config.json: missing" in str(refusal(copied))


def test_a_link_in_place_of_the_manifest_is_refused(copied: Path, tmp_path: Path) -> None:
    (copied / "manifest.json").rename(tmp_path / "elsewhere")
    (copied / "manifest.json").symlink_to(tmp_path / "elsewhere")

    assert "manifest.json: a link" in str(refusal(copied))


def test_a_link_to_a_whole_bundle_is_followed(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(copied)

    assert load_bundle(tmp_path / "current").version == load_bundle(copied).version


def test_a_link_to_itself_is_refused(copied: Path) -> None:
    (copied / "model.json").unlink()
    (copied / "model.json").symlink_to("model.json")

    assert "model.json: missing" in str(refusal(copied))


def test_a_linked_folder_is_refused(copied: Path, tmp_path: Path) -> None:
    (copied / "trees").rename(tmp_path / "trees")
    (copied / "trees").symlink_to(tmp_path / "trees")

    assert "trees: not in the manifest" in str(refusal(copied))


def test_files_that_changed_places_are_refused(copied: Path) -> None:
    one, other = (copied / "trees" / f"conversion-{number}.txt" for number in (0, 1))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)

    assert len(refusal(copied).faults) == 2


def test_all_faults_are_told_at_once(copied: Path) -> None:
    (copied / "model.json").write_text("{}")
    (copied / "arrays.safetensors").unlink()
    (copied / "notes.txt").write_text("")

    assert [fault.split(": ")[1] for fault in refusal(copied).faults] == [
        "notes.txt",
        "arrays.safetensors",
        "model.json",
    ]


@pytest.mark.parametrize("name", ["model.json", "arrays.safetensors", "trees/stage.txt"])
def test_nothing_is_parsed_before_all_is_checked(name: str, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    monkeypatch.setattr(safetensors.numpy, "load", lambda _: parsed.append("arrays"))
    monkeypatch.setattr(bundle, "_read_model", lambda *_: parsed.append("model"))
    (copied / name).write_bytes(b"\x00 tree\nversion=v4")
    refusal(copied)

    assert parsed == []


@pytest.mark.parametrize(
    "changed",
    [
        {"format": 1},
        {"format": "2"},
        {"format": None},
        {"version": "000000000000"},
        {"sha256": {}},
        {"sha256": []},
        {"sha256": None},
        {"sha256": "model.json"},
    ],
)
def test_a_manifest_that_says_something_else_is_refused(changed: dict[str, Any], copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_bytes(manifest_bytes(manifest | changed))

    assert str(copied) in str(refusal(copied))


def test_the_format_that_was_found_is_told(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_bytes(manifest_bytes(manifest | {"format": 1}))

    assert refusal(copied).faults == (f"{copied}: format 1 found, 4 expected; restore or retrain the bundle",)


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\xff\xfe", b"{", b"null", b"7", b'"text"', b"[]", b"{}", b'{"format": 2}', b"[" * 100_000, b"1" * 5_000],
    ids=lambda garbage: repr(garbage[:9]),
)
def test_a_garbage_manifest_is_refused(garbage: bytes, copied: Path) -> None:
    (copied / "manifest.json").write_bytes(garbage)

    assert refusal(copied).faults == (f"{copied}: manifest.json cannot be read; restore or retrain the bundle",)


@pytest.mark.parametrize("name", ["../outside.txt", "embedder/../../outside.txt", "/dev/null", "", ".", "trees"])
def test_a_manifest_names_plain_files_inside_the_bundle(name: str, copied: Path) -> None:
    (copied.parent / "outside.txt").write_text("")
    manifest = json.loads((copied / "manifest.json").read_text())
    hashes = manifest["sha256"] | {name: hashlib.sha256(b"").hexdigest()}
    version = hashlib.sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest()[:12]
    (copied / "manifest.json").write_bytes(manifest_bytes(manifest | {"sha256": hashes, "version": version}))

    assert refusal(copied).faults == (f"{copied}: {name}: missing; restore or retrain the bundle",)


@pytest.mark.parametrize("name", ["model.json", "arrays.safetensors"])
def test_a_manifest_without_a_part_of_every_bundle_is_refused(name: str, copied: Path) -> None:
    (copied / name).unlink()
    manifest = json.loads((copied / "manifest.json").read_text())
    del manifest["sha256"][name]
    version = hashlib.sha256(json.dumps(sorted(manifest["sha256"].items())).encode()).hexdigest()[:12]
    (copied / "manifest.json").write_bytes(manifest_bytes(manifest | {"version": version}))

    assert refusal(copied).faults == (f"{copied}: {name}: missing; restore or retrain the bundle",)


def test_where_there_is_no_bundle_none_is_read(copied: Path, tmp_path: Path) -> None:
    (copied / "manifest.json").unlink()
    for folder in (copied, tmp_path / "nowhere"):
        with pytest.raises(BadUsage, match="holds no bundle") as refused:
            load_bundle(folder)
        assert refused.value.code == "no_bundle"


def test_an_older_bundle_is_replaced_whole(copied: Path, model: JourneyModel) -> None:
    wordless = replace(model, reader=replace(model.reader, reads_text=False), stage=None)
    version = save_bundle(wordless, None, copied)

    assert load_bundle(copied).version == version
    assert sorted(contents(copied)) == [
        "arrays.safetensors",
        "manifest.json",
        "model.json",
        "trees/conversion-0.txt",
        "trees/conversion-1.txt",
    ]
    assert [path.name for path in copied.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file"])
def test_what_is_no_bundle_is_never_written_over(kind: str, model: JourneyModel, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("precious")
    else:
        out.mkdir()
    if kind == "folder":
        (out / "thesis.txt").write_text("precious")
    before = {path.name: path.is_file() and path.read_text() for path in tmp_path.rglob("*")}

    with pytest.raises(BadUsage, match="exists and is not a bundle") as refused:
        save_bundle(model, None, out)
    assert refused.value.code == "out_exists"
    assert {path.name: path.is_file() and path.read_text() for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("manifest", ['{"name": "my web app"}', "not JSON", "[]", '{"sha256": {"app.js": ""}}'])
def test_another_programs_manifest_makes_no_bundle(manifest: str, model: JourneyModel, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text(manifest)
    (tmp_path / "out" / "thesis.txt").write_text("precious")

    with pytest.raises(BadUsage, match="exists and is not a bundle"):
        save_bundle(model, None, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "precious"


def test_a_bundle_with_other_files_beside_it_is_kept(copied: Path, model: JourneyModel) -> None:
    (copied / "touchpoints.parquet").write_text("precious")

    with pytest.raises(BadUsage, match="or holds other files beside one"):
        save_bundle(model, None, copied)
    assert (copied / "touchpoints.parquet").read_text() == "precious"


def test_a_write_that_fails_leaves_the_older_bundle(copied: Path, model: JourneyModel, tmp_path: Path) -> None:
    before = contents(copied)
    with pytest.raises(BadEnvironment, match="cannot be written") as refused:
        save_bundle(replace(model, about={}), tmp_path / "no such embedder", copied)

    assert refused.value.code == "out_unwritable"
    assert contents(copied) == before
    assert [path.name for path in copied.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    ("stopped_by", "ended_by", "told"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            BadEnvironment,
            "cannot be written: No space left on device",
        ),
        (SystemExit(143), SystemExit, "143"),  # as SIGTERM ends the command line
    ],
)
def test_a_swap_that_does_not_end_brings_the_older_bundle_back(
    stopped_by: BaseException,
    ended_by: type[BaseException],
    told: str,
    copied: Path,
    model: JourneyModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, rename = contents(copied), Path.rename

    def stopped_at_the_draft(path: Path, target: Path) -> Path:
        if Path(target) == copied and path.name != copied.name:
            raise stopped_by
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", stopped_at_the_draft)
    with pytest.raises(ended_by, match=told):
        save_bundle(replace(model, about={}), None, copied)

    assert contents(copied) == before
    assert [path.name for path in copied.parent.iterdir()] == ["bundle"]


def test_nothing_else_is_written_into_a_bundle(copied: Path, tmp_path: Path) -> None:
    for out in (copied, copied / "model.json", copied / "trees" / "card.html"):
        with pytest.raises(BadUsage, match="which must stay as it is") as refused:
            check_target(out)
        assert refused.value.code == "out_in_bundle"
    check_target(copied.with_name("beside.csv"))
    with pytest.raises(BadUsage, match="is one of the files to read"):
        check_target(tmp_path / "here" / ".." / "read.csv", [tmp_path / "read.csv"])


def test_where_the_system_is_short_of_something_a_bundle_is_not_called_corrupt(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_many_open(_: Path) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "read_bytes", too_many_open)
    with pytest.raises(BadEnvironment, match="cannot be read now: Too many open files") as refused:
        load_bundle(copied)
    assert refused.value.code == "system_refused"


def test_a_write_that_fails_leaves_nothing_where_nothing_was(model: JourneyModel, tmp_path: Path) -> None:
    with pytest.raises(BadEnvironment, match="cannot be written"):
        save_bundle(model, tmp_path / "no such embedder", tmp_path / "new" / "bundle")

    assert list((tmp_path / "new").iterdir()) == []


def test_a_place_where_no_folder_can_be_is_refused(model: JourneyModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(BadEnvironment, match="cannot be written") as refused:
        save_bundle(model, None, tmp_path / "file" / "bundle")

    assert refused.value.code == "out_unwritable"
    assert (tmp_path / "file").read_text() == "precious"
