"""The configuration of a training: what it refuses, what wins over what, and that it is written as it is read."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.errors import BadUsage
from features.journey import DEFAULT_JOURNEY
from training.settings import Settings, load_settings, read_changes

NOW = datetime(2026, 1, 31, 12, 0, 0, 250, tzinfo=UTC)

WHOLE = """
journey = "frame.toml"

[data]
touchpoints = ["web.csv", "/elsewhere/crm*.parquet", "postgresql://host/crm"]
labels = "labels.csv"
splits = ["train"]

[snapshots]
every = "event"
actions = ["asked"]
not_yet_converted = true

[split]
kind = "time"
gap_days = 45

[backtest]
folds = 3

[fit]
seed = 7
embedder = "none"
"""


def faults_of(text: str, folder: Path) -> list[str]:
    (folder / "train.toml").write_text(text)
    with pytest.raises(BadUsage) as caught:
        load_settings(folder / "train.toml", {})
    assert caught.value.code == "bad_config"
    return [fault.removeprefix(f"{folder / 'train.toml'}: ") for fault in caught.value.faults]


def test_a_file_is_read_with_its_paths_taken_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text(WHOLE)
    settings = load_settings(tmp_path / "train.toml", {})

    assert settings.journey == str(tmp_path / "frame.toml")
    assert settings.data.touchpoints == (
        str(tmp_path / "web.csv"), "/elsewhere/crm*.parquet", "postgresql://host/crm"
    )  # fmt: skip
    assert settings.data.labels == str(tmp_path / "labels.csv")
    assert (settings.snapshots.actions, settings.split.gap_days, settings.backtest.folds) == (("asked",), 45, 3)
    assert (settings.snapshots.seen_within_days, settings.split.late_share) == (365, 0.3)


def test_without_a_file_the_defaults_hold() -> None:
    assert load_settings(None, {}) == Settings()
    assert load_settings(None, {}).load_journey() is DEFAULT_JOURNEY


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text(WHOLE)
    words = ["split.kind=person", 'snapshots.actions=["bought"]', "fit.seed = 3", 'fit.learn=["stage"]']
    settings = load_settings(tmp_path / "train.toml", read_changes(words) | {"data.labels": "mine.csv"})

    assert (settings.split.kind, settings.split.gap_days, settings.fit.seed) == ("person", 45, 3)
    assert (settings.snapshots.actions, settings.fit.learn, settings.data.labels) == (
        ("bought",),
        ("stage",),
        "mine.csv",
    )


def test_every_fault_is_told_at_once_with_the_near_miss(tmp_path: Path) -> None:
    assert faults_of(
        '[snapshot]\nevery = "day"\n[split]\nkind = "times"\nlate_shares = 0.2\n[fit]\nseed = "7"\nlearn = []\n'
        "[backtest]\nfolds = -1\ndisjoint_persons = 1\n",
        tmp_path,
    ) == [
        "'kind' in [split]: expected 'time and person', 'time' or 'person', found 'times'",
        "unknown key 'late_shares' in [split]; did you mean 'late_share'?",
        "'folds' in [backtest]: expected 0 or more, found -1",
        "'disjoint_persons' in [backtest]: expected true or false, found 1",
        "'seed' in [fit]: expected a whole number, found '7'",
        "'learn' in [fit]: expected at least one entry: nothing can match an empty list, found a list of 0",
        "unknown key 'snapshot' in the configuration; did you mean 'snapshots'?",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("split = 3", "[split]: expected a table, found 3"),
        ("journey = 3", "journey is neither the name of a file nor a table; give one of them"),
        ('[snapshots]\nevery = "event"',
         '[snapshots]: snapshots at events need every = "event" and actions, one of the two is missing'),
        ('[snapshots]\nactions = ["asked"]',
         '[snapshots]: snapshots at events need every = "event" and actions, one of the two is missing'),
        ("[data]\nknown_until = 2026-01-31T00:00:00",
         "'known_until' in [data]: expected a time with its zone, found 2026-01-31 00:00:00"),
        ("[split]\nlate_share = 1.0", "'late_share' in [split]: expected less than 1, found 1.0"),
        ("[split\n", "is not valid TOML: Expected ']' at the end of a table declaration (at line 1, column 7)"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(text: str, fault: str, tmp_path: Path) -> None:
    assert faults_of(text, tmp_path) == [fault]


def test_a_file_that_is_not_there_and_words_that_set_nothing_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match=r"none\.toml: there is no such file; give a TOML file"):
        load_settings(tmp_path / "none.toml", {})
    with pytest.raises(BadUsage, match=r"--set seed: expected section\.key=value"):
        read_changes(["seed"])
    with pytest.raises(BadUsage, match=r"unknown key 'sed' in \[fit\]; did you mean 'seed'\?"):
        load_settings(None, read_changes(["fit.sed=3"]))
    with pytest.raises(BadUsage, match="'fit' is no table here"):
        load_settings(None, {"fit": 3, "fit.seed": 4})


def test_what_is_resolved_is_written_as_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {"data.touchpoints": ['odd "name"\x7f.csv'], "split.person_share": 0.1})
    resolved = settings.resolved(settings.load_journey(), NOW)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "logged.toml").write_text(resolved.to_toml())
    monkeypatch.chdir("/")
    again = load_settings(tmp_path / "other" / "logged.toml", {})

    assert again == resolved
    assert again.data.touchpoints == (str(tmp_path / 'odd "name"\x7f.csv'),)
    assert again.data.known_until == NOW
    assert again.load_journey() == DEFAULT_JOURNEY
    assert again.resolved(again.load_journey(), NOW) == resolved
    assert Settings().to_toml().startswith("[data]\nmax_reject_share = 0.05\n\n[snapshots]\n")


def test_a_bundle_is_told_all_but_the_places(tmp_path: Path) -> None:
    (tmp_path / "vectors").mkdir()
    settings = load_settings(None, {"data.touchpoints": ["a.csv"], "fit.embedder": str(tmp_path / "vectors")})
    told = settings.resolved(DEFAULT_JOURNEY, NOW).about()

    assert told["data"] == {"max_reject_share": 0.05, "known_until": "2026-01-31T12:00:00.000250Z"}
    assert told["fit"] == {
        "seed": 0, "embedder": "vectors", "learn": ["stage", "conversion"], "allow_leaks": [],
    }  # fmt: skip
    assert set(told) >= {"data", "snapshots", "split", "backtest", "fit"}
    assert "journey" not in told


EXAMPLES = {
    "journey", "data.touchpoints", "data.labels", "data.splits", "data.stage_history", "data.known_until",
    "split.person_share", "split.gap_days", "backtest.test_days",
}  # fmt: skip


def test_the_document_tells_every_key_and_its_default(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", document, re.DOTALL)
    (tmp_path / "train.toml").write_text(block)
    load_settings(tmp_path / "train.toml", {})
    told = tomllib.loads(block)

    defaults = Settings().model_dump(mode="json")
    for section in ("data", "snapshots", "split", "backtest", "fit"):
        assert set(defaults[section]) == set(told[section])
        named = {key: value for key, value in told[section].items() if f"{section}.{key}" not in EXAMPLES}
        assert named == {key: defaults[section][key] for key in named}
