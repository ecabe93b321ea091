"""The endpoint beside a tutorial's service and BentoML's own endpoint doing nothing, on loopback, under wrk.

One customer a request, 40 touchpoints, 8 of them messages. All servers run throughout, idle but for the one asked; the
contenders take turns, so that ratios are of one moment. wrk itself takes some 30 µs of a core for each request.

    python -m benchmarks.endpoint --bundle BUNDLE --touchpoints simulated/touchpoints.parquet
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
import psutil
from rich.console import Console

from serving.demo import _free_port as free_port

console = Console()
ROOT = Path(__file__).parents[1]
LUA = Path(__file__).with_name("calls.lua")
TOUCHPOINTS, MESSAGES, CUSTOMERS = 40, 8, 50
CASES = {"every message new": MESSAGES, "one of eight new": 1, "all cached": 0}
FLOORS = {"every message new": 12, "one of eight new": 60, "all cached": 150}
READY_S = 300
SERVE = "import journeycast; journeycast.main()"
WORDS = "We have asked about the price and the time it takes, and would like to know what comes next"


def main() -> None:
    """Measure what is asked for, all of it by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--touchpoints", type=Path, required=True, help="simulated ones, to take histories from")
    parser.add_argument("--seconds", type=float, default=5, help="of each run of wrk")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=0, help="of steady load, for the tail of the times")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32], help="beside the peers")
    parser.add_argument("--only", choices=["peers", "workers", "lists", "steady"])
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and the servers end as well
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        bench = Bench(Path(folder), given.bundle, given.seconds, given.rounds, given.clients, servers)
        bench.write_bodies(given.touchpoints)
        wanted = [given.only] if given.only else ["peers", "workers", "lists", *(["steady"] if given.minutes else [])]
        for part in wanted:
            console.rule(part)
            bench.steady(given.minutes or 1) if part == "steady" else getattr(bench, part)()


