"""A canary in every field and key of a request, over every way a request can end: it is found nowhere afterwards."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
CANARY = "c4n4ry"
STARTING_S = 120
FIELDS = ("channel", "action", "event_id", "campaign", "variant", "conversation_id", "text", "actor", "value")
TIMES = ("occurred_at", "recorded_at")
TOUCHPOINT = {"occurred_at": "2026-01-05T00:00:00Z", "channel": "web", "action": "visited"}
JSON = {"Content-Type": "application/json"}


def bodies() -> Iterator[bytes]:
    """The canary as each value, as each key, and in what is no request."""
    for name in (*FIELDS, *TIMES):
        for value in (CANARY, [CANARY], {CANARY: 1}):
            yield body(TOUCHPOINT | {name: value})
    yield body(TOUCHPOINT | {CANARY: 1})
    for document in ({CANARY: 1}, [CANARY], {"customers": [{CANARY: 1}]}, {"customers": CANARY}, {"as_of": CANARY}):
        yield json.dumps(document).encode()
    whole = body(TOUCHPOINT | {"text": CANARY})
    yield from (whole[:-1], whole + b"\xff", b"\xef\xbb\xbf" + whole, whole.replace(b'"text"', b'"web", "text"'))
    yield whole.replace(b'"text"', b'"action": "visited", "text"')


def body(touchpoint: dict[str, Any]) -> bytes:
    return json.dumps({"customers": [{"customer_id": CANARY, "touchpoints": [touchpoint]}]}).encode()


@contextmanager
def endpoint(bundle: Path, folder: Path) -> Iterator[str]:
    """`journeycast serve` with all its temporary files in `folder/temporary` and its words in `folder/log`."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    (folder / "temporary").mkdir()
    places = {"TMPDIR": folder / "temporary", "JOURNEYCAST_CACHE": folder / "temporary" / "cache"}
    settings = {"DRAIN_S": "0.1", "BODY_LIMIT_BYTES": "20000", "ACCESS_LOG": "true", "DEADLINE_S": "5"}
    environment = os.environ | {name: str(path) for name, path in places.items()}
    environment |= {f"JOURNEYCAST_SERVE_{name}": value for name, value in settings.items()}
    environment.pop("BENTOML_HOME", None)
    command = [sys.executable, "-c", "import journeycast; journeycast.main()", "serve"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--bundle", str(bundle), "--port", str(port)], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + STARTING_S
    try:
        while not is_ready(url):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STARTING_S)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_what_was_sent_is_found_nowhere(plain_bundle: Path, tmp_path: Path) -> None:
    statuses: set[int] = set()
    with endpoint(plain_bundle, tmp_path) as url, httpx.Client(base_url=url) as caller:
        for sent in bodies():
            for path in ("/score", "/explain"):
                answer = caller.post(
                    f"{path}?{CANARY}={CANARY}", content=sent, headers=JSON | {"X-Request-ID": f"{CANARY}!"}
                )
                statuses.add(answer.status_code)
                assert answer.status_code == 200 or CANARY not in answer.text
        others = [
            caller.post("/score", content=sent, headers={"Content-Type": f"text/{CANARY}"}),
            caller.post("/score", content=sent, headers=JSON | {"Content-Encoding": CANARY}),
            caller.post("/score", content=sent + CANARY.encode() * 5_000, headers=JSON),
            caller.post("/score", content=sent, headers=JSON | {"Idempotency-Key": CANARY * 50}),
            caller.post(f"/{CANARY}", content=sent, headers=JSON),
            caller.request(CANARY.upper(), "/score"),
            caller.patch("/score", content=sent, headers=JSON),
            caller.get("/model", headers={"Authorization": f"Bearer {CANARY}", "Cookie": CANARY, "User-Agent": CANARY}),
        ]
        statuses |= {answer.status_code for answer in others}
        assert not [answer for answer in others if CANARY in answer.text.lower()]
        metrics = caller.get("/metrics").text
        kept = [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()]
        assert kept  # the metrics of the worker, at least
        found = [path for path in kept if CANARY.encode() in path.read_bytes().lower()]
    assert {200, 400, 404, 405, 413, 415, 422} <= statuses
    assert CANARY not in metrics.lower()
    assert CANARY not in (tmp_path / "log").read_text().lower()
    assert found == []
    assert re.search(r"journeycast_request_seconds_count\{path=\"other\"", metrics)
