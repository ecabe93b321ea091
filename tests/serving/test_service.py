import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import psutil
import pytest
from starlette.testclient import TestClient

from features.event_log import EventLog, to_us
from features.journey import DEFAULT_JOURNEY
from models.bundle import load_bundle, save_bundle
from models.market_file import FresherMarket, write_market
from serving.schemas import Touchpoint
from serving.scorer import Scorer
from serving.settings import Settings
from training.fit import fit
from training.labels import rows_by_labels

ROOT = Path(__file__).parents[2]
AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
STARTING_S = 120
SERVERS: list[int] = []  # processes that were started
SERVE = """
import sys, pathlib, serving.launch
serving.launch.serve(pathlib.Path(sys.argv[1]), port=int(sys.argv[2]))
"""
JSON = {"Content-Type": "application/json"}
TOUCHPOINT = {"occurred_at": "2026-01-05T00:00:00Z", "channel": "web", "action": "viewed"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest bundle that training makes: six customers, all of one stage."""
    customer_ids = [f"c{i}" for i in range(6)]
    log = EventLog.from_records(
        [
            (customer_id, [Touchpoint(datetime(2026, 1, i + 1, tzinfo=UTC), "web", "viewed")])
            for i, customer_id in enumerate(customer_ids)
        ]
    )
    unknown = {
        "converted": pl.Series([None] * 6, dtype=pl.Boolean),
        "horizon_days": pl.Series([None] * 6, dtype=pl.Int32),
    }
    labels = pl.DataFrame({"customer_id": customer_ids, "as_of": [AS_OF] * 6, "stage": ["awareness"] * 6, **unknown})
    model = fit(rows_by_labels(DEFAULT_JOURNEY, log, labels), log, DEFAULT_JOURNEY, embed=None, seed=0)
    folder = tmp_path_factory.mktemp("bundles") / "smallest"
    save_bundle(model, None, folder)
    return folder


@contextmanager
def running(command: list[str], port: int, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server's process, from ready until it is stopped; its output goes to `log`."""
    quiet = {"BENTOML_HOME": str(log.parent), "BENTOML_DO_NOT_TRACK": "True"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | quiet | environment, stdout=output, stderr=subprocess.STDOUT
        )
    SERVERS.append(process.pid)
    try:
        wait_until_ready(process, port, log)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=STARTING_S)


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + STARTING_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(log.read_text())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "log"


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server looks for its bundle; tests put another there, and the first one back."""
    return shutil.copytree(bundle, tmp_path_factory.mktemp("served") / "bundle")


@pytest.fixture(scope="module")
def market(bundle: Path) -> Path:
    """A market fresher than the bundle's, beside it."""
    reader = load_bundle(bundle).model.reader
    viewed = [[Touchpoint(datetime(2026, 1, day, tzinfo=UTC), "web", "viewed")] for day in range(1, 8)]
    log = EventLog.from_records([(f"c{i}", touchpoints) for i, touchpoints in enumerate(viewed)])
    surveyed = reader.survey(log, np.array([to_us(AS_OF)], dtype=np.int64))
    write_market(FresherMarket(surveyed, {}), reader, bundle.parent / "market")
    return bundle.parent / "market"


@pytest.fixture(scope="module")
def server(served: Path, log: Path) -> Iterator[httpx.Client]:
    port = free_port()
    quick = {"JOURNEYCAST_SERVE_WATCH_S": "0.1", "JOURNEYCAST_SERVE_DRAIN_S": "0.1"}
    with running([sys.executable, "-c", SERVE, str(served), str(port)], port, log, **quick) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as caller:
            yield caller
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=STARTING_S) == 0


def test_the_server_gives_the_scorers_numbers(server: httpx.Client, bundle: Path) -> None:
    customers = [{"customer_id": "a", "touchpoints": [TOUCHPOINT]}, {"customer_id": "b", "touchpoints": []}]
    response = server.post("/score", json={"as_of": AS_OF.isoformat(), "customers": customers})
    touchpoints = [Touchpoint(datetime(2026, 1, 5, tzinfo=UTC), "web", "viewed")]
    scorer = Scorer.load(bundle)
    rows = scorer.score_histories([("a", touchpoints), ("b", [])], to_us(AS_OF))
    assert response.json() == {
        "model_version": scorer.model_version,
        "as_of": "2026-01-20T00:00:00Z",
        "scores": [row | {"as_of": "2026-01-20T00:00:00Z"} for row in rows],
    }
    assert [score["reliability"] for score in response.json()["scores"]] == ["little_data", "no_data"]


def test_the_server_describes_its_model(server: httpx.Client, bundle: Path) -> None:
    assert server.get("/model").json() == json.loads(json.dumps(Scorer.load(bundle).describe()))


