"""What the endpoint promises, kept under load: drain, swap, shed, timeouts, integrity, hostile input.

    python -m benchmarks.promises drain --bundle BUNDLE [--times 20]
    python -m benchmarks.promises swap --bundle BUNDLE --other OTHER [--seconds 60 --swaps 100 --corrupt 20]
    python -m benchmarks.promises shed --bundle BUNDLE [--seconds 30]
    python -m benchmarks.promises timeouts --bundle BUNDLE [--times 200]
    python -m benchmarks.promises integrity --bundle BUNDLE [--times 2000]
    python -m benchmarks.promises hostile --bundle BUNDLE [--times 20000]

Each prints its figures and ends with 1 where the promise is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import psutil

from benchmarks.endpoint import READY_S, SERVE, _running
from features.errors import Fault
from models.bundle_files import read_bundle_files
from serving.demo import _free_port as free_port

AS_OF = "2025-07-01T00:00:00Z"
JSON = {"Content-Type": "application/json"}


def main() -> None:
    """Run one promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("promise", choices=["drain", "swap", "shed", "timeouts", "integrity", "hostile"])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--times", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--corrupt", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and the servers end as well
    with tempfile.TemporaryDirectory() as folder:
        faults = globals()[given.promise](given, Path(folder))
    print("kept" if not faults else f"BROKEN: {faults}")
    sys.exit(bool(faults))


def body_of(customers: int, texts: str = "", touchpoints: int = 40) -> bytes:
    """A request; `texts`, where given, make each customer's messages new."""
    rows = [
        {"occurred_at": f"2025-0{1 + i % 6}-{1 + i % 28:02}T09:00:00Z", "channel": "web", "action": "viewed"}
        for i in range(touchpoints)
    ]

    def said(customer: int) -> list[dict[str, str]]:
        asks = f"{texts}: {customer} asks what {{}} of them would cost"
        return [row | {"text": asks.format(i)} if texts and i < 8 else row for i, row in enumerate(rows)]

    asked = [{"customer_id": f"c{i}", "touchpoints": said(i)} for i in range(customers)]
    return json.dumps({"as_of": AS_OF, "customers": asked}).encode()


