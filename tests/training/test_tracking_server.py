"""A real MLflow server, several trainings at once, and processes that are stopped or killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from models.bundle import load_bundle
from training import tracking
from training.tracking import download_bundle, log_bundle, log_metrics, register_bundle, tracked_run

LONGEST_S = 120
TOUCHPOINT = {"occurred_at": "2026-01-09T00:00:00Z", "channel": "web", "action": "asked"}
ASKED = [["c1", "2026-01-20T00:00:00Z", json.dumps([TOUCHPOINT])]]
# What a training does to a store, without its fitting; it waits after the bundle where a second word is given.
TRAINING = """
import signal, sys, time
from pathlib import Path
from training import tracking
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
with tracking.tracked_run("training", {"seed": 0}, {}) as run_id:
    tracking.log_bundle(Path(sys.argv[1]))
    print(run_id, flush=True)
    time.sleep(600 if sys.argv[2:] else 0)
tracking.register_bundle(run_id)
"""


@contextmanager
def running(folder: Path, *words: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process with these words, and all that it starts, ended with the block."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts uvicorn by its name
    with (folder / "said").open("a") as said, subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=folder, env={**os.environ, "PATH": path, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=said, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def until_answered(address: str, process: subprocess.Popen[str], folder: Path) -> None:
    for _ in range(LONGEST_S * 5):
        assert process.poll() is None, (folder / "said").read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"no answer: {(folder / 'said').read_text()}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server on loopback, with a store of its own."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    words = ("server", "--host", "127.0.0.1", "--port", port, "--workers", 1)
    stores = ("--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", folder / "artifacts")
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    with running(folder, "-m", "mlflow", *words, *stores, **quiet) as process:
        until_answered(f"http://127.0.0.1:{port}/health", process, folder)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def champion(server: str, plain_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of that server, where a model has been recorded and registered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("working"))
        patch.setenv("MLFLOW_TRACKING_URI", server)
        patch.setenv("MLFLOW_EXPERIMENT_ID", "")
        patch.delenv("MLFLOW_EXPERIMENT_ID")
        with tracked_run("spring", {"fit": {"seed": 0}}, {"labels": "given"}) as run_id:
            with tracked_run("back-test from 2026-01-01", {}, {}):
                log_metrics({"conversion/roc_auc": 0.5})
            log_bundle(plain_bundle)
        assert register_bundle(run_id) == "1"
        yield server


def test_a_server_holds_the_run_its_child_and_the_model(champion: str, plain_bundle: Path) -> None:
    client = tracking.mlflow.MlflowClient(champion)
    experiment = client.get_experiment_by_name("journeycast")
    child, run = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    assert (run.info.run_name, run.info.status, run.data.params) == ("spring", "FINISHED", {"fit.seed": "0"})
    assert child.data.tags["mlflow.parentRunId"] == run.info.run_id
    assert load_bundle(download_bundle("models:/journeycast@champion")).version == load_bundle(plain_bundle).version


def test_the_model_says_what_it_asks_for_and_answers_so(champion: str) -> None:
    model = tracking.mlflow.pyfunc.load_model("models:/journeycast@champion")
    answered = model.predict(pd.DataFrame(ASKED, columns=["customer_id", "as_of", "touchpoints"]))
    assert model.metadata.signature.inputs.input_names() == ["customer_id", "as_of", "touchpoints"]
    assert model.metadata.signature.outputs.input_names() == list(answered.columns)
    assert "conversion_percentile" not in model.metadata.signature.outputs.required_input_names()
    assert champion.startswith("http://127.0.0.1:")


def test_mlflow_serves_the_registered_model(champion: str, tmp_path: Path) -> None:
    port = free_port()
    words = ("models", "serve", "--model-uri", "models:/journeycast@champion", "--env-manager", "local")
    with running(
        tmp_path, "-m", "mlflow", *words, "--host", "127.0.0.1", "--port", port, MLFLOW_TRACKING_URI=champion
    ) as process:
        until_answered(f"http://127.0.0.1:{port}/health", process, tmp_path)
        asked = {"dataframe_split": {"columns": ["customer_id", "as_of", "touchpoints"], "data": ASKED}}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", json.dumps(asked).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            (score,) = json.load(response)["predictions"]
    model = tracking.mlflow.pyfunc.load_model("models:/journeycast@champion")
    wanted = model.predict(pd.DataFrame(ASKED, columns=["customer_id", "as_of", "touchpoints"])).iloc[0]
    assert score["customer_id"] == "c1"
    assert {name: score[name] for name in ("stage", "conversion", "conversion_low")} == {
        name: wanted[name] for name in ("stage", "conversion", "conversion_low")
    }


def asked(store: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(store, timeout=20)) as database:
        return database.execute(question).fetchall()


RUNS = "select status from runs order by start_time"
MODELS = "select m.status from logged_models m join runs r on r.run_uuid = m.source_run_id order by r.start_time"
ALIASES = "select alias, version from registered_model_aliases"


def test_trainings_at_once_on_a_fresh_store_all_end_well(tmp_path: Path, plain_bundle: Path) -> None:
    address = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    training = partial(running, tmp_path, "-c", TRAINING, plain_bundle, **address)
    with training() as one, training() as other:
        ended = [process.wait(LONGEST_S) for process in (one, other)]
    assert ended == [0, 0], (tmp_path / "said").read_text()
    assert asked(tmp_path / "mlflow.db", RUNS) == [("FINISHED",)] * 2
    assert asked(tmp_path / "mlflow.db", "select version from model_versions order by version") == [(1,), (2,)]
    assert asked(tmp_path / "mlflow.db", ALIASES) == [("champion", 1)]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_stopped_or_killed_is_never_left_running_and_moves_no_alias(
    tmp_path: Path, plain_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "mlflow.db"
    address = {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"}
    with running(tmp_path, "-c", TRAINING, plain_bundle, "wait", **address) as stopped:
        assert stopped.stdout is not None
        stopped.stdout.readline()
        stopped.send_signal(signal.SIGINT)
        stopped.wait(LONGEST_S)
    assert asked(store, RUNS) == [("KILLED",)]
    with running(tmp_path, "-c", TRAINING, plain_bundle, "wait", **address) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        killed.kill()
    assert asked(store, RUNS) == [("KILLED",), ("RUNNING",)]
    assert asked(store, ALIASES) == []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address["MLFLOW_TRACKING_URI"])
    with tracked_run("next", {}, {}) as run_id:
        assert asked(store, RUNS) == [("KILLED",), ("KILLED",), ("RUNNING",)]
        log_bundle(plain_bundle)
    register_bundle(run_id)
    assert asked(store, RUNS)[-1] == ("FINISHED",)
    assert asked(store, ALIASES) == [("champion", 1)]
