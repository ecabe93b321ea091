"""The README's commands do what it says, as it says them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    for line in block.splitlines()
]
JOURNEYCAST = [sys.executable, "-c", "import journeycast; journeycast.main()"]
START_LIMIT_S = 120


def _journeycast(command: str) -> list[str]:
    program, *words = shlex.split(command)
    assert program == "journeycast"
    return [*JOURNEYCAST, *words]


def _command(start: str) -> str:
    (command,) = [command for command in COMMANDS if command.startswith(start)]
    return command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's commands up to `score` have run."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("simulate", "train", "score"):
        _run(name, folder)
    return folder


def _run(name: str, folder: Path) -> str:
    words = _journeycast(_command(f"journeycast {name}"))
    ran = subprocess.run(words, cwd=folder, env=_environment(), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def endpoint(folder: Path) -> Iterator[str]:
    port = _free_port()  # the README's own may be taken
    command = _command("journeycast serve").replace("--port 3000", f"--port {port}")
    server = subprocess.Popen(_journeycast(command), cwd=folder, env=_environment())
    url = f"http://127.0.0.1:{port}"
    try:
        give_up = time.monotonic() + START_LIMIT_S
        while not _is_ready(url):
            assert server.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.2)
        yield url
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


def test_there_is_no_command_that_these_tests_leave_out() -> None:
    assert [command.split()[0] for command in COMMANDS] == [
        "make", "make", "source", *["journeycast"] * 6, "curl", "journeycast",
    ]  # fmt: skip


def test_every_make_target_that_is_named_exists() -> None:
    named = set(re.findall(r"make (\w+)", (ROOT / "README.md").read_text("utf-8"))) - {"it"}
    assert {"demo", "test", "install", "bench"} <= named
    for target in named:
        done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_scores_have_one_row_a_customer_and_the_contracts_columns(folder: Path) -> None:
    scores = pl.read_csv(folder / "try" / "scores.csv")
    assert scores.columns == [
        "customer_id", "as_of", "stage", "stage_awareness", "stage_consideration", "stage_conversion",
        "stage_advocacy", "plausible_stages", "furthest_stage", "conversion_30d", "conversion_30d_low",
        "conversion_30d_high", "conversion_90d", "conversion_90d_low", "conversion_90d_high", "conversion_percentile",
        "reliability", "model_version", "reasons",
    ]  # fmt: skip
    touchpoints = pl.read_parquet(folder / "try" / "touchpoints.parquet")
    assert scores["customer_id"].to_list() == sorted(touchpoints["customer_id"].unique())


def test_every_feature_is_told_in_words(folder: Path) -> None:
    printed = _run("features", folder)
    assert "any touchpoint: times in 7 days" in printed
    assert "Standard deviation of the gaps." in printed


def test_a_fresher_market_is_written(folder: Path) -> None:
    _run("market", folder)
    assert (folder / "try" / "market").stat().st_size > 1000


def test_the_endpoint_answers_the_curl_command(endpoint: str) -> None:
    words = shlex.split(_command("curl"))
    assert words[1] == "http://127.0.0.1:3000/score"
    request = urllib.request.Request(
        f"{endpoint}/score", words[words.index("-d") + 1].encode(), dict([words[words.index("-H") + 1].split(": ")])
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        (score,) = json.load(response)["scores"]
    assert score["customer_id"] == "c-1"
    assert score["reliability"] == "little_data"
    assert 0 < score["conversion_30d"] <= score["conversion_90d"] < 1


def test_a_key_is_made_with_the_line_that_is_written_down(tmp_path: Path) -> None:
    ran = subprocess.run(
        _journeycast(_command("journeycast make-key")), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    key, line = ran.stdout.split()
    assert line == f"crm:{hashlib.sha256(key.encode()).hexdigest()}"
    assert key not in ran.stderr


def test_the_demo_goes_the_whole_way(tmp_path: Path) -> None:
    words = [*JOURNEYCAST, "demo", "--out", str(tmp_path / "demo"), "--customers", "400"]
    ran = subprocess.run(words, cwd=tmp_path, env=_environment(), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "The endpoint and the batch agree to the last bit." in ran.stdout
    assert (tmp_path / "demo" / "mlflow.db").is_file()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5):
            return True
    except OSError:
        return False


def _environment() -> dict[str, str]:
    outside = ("MLFLOW_TRACKING_URI", "JOURNEYCAST_BUNDLE")
    return {name: value for name, value in os.environ.items() if name not in outside}