@contextmanager
def endpoint(bundle: Path, folder: Path, **settings: Any) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`journeycast serve` on a free port: its address and process."""
    port = free_port()
    environment = {f"JOURNEYCAST_SERVE_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= {"JOURNEYCAST_CACHE": str(folder / "cache")}
    command = [sys.executable, "-c", SERVE, "serve", "--bundle", str(bundle), "--port", str(port)]
    with _running(command, environment) as process:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + READY_S
        while not _is_ready(url):
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError("the server did not become ready")
            time.sleep(0.1)
        yield url, process


def drain(given: Any, folder: Path) -> list[str]:
    """SIGTERM under 20 requests a second, again and again, callers behind a proxy that looks at /readyz."""
    faults: list[str] = []
    for time_ in range(given.times or 20):
        with endpoint(given.bundle, folder) as (old, process), endpoint(given.bundle, folder) as (new, _):
            statuses, took_s = asyncio.run(_drain_once(old, new, process))
        print(f"{time_ + 1}: {dict(statuses)}, not ready after {took_s[0]:.2f} s, ended after {took_s[1]:.1f} s")
        faults += [f"{time_}: {status}" for status in statuses if status != 200]
        faults += [f"{time_}: slow"] if took_s[0] > 0.5 or took_s[1] > 30 else []
    return faults


async def _drain_once(old: str, new: str, process: subprocess.Popen[bytes]) -> tuple[Counter[Any], tuple[float, float]]:
    statuses: Counter[Any] = Counter()
    async with httpx.AsyncClient(timeout=40) as caller:
        to = [old]

        async def ask() -> None:
            try:
                statuses[(await caller.post(f"{to[0]}/score", content=body_of(1), headers=JSON)).status_code] += 1
            except httpx.TransportError as error:
                statuses[type(error).__name__] += 1

        asking: list[asyncio.Task[None]] = []
        unready_s = ended_s = stopped_s = 0.0
        for tick in range(20 * 6):
            if tick == 20:
                process.terminate()
                stopped_s = time.monotonic()
            if tick >= 20 and to[0] == old and tick % 4 == 0:  # the proxy looks five times a second
                ready, live = [await caller.get(f"{old}{path}") for path in ("/readyz", "/livez")]
                if ready.status_code == 503:
                    unready_s, to[0] = time.monotonic() - stopped_s, new
                statuses["livez failed"] += live.status_code != 200
            asking.append(asyncio.create_task(ask()))
            await asyncio.sleep(0.05)
        await asyncio.gather(*asking)
        while process.poll() is None:
            await asyncio.sleep(0.05)
        ended_s = time.monotonic() - stopped_s
    return +statuses, (unready_s, ended_s)


def swap(given: Any, folder: Path) -> list[str]:
    """Models change places under load, damaged ones among them: every answer is that of its stated version."""
    sources = [given.bundle, given.other]
    damaged = shutil.copytree(given.bundle, folder / "damaged")
    tree = next((damaged / "trees").iterdir())
    tree.write_bytes(tree.read_bytes()[:-100])
    served = shutil.copytree(given.bundle, folder / "served")
    seconds = given.seconds or 60
    events = ["swap"] * given.swaps + ["corrupt"] * given.corrupt
    random.Random(given.seed).shuffle(events)
    with endpoint(served, folder, watch_s=0.05) as (url, _), httpx.Client(timeout=60) as caller:
        body = body_of(3)
        golden: dict[str, Any] = {}
        for source in reversed(sources):
            _put(source, served)
            version = read_bundle_files(source)[0]
            while caller.get(f"{url}/readyz").json()["model_version"] != version:
                time.sleep(0.05)
            golden[version] = caller.post(f"{url}/score", content=body, headers=JSON).json()
        answers = asyncio.run(_swap_under_load(url, body, served, sources, damaged, events, seconds))
    statuses = Counter(status for status, _ in answers)
    versions = Counter(answer.get("model_version") for _, answer in answers)
    mixed = sum(answer != golden.get(answer.get("model_version")) for status, answer in answers if status == 200)
    print(f"{len(answers)} answers {dict(statuses)}, by version {dict(versions)}, {mixed} mixed, {len(events)} events")
    return [f"{dict(statuses)}"] if set(statuses) != {200} else [f"{mixed} mixed"] if mixed else []


async def _swap_under_load(
    url: str, body: bytes, served: Path, sources: list[Path], damaged: Path, events: list[str], seconds: float
) -> list[tuple[int, Any]]:
    answers: list[tuple[int, Any]] = []
    over = asyncio.Event()

    async def ask(caller: httpx.AsyncClient) -> None:
        while not over.is_set():
            answer = await caller.post(f"{url}/score", content=body, headers=JSON)
            answers.append((answer.status_code, answer.json()))

    async with httpx.AsyncClient(timeout=60) as caller:
        asking = [asyncio.create_task(ask(caller)) for _ in range(4)]
        swaps = 0
        for event in events:
            swaps += event == "swap"
            await asyncio.to_thread(_put, damaged if event == "corrupt" else sources[swaps % 2], served)
            await asyncio.sleep(seconds / len(events))
        over.set()
        await asyncio.gather(*asking)
    return answers


def shed(given: Any, folder: Path) -> list[str]:
    """Ten times the load that can be answered: the rest is told quickly to come back, and soon all is as before."""
    seconds = given.seconds or 30
    with endpoint(given.bundle, folder, requests_at_once=8) as (url, _):
        capacity = len(asyncio.run(_flood(url, 4, min(10.0, seconds)))) / min(10.0, seconds)
        answers = asyncio.run(_flood(url, 80, seconds))
        started = time.monotonic()
        while httpx.post(f"{url}/score", content=body_of(1), headers=JSON).status_code != 200:
            time.sleep(0.05)
        back_s = time.monotonic() - started
    statuses = Counter(status for status, _, _ in answers)
    refused = [took_s for status, took_s, _ in answers if status in (429, 503)]
    untold = sum(not told for status, _, told in answers if status in (429, 503))
    p99_ms = 1_000 * quantiles(refused, n=100)[98] if len(refused) > 1 else 0.0
    goodput = statuses[200] / seconds / capacity
    print(f"capacity {capacity:.0f}/s; {dict(statuses)}; rejection p99 {p99_ms:.0f} ms; goodput {goodput:.0%};"
          f" back after {back_s:.2f} s; {untold} without Retry-After")  # fmt: skip
    checks = {"status": set(statuses) <= {200, 429, 503}, "untold": not untold, "slow": p99_ms < 50,
              "goodput": goodput >= 0.8, "back": back_s <= 2}  # fmt: skip
    return [name for name, kept in checks.items() if not kept]


async def _flood(url: str, clients: int, seconds: float) -> list[tuple[int, float, bool]]:
    answers: list[tuple[int, float, bool]] = []
    until = time.monotonic() + seconds

    async def ask(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        while (begun := time.monotonic()) < until:
            status, headers = await _posted(reader, writer, body_of(1, f"{number} {begun}"))
            answers.append((status, time.monotonic() - begun, b"retry-after:" in headers))
            if status != 200:
                await asyncio.sleep(0.2)  # a caller who is told to wait a second comes back early
        writer.close()

    await asyncio.gather(*(ask(number) for number in range(clients)))
    return answers


async def _posted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> tuple[int, bytes]:
    """The status and the headers of an answer. By hand: a client's own library would take longer than the server."""
    head = (
        f"POST /score HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    headers = (await reader.readuntil(b"\r\n\r\n")).lower()
    (length,) = re.findall(rb"content-length: (\d+)", headers)
    await reader.readexactly(int(length))
    return int(headers.split()[1]), headers


def timeouts(given: Any, folder: Path) -> list[str]:
    """Requests that cannot be done within the limit end there, and leave no thread behind."""
    limit_s = 0.5
    with endpoint(given.bundle, folder, deadline_s=limit_s) as (url, process), httpx.Client(timeout=60) as caller:
        worker = psutil.Process(process.pid).children()[0]
        before, statuses, slowest_s = worker.num_threads(), Counter[int](), 0.0
        for number in range(given.times or 200):
            body = body_of(30, f"request {number}")
            begun = time.monotonic()
            statuses[caller.post(f"{url}/score", content=body, headers=JSON).status_code] += 1
            slowest_s = max(slowest_s, time.monotonic() - begun)
        more = worker.num_threads() - before
        time.sleep(1.0)
        after = caller.post(f"{url}/score", content=body_of(1), headers=JSON).status_code
    print(f"{dict(statuses)}, slowest {slowest_s:.2f} s at a limit of {limit_s} s, {more} more threads, then {after}")
    checks = {"status": statuses[504] > 0 and set(statuses) <= {200, 504}, "slow": slowest_s <= limit_s + 0.5,
              "threads": more <= 2, "after": after == 200}  # fmt: skip
    return [name for name, kept in checks.items() if not kept]


def integrity(given: Any, folder: Path) -> list[str]:
    """Flips, truncations and links: each is refused before anything is parsed."""
    draw, missed = random.Random(given.seed), []
    names = sorted(path.relative_to(given.bundle) for path in given.bundle.rglob("*") if path.is_file())
    copy = shutil.copytree(given.bundle, folder / "copy")
    for number in range(given.times or 2_000):
        path, how = copy / draw.choice(names), draw.choice([_flip, _truncate, _link])
        kept = path.read_bytes()
        how(path, draw, folder)
        try:
            read_bundle_files(copy)
            missed.append(f"{number}: {how.__name__} of {path.name}")
        except Fault:
            pass
        path.unlink(missing_ok=True)
        path.write_bytes(kept)
    read_bundle_files(copy)
    print(f"{given.times or 2_000} damages, {len(missed)} not refused")
    return missed


def _flip(path: Path, draw: random.Random, _: Path) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def _truncate(path: Path, draw: random.Random, _: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])


