"""A training by its configuration: repeated to the last bit, told as asked, stopped without a trace."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import journeycast
from models.bundle import load_bundle
from training import fit_conversion, fit_stage, tracking

JOURNEY = """
name = "visits"
stages = ["new", "active"]
conversion = { actions = ["bought"], horizons_days = [2, 3, 60], repeatable = true }
labels = { rules = [{ stage = "new", when = "any" }, { stage = "active", when = "any", at_least = 4 }] }
"""
CONFIGURATION = """
journey = "frame/journey.toml"

[data]
touchpoints = ["touchpoints.csv"]

[snapshots]
every = "day"
at_least_touchpoints = 2

[split]
kind = "person"

[fit]
seed = 3
embedder = "none"
"""
PROGRAM = [sys.executable, "-c", "import journeycast; journeycast.main()"]

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty customers who come now and then and sometimes buy, by lot; and a configuration."""
    folder, lot = tmp_path_factory.mktemp("configured"), random.Random(7)
    rows = [
        f"c{i:02},2026-01-{day:02}T{lot.randrange(24):02}:{lot.randrange(60):02}:00Z,web,"
        f"{lot.choice(['came', 'came', 'asked', 'bought'])}"
        for i in range(60)
        for day in range(1, 15)
        if lot.random() < 0.5
    ]
    (folder / "touchpoints.csv").write_text("\n".join(["customer_id,occurred_at,channel,action", *rows, ""]))
    (folder / "train.toml").write_text(CONFIGURATION)
    (folder / "frame").mkdir()
    (folder / "frame" / "journey.toml").write_text(JOURNEY)
    return folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `journeycast` in the folder, with a handful of trees; a fault is an end like any other."""
    monkeypatch.setattr(fit_conversion, "ROUNDS", (4, 8))
    monkeypatch.setattr(fit_stage, "ROUNDS", (2, 4))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "")  # MLflow sets it; so it is put back at the end
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")

    def journeycast_with(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["journeycast", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            journeycast.main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return journeycast_with


def last_known(folder: Path) -> str:
    moments = [line.split(",")[1] for line in (folder / "touchpoints.csv").read_text().splitlines()[1:-1]]
    return max(moments).removesuffix("Z")


def test_a_logged_configuration_repeats_its_run_to_the_last_bit(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, said = run("train", "--config", "train.toml", "--seed", "5", "--set", "backtest.folds=2", "--out", "first")
    assert code == 0, said
    assert re.search(r"left out: [0-9]+ snapshots of customers with fewer than 2 touchpoints", said)
    assert "not learnt: conversion_60d: found 0 rows with a conversion and 0 without, expected at least 20" in said
    assert "How good the forecasts would have been over time" in said
    runs = tracking.mlflow.search_runs(experiment_names=["journeycast"], output_format="list")
    (first,) = [run for run in runs if run.info.run_name == "first"]  # its folds have runs of their own
    logged = tracking.mlflow.artifacts.download_artifacts(
        run_id=first.info.run_id, artifact_path="config.toml", dst_path=str(tmp_path)
    )
    assert first.data.metrics["backtest/folds"] >= 1
    monkeypatch.chdir(tmp_path)
    touchpoints = (folder / "touchpoints.csv").read_text()
    (folder / "touchpoints.csv").write_text(f"{touchpoints}c01,2026-02-20T00:00:00Z,web,came\n")  # it comes too late
    code, again = run("train", "--config", logged, "--out", tmp_path / "again", "--register", "--quiet")

    assert (code, again) == (0, "")
    made, repeated = load_bundle(folder / "first"), load_bundle(tmp_path / "again")
    assert made.version == repeated.version
    assert (folder / "first" / "manifest.json").read_bytes() == (tmp_path / "again" / "manifest.json").read_bytes()
    assert made.model.conversion is not None
    assert made.model.conversion.horizons_days == (2, 3)
    about = made.model.about
    assert (about["settings"]["fit"]["seed"], about["settings"]["snapshots"]["every"]) == (5, "day")
    assert about["settings"]["data"]["known_until"] == f"{last_known(folder)}Z"
    assert str(folder) not in json.dumps(about)


def test_json_lines_tell_what_was_done_and_how_good_it_is(run: Run) -> None:
    words = [
        "train",
        "--config",
        "train.toml",
        "--set",
        'fit.learn=["stage"]',
        "--log-format",
        "json",
        "--out",
        "lines",
    ]
    code, said = run(*words)
    lines = [json.loads(line) for line in said.splitlines()]

    assert code == 0
    assert {line["level"] for line in lines} == {"info"}
    assert {line["what"] for line in lines if line.get("event") == "progress"} >= {"Fitting the stage"}
    (judged,) = [line["figures"] for line in lines if line.get("event") == "judgement"]
    assert judged["stage/n"] > 0
    assert not [name for name in judged if name.startswith("conversion")]
    assert lines[-1]["message"].startswith("bundle ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no_touchpoints: no touchpoints are named; give --touchpoints, or touchpoints in [data]\n"),
        (["--config", "none.toml"], "no_config: none.toml: there is no such file; give a TOML file\n"),
        (["--config", "train.toml", "--set", "split.kinds=time", "--set", "fit.seed=x"],
         "bad_config: unknown key 'kinds' in [split]; did you mean 'kind'?\n"
         "bad_config: 'seed' in [fit]: expected a whole number, found 'x'\n"),
    ],
)  # fmt: skip
def test_what_is_configured_wrongly_is_usage(run: Run, words: list[str], said: str) -> None:
    assert run("train", *words, "--out", "refused") == (2, said)


@pytest.fixture
def as_at_a_terminal() -> Iterator[None]:
    """Ctrl-C counts, though whoever runs the tests in the background (`nohup`, `&`) has it ignored by all it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("as_at_a_terminal")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_training_that_is_stopped_leaves_nothing_behind(
    folder: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/stopped.db", "TMPDIR": str(tmp_path)}
    words = ["train", "--config", str(folder / "train.toml"), "--backtest", "50", "--log-format", "json"]
    training = subprocess.Popen(
        [*PROGRAM, *words, "--out", str(tmp_path / "made")], env=environment, stderr=subprocess.PIPE, text=True
    )
    assert training.stderr is not None
    with training.stderr as lines:
        told = [next(line for line in lines if "Fitting" in line)]  # in the midst of it
        time.sleep(0.2)
        training.send_signal(sent)
        told += lines.readlines()

    assert training.wait(120) == code
    assert [line for line in told if not line.startswith("{")] == []
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith("stopped.db")} == set()
    client = tracking.mlflow.MlflowClient(environment["MLFLOW_TRACKING_URI"])  # of its own: no other test sees it
    experiment = client.get_experiment_by_name("journeycast")
    (stopped,) = client.search_runs([experiment.experiment_id])
    assert stopped.info.status != "RUNNING"