def test_a_fresher_market_is_used_and_named(bundle: Path, market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from serving import service

    monkeypatch.setattr(service, "SETTINGS", Settings(bundle=bundle, market=market))
    opened = service._open(bundle)

    assert opened.describe() == Scorer.load(bundle, market=market).describe()
    assert opened.model_version != Scorer.load(bundle).model_version


@pytest.mark.parametrize("path", ["/docs.json", "/schema.json", "/static_content/index.css", "/healthz", "/score/"])
def test_no_page_of_stock_bentoml_is_open(server: httpx.Client, path: str) -> None:
    response = server.get(path)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_another_method_is_405_in_the_same_shape(server: httpx.Client) -> None:
    answers = [server.get("/score"), server.post("/metrics"), server.post("/livez")]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(405, "method_not_allowed")] * 3


@pytest.mark.parametrize(
    "sent", [b"FETCH /score HTTP/1.1\r\nHost: here\r\n\r\n", b"CANARY\r\n\r\n", b"\x16\x03\x01\x02"]
)
def test_what_is_no_http_is_told_so_in_the_same_shape(server: httpx.Client, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.base_url.port or 0), timeout=10) as caller:
        caller.sendall(sent)
        answer = b"".join(iter(lambda: caller.recv(65_536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nContent-Type: application/json\r\n" in head
    assert set(json.loads(content)) == {"code", "message", "request_id"}
    assert json.loads(content)["code"] == "malformed_http"
    assert b"CANARY" not in answer


def test_metrics_tell_requests_customers_scores_and_model_and_neither_they_nor_the_log_keep_what_was_sent(
    server: httpx.Client, bundle: Path, log: Path
) -> None:
    server.get("/CANARY")
    server.post(
        "/score", json={"customers": [{"customer_id": "CANARY", "touchpoints": [TOUCHPOINT | {"value": "CANARY"}]}]}
    )
    server.post("/score?q=CANARY", content=b"CANARY", headers={"Content-Type": "application/CANARY"})
    server.post("/score", json={"customers": [{"customer_id": "CANARY", "touchpoints": []}] * 2})
    metrics = server.get("/metrics").text
    counted = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(counted['journeycast_request_seconds_count{path="other",status="404"}']) >= 1
    assert float(counted['journeycast_request_seconds_count{path="/score",status="422"}']) == 1
    assert float(counted['journeycast_request_seconds_count{path="/score",status="415"}']) == 1
    assert float(counted['journeycast_customers_total{outcome="no_data"}']) >= 2
    assert counted['journeycast_messages_total{source="new"}'] == "0.0"  # this bundle reads no text
    version = Scorer.load(bundle).model_version
    assert any(name.startswith(f'journeycast_model_info{{model_version="{version}"') for name in counted)
    assert "CANARY" not in metrics + log.read_text()


def test_the_page_shows_a_customers_answer_in_a_browser(server: httpx.Client, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium on this machine")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    profile = [f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000", "--dump-dom"]
    url = f"{server.base_url}/#example"
    shown = subprocess.run([browser, *options, *profile, url], capture_output=True, text=True, timeout=STARTING_S)
    assert 'data-stage="awareness"' in shown.stdout, shown.stderr
    assert "Stage: awareness" in shown.stdout
    assert '<div class="fill" style="left: 0%; width: 100%;">' in shown.stdout  # the smallest bundle knows one stage
    assert '<p id="problem"></p>' in shown.stdout
    assert not re.search("Refused to|Content Security|Uncaught", shown.stderr)


def test_the_page_loads_nothing_from_elsewhere(server: httpx.Client) -> None:
    page = server.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "://" not in page.text
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def put(source: Path, served: Path) -> None:
    """Replace a bundle as training does: it is away for a moment, but never half there."""
    draft = shutil.copytree(source, served.with_name("draft"))
    served.rename(served.with_name("older"))
    draft.rename(served)
    shutil.rmtree(served.with_name("older"))


def until_served(server: httpx.Client, version: str) -> None:
    until = time.monotonic() + STARTING_S
    while server.get("/readyz").json()["model_version"] != version:
        assert time.monotonic() < until
        time.sleep(0.05)


def until_logged(log: Path, words: str, times: int) -> None:
    until = time.monotonic() + STARTING_S
    while log.read_text().count(words) < times:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_while_bundles_are_exchanged_and_damaged_no_answer_is_lost_or_mixed(
    server: httpx.Client, bundle: Path, plain_bundle: Path, served: Path, log: Path, tmp_path: Path
) -> None:
    body = {"as_of": AS_OF.isoformat(), "customers": [{"customer_id": "a", "touchpoints": [TOUCHPOINT]}] * 3}
    answers: list[httpx.Response] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.base_url) as caller:
            while not stop.is_set():
                answers.append(caller.post("/score", json=body))

    versions = {source: Scorer.load(source).model_version for source in (bundle, plain_bundle)}
    damaged = shutil.copytree(plain_bundle, tmp_path / "damaged")
    tree = damaged / "trees" / "stage.txt"
    tree.write_bytes(tree.read_bytes()[:-200])  # LightGBM would end the process
    golden = {}
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for round_ in range(3):
            put(plain_bundle, served)
            until_served(server, versions[plain_bundle])
            golden[versions[plain_bundle]] = server.post("/score", json=body).json()
            put(damaged, served)
            until_logged(log, "the bundle is refused: bundle_corrupt", round_ + 1)
            assert server.get("/readyz").json()["model_version"] == versions[plain_bundle]
            put(bundle, served)
            until_served(server, versions[bundle])
            golden[versions[bundle]] = server.post("/score", json=body).json()
    finally:
        stop.set()
        asking.join()
    assert {answer.status_code for answer in answers} == {200}
    assert set(golden) == set(versions.values())
    assert {answer.json()["model_version"] for answer in answers} == set(golden)
    assert all(answer.json() == golden[answer.json()["model_version"]] for answer in answers)
    for version, answer in golden.items():
        assert {score["model_version"] for score in answer["scores"]} == {version}


def test_a_worker_that_is_killed_comes_back(server: httpx.Client) -> None:
    worker = next(child for child in psutil.Process(SERVERS[0]).children() if "worker" in " ".join(child.cmdline()))
    worker.kill()
    worker.wait(10)
    answer = httpx.get(f"{server.base_url}/readyz", timeout=STARTING_S)
    assert answer.status_code == 200


def test_bentoml_serves_it_too_and_stopping_it_loses_no_request(bundle: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Journeycast", "--host", "127.0.0.1"]
    options = ["--port", str(port), "--timeout-graceful-shutdown", "27"]
    with running([*command, *options], port, tmp_path / "log", JOURNEYCAST_BUNDLE=str(bundle)) as process:
        body = json.dumps({"customers": [{"customer_id": "a", "touchpoints": []}]}).encode()
        head = (
            f"POST /score HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", port), timeout=STARTING_S) as caller:
            caller.sendall(head.encode() + body[:10])
            time.sleep(0.2)
            process.terminate()
            stopped = time.monotonic()
            url = f"http://127.0.0.1:{port}"
            while (ready := httpx.get(f"{url}/readyz")).status_code == 200:
                assert time.monotonic() < stopped + 1
            assert (ready.status_code, ready.json()["code"]) == (503, "draining")
            answers = [httpx.get(f"{url}/livez"), httpx.post(f"{url}/score", content=body, headers=JSON)]
            assert [(answer.status_code, answer.headers["connection"]) for answer in answers] == [(200, "close")] * 2
            time.sleep(max(0.0, stopped + 2.5 - time.monotonic()))  # past the grace
            caller.sendall(body[10:])
            assert caller.recv(100).startswith(b"HTTP/1.1 200 OK")
        assert process.wait(timeout=STARTING_S) == 0
        assert time.monotonic() < stopped + 30


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The service's module, imported without a bundle; BentoML's own imports warn."""
    with pytest.MonkeyPatch.context() as environment, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        environment.setenv("BENTOML_HOME", str(tmp_path_factory.mktemp("bentoml")))
        for variable in ("BENTOML_DO_NOT_TRACK", "JOURNEYCAST_BUNDLE"):
            environment.setenv(variable, "")  # `serve` sets both; so they are put back at the end
        environment.delenv("JOURNEYCAST_BUNDLE")
        import serving.service

        yield serving.service


def test_without_a_bundle_the_service_is_live_but_not_ready(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    with TestClient(service.Journeycast.to_asgi()) as caller:
        assert caller.get("/livez").status_code == 200
        answers = [caller.get("/readyz"), caller.get("/model"), caller.post("/score", json={})]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(503, "not_ready")] * 3
    assert "not ready: no_bundle: JOURNEYCAST_BUNDLE is not set" in caplog.text


def test_the_timeout_whose_timers_stay_is_left_out(service: Any) -> None:
    def middleware(app: Any) -> set[str]:
        return {item.cls.__name__ for item in app.user_middleware}

    behind_the_door = service.Journeycast.to_asgi().bentoml_app
    stock = super(service.GuardedService, service.Journeycast).to_asgi()
    assert middleware(stock) - middleware(behind_the_door) == {"TimeoutMiddleware"}


def test_where_its_log_or_traces_are_wanted_bentoml_sees_the_calls(service: Any) -> None:
    """Otherwise they do not pay for its middleware."""

    def called(is_watched: bool, method: str, path: str) -> str:
        calls: list[str] = []

        def app(name: str) -> Any:
            async def note(*_: Any) -> None:
                calls.append(name)

            return note

        door = service.FrontDoor(app("bentoml"), app("ours"), is_watched)
        scope = {"type": "http", "method": method, "path": path}
        asyncio.run(door(scope, app("receive"), app("send")))
        return calls[0]

    assert [called(is_watched, "POST", "/score") for is_watched in (True, False)] == ["bentoml", "ours"]
    assert [called(True, method, path) for method, path in (("GET", "/"), ("GET", "/docs.json"))] == ["ours"] * 2
