"""The processes that answer: started on one socket, started again when one dies, stopped together.

BentoML's supervisor starts a worker again after about ten seconds, imports all that the workers import before it starts
them, and knows no way to share callers out (see `serving.worker`).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from serving.connections import Board

LOOK_S = 0.05
SOUND_AFTER_S = 10.0  # a worker that lives as long is no longer one that cannot start
LONGEST_PAUSE_S = 10.0
ROOT = Path(__file__).parents[1]


@dataclass
class Worker:
    """A place among the workers, and the process that has it; `failures` in a row at starting it."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    failures: int = 0

    def start_again_s(self) -> float:
        """The earliest moment to start this worker: at once, but later and later where it dies at its start."""
        pause_s = 0.0 if self.failures < 2 else min(2.0 ** min(self.failures - 2, 10), LONGEST_PAUSE_S)
        return self.started_s + pause_s


@dataclass
class Workers:
    """`count` processes of `python -m serving.worker` on the socket `listening`; `home` is a folder for their use.

    Within the context SIGTERM and SIGINT stop them: each answers what it has begun, for `shutdown_s` seconds at most.
    """

    listening: socket.socket
    count: int
    home: Path
    shutdown_s: int
    _workers: list[Worker] = field(init=False)
    _stopping: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._board = Board(self.home / "connections", self.count)
        self._workers = [Worker(number) for number in range(self.count)]

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end_all()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def keep(self) -> None:
        """Keep all workers alive until a signal stops this process. Blocks."""
        while not self._stopping:
            for worker in self._workers:
                self._look_after(worker)
            time.sleep(LOOK_S)

    def _look_after(self, worker: Worker) -> None:
        now_s = time.monotonic()
        if worker.process is not None:
            if worker.process.poll() is None:
                return
            worker.failures = worker.failures + 1 if now_s - worker.started_s < SOUND_AFTER_S else 0
            print(f"worker {worker.number} ended unasked (code {worker.process.returncode})", file=sys.stderr)
            self._forget(worker)
        if now_s >= worker.start_again_s():
            worker.started_s = now_s
            try:
                worker.process = self._start(worker.number)
            except OSError as error:  # no process or descriptor is free: the other workers go on
                worker.failures += 1
                print(f"worker {worker.number} could not be started: {error.strerror}", file=sys.stderr)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        words = [str(self.listening.fileno()), self.home / "connections", number, self.count, self.shutdown_s]
        return subprocess.Popen(
            [sys.executable, "-m", "serving.worker", *map(str, words)],
            cwd=ROOT,
            stdin=subprocess.PIPE,  # whose end tells the worker that this process is gone
            pass_fds=[self.listening.fileno()],
            start_new_session=True,  # Ctrl-C comes here alone, and stops the workers with grace
        )

    def _forget(self, worker: Worker) -> None:
        """Take a dead worker's connections off the board, and its gauges out of the metrics."""
        assert worker.process is not None
        self._board.write(worker.number, 0)
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            from prometheus_client.multiprocess import mark_process_dead

            mark_process_dead(worker.process.pid)  # type: ignore[no-untyped-call]
        worker.process = None

    def _stop(self, _: int, __: FrameType | None) -> None:
        self._stopping = True

    def _end_all(self) -> None:
        processes = [worker.process for worker in self._workers if worker.process is not None]
        for process in processes:
            process.terminate()
        until_s = time.monotonic() + self.shutdown_s + 5.0
        for process in processes:
            try:
                process.wait(timeout=max(0.0, until_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
