"""The tutorial's commands, every one of them, in order, as they stand there."""

from __future__ import annotations

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
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```console\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text("utf-8"), re.DOTALL)
SERVERS = {"mlflow": "/health", "journeycast serve": "/readyz"}
START_LIMIT_S = 600  # a busy machine takes minutes to import a server
# As everywhere in these tests where it does not matter how good a model is: a handful of trees.
JOURNEYCAST = f"""#!{sys.executable}
import sys
if sys.argv[1] == "train":
    from training import fit_conversion, fit_stage
    fit_conversion.ROUNDS, fit_stage.ROUNDS = (4, 8), (2, 4)
import journeycast
journeycast.main()
"""


class Walk(NamedTuple):
    """The folder in which the tutorial was gone through, and what each block printed, by its first words."""

    folder: Path
    printed: dict[str, str]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("tutorial")
    environment, printed = _environment(tmp_path_factory.mktemp("bin")), dict[str, str]()
    urls: dict[str, str] = {}
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for block in BLOCKS[1:]:
            first = block.split("\n")[0]
            server = next((words for words in SERVERS if block.startswith(words)), None)
            if server:
                servers.append(_start(block, server, urls, folder, environment))
            elif block.startswith("curl"):
                printed[first] = _ask(block, urls)
            else:
                printed[first] = _run(block, folder, environment)
        yield Walk(folder, printed)
    finally:
        for running in servers:
            _stop(running)


def _environment(programs: Path) -> dict[str, str]:
    (programs / "journeycast").write_text(JOURNEYCAST)
    (programs / "journeycast").chmod(0o755)
    outside = ("MLFLOW_TRACKING_URI", "JOURNEYCAST_BUNDLE")
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {name: value for name, value in os.environ.items() if name not in outside} | {"PATH": path}


def _run(block: str, folder: Path, environment: dict[str, str]) -> str:
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, f"{block}\n{ran.stderr}"
    return ran.stdout + ran.stderr


def _start(
    block: str, server: str, urls: dict[str, str], folder: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    """The server on a free port: the tutorial's own may be taken."""
    (port,) = re.findall(r"--port (\d+)", block)
    free = _free_port()
    urls[port] = f"http://127.0.0.1:{free}"
    words = shlex.split(block.replace(f"--port {port}", f"--port {free}"))
    with (folder / f"{words[0]}.log").open("wb") as log:
        running = subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    give_up = time.monotonic() + START_LIMIT_S
    while not _is_ready(urls[port] + SERVERS[server]):
        assert running.poll() is None, (folder / f"{words[0]}.log").read_text()
        assert time.monotonic() < give_up
        time.sleep(0.2)
    return running


def _stop(running: subprocess.Popen[bytes]) -> None:
    """With the processes that it started."""
    os.killpg(running.pid, signal.SIGTERM)
    try:
        running.wait(60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)


def _ask(block: str, urls: dict[str, str]) -> str:
    words = shlex.split(block)
    address = re.sub(r"http://127\.0\.0\.1:(\d+)", lambda found: urls[found[1]], words[1])
    header = dict([words[words.index("-H") + 1].split(": ")])
    request = urllib.request.Request(address, words[words.index("-d") + 1].encode(), header)
    with urllib.request.urlopen(request, timeout=60) as response:
        return str(response.read().decode())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def _printed(walk: Walk, start: str) -> str:
    (printed,) = [text for first, text in walk.printed.items() if first.startswith(start)]
    return printed


def test_only_the_first_block_is_not_run() -> None:
    assert BLOCKS[0] == "source PATH_TO_JOURNEYCAST/.venv/bin/activate\n"


def test_the_untidy_rows_are_rejected_with_their_reasons(walk: Walk) -> None:
    rejects = pl.read_csv(walk.folder / "winter.rejects.csv")

    assert rejects.height == 5
    assert _printed(walk, "cat winter.rejects.csv") == (walk.folder / "winter.rejects.csv").read_text()
    assert "5 rejected (see winter.rejects.csv)" in _printed(walk, "cat > training.toml")


def test_the_card_is_there_and_names_nobody(walk: Walk) -> None:
    for card in (walk.folder / "winter.card.html", walk.folder / "judged" / "card.html"):
        page = card.read_text("utf-8")
        assert "Model card: shop" in page
        assert "simulated-" not in page
    assert (walk.folder / "judged" / "pictures" / "conversion_90d-calibration.svg").is_file()


def test_it_is_judged_on_customers_of_elsewhere(walk: Walk) -> None:
    metrics = json.loads((walk.folder / "judged" / "metrics.json").read_text())
    labels = pl.read_csv(walk.folder / "labels.csv")

    assert metrics["conversion_90d/n"] == labels.height
    assert metrics["conversion_90d/base_rate"] == pytest.approx(labels["converted"].mean())
    assert labels["converted"].sum() >= 3


def test_both_runs_stand_side_by_side(walk: Walk) -> None:
    lines = [
        line.split()
        for text in walk.printed.values()
        for line in text.splitlines()
        if line.startswith(("winter ", "today "))
    ]

    assert sorted(line[0] for line in lines) == ["today", "winter"]
    assert all(len(line) == 6 for line in lines)


def test_the_later_model_is_promoted_and_scores(walk: Walk) -> None:
    version = json.loads((walk.folder / "today" / "manifest.json").read_text())["version"]

    assert "stale" in _printed(walk, "journeycast promote") or "beyond doubt" in _printed(walk, "journeycast promote")
    assert pl.read_csv(walk.folder / "scores.csv")["model_version"].unique().to_list() == [version]


def test_everybody_is_scored(walk: Walk) -> None:
    scores = pl.read_csv(walk.folder / "scores.csv")

    assert scores.height == pl.read_parquet(walk.folder / "simulated" / "touchpoints.parquet")["customer_id"].n_unique()
    assert {"stage", "conversion_30d", "conversion_90d_high", "reliability", "reasons"} <= set(scores.columns)


def test_the_endpoint_answers_with_reasons(walk: Walk) -> None:
    (score,) = json.loads(_printed(walk, "curl"))["scores"]

    assert score["customer_id"] == "c-1"
    assert score["reasons"]