def _link(path: Path, _: random.Random, folder: Path) -> None:
    shutil.copy(path, folder / "elsewhere")
    path.unlink()
    path.symlink_to(folder / "elsewhere")


def hostile(given: Any, folder: Path) -> list[str]:
    """Seeded requests, most of them spoilt: every answer is JSON, no fault is ours, scores are probabilities."""
    spoil: list[Callable[[random.Random, bytes], bytes]] = [_as_it_is, _cut, _scribble, _odd_value, _odd_key, _nested]
    faults, statuses = [], Counter[int]()
    with endpoint(given.bundle, folder) as (url, process), httpx.Client(timeout=60) as caller:
        workers = {child.pid for child in psutil.Process(process.pid).children()}
        for number in range(given.times or 20_000):
            draw = random.Random(f"{given.seed} {number}")
            body = draw.choice(spoil)(draw, body_of(draw.randrange(1, 3), touchpoints=draw.randrange(3)))
            path = draw.choice(["/score", "/score", "/score", "/explain"])
            answer = caller.post(f"{url}{path}", content=body, headers=JSON)
            statuses[answer.status_code] += 1
            if not _is_lawful(answer):
                faults.append(f"request {number}: {answer.status_code}")
        if {child.pid for child in psutil.Process(process.pid).children()} != workers:
            faults.append("a worker died")
    print(f"{sum(statuses.values())} requests: {dict(sorted(statuses.items()))}, {len(faults)} unlawful answers")
    return faults