class Bench:
    """Servers by name, started when they are first asked, and the bodies to send."""

    def __init__(
        self, folder: Path, bundle: Path, seconds: float, rounds: int, clients: list[int], servers: ExitStack
    ) -> None:
        self._folder, self._bundle, self._seconds, self._rounds = folder, bundle, seconds, rounds
        self._clients = clients
        self._servers = servers
        self._ports: dict[str, int] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def write_bodies(self, touchpoints: Path) -> None:
        """One file a case, and one for a list; texts that are to be new each time are marked."""
        histories = list(_histories(pl.read_parquet(touchpoints)))[:CUSTOMERS]
        for case, new in CASES.items():
            self._write(case, [_request({f"c{i}": _marked(history, new)}) for i, history in enumerate(histories)])
        many = {f"c{i}": histories[i % len(histories)] for i in range(1_000)}
        self._write("list", [_request(many)])

    def peers(self) -> None:
        """Requests a second at 1, 8 and 32 clients, and at 8 the ratios to the peers."""
        ours, nothing, tutorial = self._start("1 worker"), self._start("do nothing"), self._start("tutorial")
        for clients in self._clients:
            found: dict[str, list[dict[str, float]]] = {}
            for _ in range(self._rounds):
                for name, port, case in [
                    ("tutorial", tutorial, "all cached"),
                    ("BentoML doing nothing", nothing, "all cached"),
                    *((case, ours, case) for case in CASES),
                ]:
                    found.setdefault(name, []).append(self._load(port, case, clients))
            _tell(f"{clients} clients", found)

    def workers(self) -> None:
        """Two workers against one, trial by trial."""
        one, two = self._start("1 worker"), self._start("2 workers")
        for case in ("every message new", "all cached"):
            ratios = []
            for _ in range(max(6, self._rounds)):
                rates = [self._load(port, case, 8)["per_s"] for port in (one, two)]
                ratios.append(rates[1] / rates[0])
            console.print(f"{case}: two workers / one, in each trial: {_figures(ratios)}")

    def lists(self) -> None:
        """Customers a second in one request of 1,000, and one by one."""
        port, ratios = self._start("1 worker"), []
        for _ in range(self._rounds):
            one_by_one, lists = self._load(port, "all cached", 1), self._load(port, "list", 1)
            ratios.append(1_000 * lists["per_s"] / one_by_one["per_s"])
        console.print(f"1,000 customers in a request / one by one, customers a second: {_figures(ratios)}")

    def steady(self, minutes: float) -> None:
        """The tail of the times, and the memory, over some minutes at 8 clients."""
        port, worker = self._start("1 worker"), self._workers("1 worker")[0]
        self._load(port, "all cached", 8)
        before = worker.memory_info().rss
        took = self._load(port, "all cached", 8, 60 * minutes)
        console.print(
            f"{minutes:g} minutes: {took['requests']:,.0f} requests, {took['per_s']:.0f}/s,"
            f" p50 {took['p50'] / 1e3:.2f} ms,"
            f" p99 {took['p99'] / 1e3:.2f} ms (× {took['p99'] / took['p50']:.1f}), resident memory"
            f" {before / 1e6:.0f} → {worker.memory_info().rss / 1e6:.0f} MB, {worker.num_fds()} file descriptors"
        )

    def _start(self, name: str) -> int:
        if name in self._ports:
            return self._ports[name]
        port = self._ports[name] = free_port()
        serve = [sys.executable, "-c", SERVE, "serve", "--bundle", str(self._bundle), "--port", str(port)]
        service = {"tutorial": "Tutorial", "do nothing": "DoNothing"}.get(name, "")
        stock = [sys.executable, "-m", "bentoml", "serve", f"benchmarks.tutorial_service:{service}", "-p", str(port)]
        environment = {"JOURNEYCAST_SERVE_WORKERS": name[0]} if name.endswith(("worker", "workers")) else {}
        environment |= {"BENTOML_HOME": str(self._folder / name), "JOURNEYCAST_CACHE": str(self._folder / "cache")}
        started = time.monotonic()
        process = self._servers.enter_context(_running(stock if service else serve, environment))
        self._processes[name] = process
        _wait_until_ready(port, process)
        ready_s = time.monotonic() - started
        if not service:
            self._warm(port)
        console.print(f"{name}: ready after {ready_s:.1f} s, MB a process (PSS): {self._memory(name)}")
        return port

    def _warm(self, port: int) -> None:
        """Send each body once, so that what is called cached is."""
        for body in (self._folder / "all cached").read_bytes().splitlines():
            headers = {"Content-Type": "application/json"}
            with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/score", body, headers)):
                pass

    def _workers(self, name: str) -> list[psutil.Process]:
        workers: list[psutil.Process] = psutil.Process(self._processes[name].pid).children(recursive=True)
        return workers

    def _memory(self, name: str) -> str:
        return _figures([process.memory_full_info().pss / 1e6 for process in self._workers(name)])

    def _load(self, port: int, case: str, clients: int, seconds: float | None = None) -> dict[str, float]:
        wrk = ["wrk", "-t1", f"-c{clients}", f"-d{seconds or self._seconds:.0f}s", "--timeout", "60s", "-s", str(LUA)]
        command = [*wrk, f"http://127.0.0.1:{port}/score", "--", str(self._folder / case)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        took: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        if took["not_200"] or took["lost"]:
            raise RuntimeError(f"{case}: {took['not_200']} answers were not 200, {took['lost']} were lost")
        return took | {"per_s": took["requests"] / took["us"] * 1e6}

    def _write(self, case: str, bodies: list[str]) -> None:
        (self._folder / case).write_text("\n".join(bodies) + "\n", "utf-8")


def _histories(frame: pl.DataFrame) -> Iterator[list[dict[str, Any]]]:
    """Customers' last touchpoints, 40 of each, 8 of them with a text: texts of others fill up what is missing."""
    texts = frame["text"].drop_nulls().to_list() or [WORDS]
    for number, (_, own) in enumerate(frame.sort("occurred_at").group_by("customer_id", maintain_order=True)):
        if own.height >= TOUCHPOINTS:
            rows = own.tail(TOUCHPOINTS).drop("customer_id").to_dicts()
            for place, row in enumerate(rows):
                row["text"] = texts[(number * MESSAGES + place) % len(texts)] if place % 5 == 0 else None
                for name in ("occurred_at", "recorded_at"):
                    row[name] = row[name] and row[name].isoformat()
            yield [{name: value for name, value in row.items() if value is not None} for row in rows]


def _marked(history: list[dict[str, Any]], new: int) -> list[dict[str, Any]]:
    said = [place for place, row in enumerate(history) if "text" in row][:new]
    return [row | {"text": row["text"] + " @N@"} if place in said else row for place, row in enumerate(history)]


def _request(histories: Mapping[str, list[dict[str, Any]]]) -> str:
    customers = [{"customer_id": name, "touchpoints": rows} for name, rows in histories.items()]
    return json.dumps({"as_of": _after(histories), "customers": customers})


def _after(histories: Mapping[str, list[dict[str, Any]]]) -> str:
    last = max(datetime.fromisoformat(row["occurred_at"]) for rows in histories.values() for row in rows)
    return (last + timedelta(days=1)).isoformat()


@contextmanager
def _running(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    quiet = {"BENTOML_DO_NOT_TRACK": "True", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **quiet, **environment}, stdout=nowhere, stderr=nowhere
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
    raise RuntimeError("the server did not become ready")


def _tell(title: str, found: Mapping[str, list[dict[str, float]]]) -> None:
    for name, runs in found.items():
        rates = [run["per_s"] for run in runs]
        p50, p99 = (median(run[part] for run in runs) / 1e3 for part in ("p50", "p99"))
        ratios = [run["per_s"] / peer["per_s"] for run, peer in zip(runs, found["tutorial"], strict=True)]
        words = f"{title:10} {name:22} {median(rates):8.1f}/s, p50 {p50:8.2f} ms, p99 {p99:8.2f} ms"
        floor = f" (floor {FLOORS[name]})" if name in FLOORS else ""
        console.print(f"{words}, × tutorial {median(ratios):6.1f}{floor}", soft_wrap=True)
    nothing = [run["per_s"] for run in found["BentoML doing nothing"]]
    shares = [run["per_s"] / peer for run, peer in zip(found["all cached"], nothing, strict=True)]
    console.print(f"{title:10} all cached / BentoML doing nothing: {_figures(shares)} (floor 0.6)")


def _figures(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" if value < 20 else f"{value:.0f}" for value in values)


if __name__ == "__main__":
    main()
