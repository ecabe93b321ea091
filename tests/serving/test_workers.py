import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from serving.workers import LONGEST_PAUSE_S, Worker, Workers

ROOT = Path(__file__).parents[2]
LIMIT_S = 120


def until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.mark.parametrize(("failures", "pause_s"), [(0, 0), (1, 0), (2, 1), (4, 4), (5000, LONGEST_PAUSE_S)])
def test_a_worker_that_dies_at_its_start_is_started_later_and_later(failures: int, pause_s: float) -> None:
    assert Worker(0, started_s=100.0, failures=failures).start_again_s() == 100.0 + pause_s


def test_a_worker_that_cannot_be_started_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []

    def start(words: list[str], **_: object) -> subprocess.Popen[bytes]:
        started.append(words)
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", start)
    with socket.socket() as listening, Workers(listening, 2, tmp_path, 1) as workers:
        workers._look_after(workers._workers[0])
        workers._look_after(workers._workers[1])

    assert [words[5] for words in started] == ["0", "1"]
    assert "worker 1 could not be started: Resource temporarily unavailable" in capsys.readouterr().err


def test_callers_are_shared_out_evenly_a_killed_worker_comes_back_and_none_outlives_the_supervisor(
    plain_bundle: Path, tmp_path: Path
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    command = [sys.executable, "-c", "import journeycast; journeycast.main()", "serve"]
    settings = {"JOURNEYCAST_SERVE_WORKERS": "2", "JOURNEYCAST_SERVE_DRAIN_S": "0.1", "BENTOML_HOME": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        supervisor = psutil.Popen(
            [*command, "--bundle", str(plain_bundle), "--port", str(port)],
            cwd=ROOT,
            env=os.environ | settings,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def listening() -> list[psutil.Process]:
        """The workers whose log says that they serve: only those take callers."""
        served = (tmp_path / "log").read_text().count("serving model")
        return supervisor.children() if served >= 2 + killed and len(supervisor.children()) == 2 else []

    def held(worker: psutil.Process) -> int:
        return sum(connection.status == "ESTABLISHED" for connection in worker.net_connections("tcp"))

    killed = 0
    callers = [httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S) for _ in range(8)]
    try:
        until(lambda: bool(listening()))
        time.sleep(0.5)
        workers = supervisor.children()
        assert [caller.get("/livez").status_code for caller in callers] == [200] * 8
        assert [held(worker) for worker in workers] == [4, 4]

        workers[0].kill()
        killed = 1
        assert [httpx.get(f"{callers[0].base_url}/livez").status_code for _ in range(5)] == [200] * 5
        until(lambda: bool(listening()))
        assert workers[0].pid not in [worker.pid for worker in supervisor.children()]

        workers = supervisor.children()
        supervisor.kill()
        assert len(psutil.wait_procs(workers, timeout=LIMIT_S)[0]) == 2
    finally:
        for caller in callers:
            caller.close()
        for process in [*(supervisor.children() if supervisor.is_running() else []), supervisor]:
            if process.is_running():
                process.send_signal(signal.SIGTERM)
                process.wait(LIMIT_S)