def _is_lawful(answer: httpx.Response) -> bool:
    content = answer.json()
    if answer.status_code != 200:
        return answer.status_code in (400, 413, 422) and {"code", "message", "request_id"} <= set(content)
    rows = [row for row in content["scores"] if "error" not in row]
    shares = [value for row in rows for name, value in row.items()
              if name.startswith(("stage_", "conversion_")) and name != "conversion_percentile"]  # fmt: skip
    return all(value is None or 0 <= value <= 1 for value in shares)


def _as_it_is(_: random.Random, body: bytes) -> bytes:
    return body


def _cut(draw: random.Random, body: bytes) -> bytes:
    return body[: draw.randrange(len(body))]


def _scribble(draw: random.Random, body: bytes) -> bytes:
    spoilt = bytearray(body)
    for _ in range(draw.randrange(1, 4)):
        spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
    return bytes(spoilt)


def _odd_value(draw: random.Random, body: bytes) -> bytes:
    words = [b'"viewed"', b'"web"', b'"c0"', f'"{AS_OF}"'.encode(), b'"2025-01-01T09:00:00Z"']
    odd = [b"null", b"true", b"-0.0", b"1e999", b"NaN", b'""', b'"\\u0000"', b'"\\ud800"', b"[]", b"{}", b"9" * 400,
           b'"0001-01-01T00:00:00+14:00"', b'"9999-12-31T23:59:59-14:00"', b'"' + b"x" * 9_999 + b'"']  # fmt: skip
    return body.replace(draw.choice(words), draw.choice(odd), draw.randrange(1, 3))


def _odd_key(draw: random.Random, body: bytes) -> bytes:
    keys = [b'"channel"', b'"action"', b'"customer_id"', b'"touchpoints"', b'"customers"', b'"as_of"']
    return body.replace(draw.choice(keys), draw.choice([b'"__proto__"', b'"text"', b'"value"', b'""', *keys]), 1)


def _nested(draw: random.Random, body: bytes) -> bytes:
    depth = draw.choice([10, 1_000, 100_000])
    return body.replace(b'"viewed"', b"[" * depth + b"]" * depth, 1)


def _put(source: Path, served: Path) -> None:
    """Replace the served bundle whole, as training does."""
    draft = shutil.copytree(source, served.with_name("draft"))
    served.rename(served.with_name("older"))
    draft.rename(served)
    shutil.rmtree(served.with_name("older"))


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
