"""The whole way in one go, with the commands a user would type: simulate, train, record, serve, score."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from features.errors import BadEnvironment, BadUsage

START_LIMIT_S = 120
AS_OF = datetime(2025, 7, 1, tzinfo=UTC)  # where the simulated record ends
MARK = "DEMO.txt"  # a folder without it is not the demo's to clear
TIMES = pl.col("occurred_at", "recorded_at").dt.to_string("iso:strict")

console = Console()


def run(out: Path, customers: int) -> None:
    """Run the demo in the folder `out`, which is made anew, and stop everything it started.

    Raises BadUsage where `out` holds something else, BadEnvironment where a step fails.
    """
    out = out.resolve()
    if out.exists():
        if not (out / MARK).is_file():
            raise BadUsage("demo_folder", f"{out} exists and was not made by the demo; give another --out")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).write_text("Everything in this folder is simulated; `journeycast demo` makes it anew.\n", "utf-8")
    touchpoints = out / "simulated" / "touchpoints.parquet"
    console.rule("1. Simulate: nothing in this demo is real")
    _journeycast(out, "simulate", "--customers", str(customers), "--seed", "1", "--out", out / "simulated")
    console.rule("2. Train, record in MLflow, register")
    _journeycast(out, "train", "--touchpoints", touchpoints, "--out", out / "bundle", "--register")
    console.rule("3. Score everybody, in a batch")
    scores = out / "scores.parquet"
    moment = AS_OF.isoformat()
    champion = "models:/journeycast@champion"
    _journeycast(
        out,
        "score",
        "--bundle",
        champion,
        "--touchpoints",
        touchpoints,
        "--as-of",
        moment,
        "--reasons",
        "--out",
        scores,
    )
    scored = pl.read_parquet(scores)
    console.print(_market_table(scored))
    console.rule("4. Serve, and ask about one customer over HTTP")
    not_yet = scored.filter(pl.col("conversion_90d").is_not_null() & (pl.col("reliability") == "ok"))
    if not_yet.is_empty():
        raise BadUsage("demo_too_small", f"of {customers} customers none can be shown; give more --customers")
    warmest = not_yet.sort("conversion_90d", descending=True)[0]
    with _endpoint(out) as url:
        answer = _ask(out, url, touchpoints, str(warmest["customer_id"][0]))
    console.print(_customer_table(answer["scores"][0]))
    same = answer["scores"][0]["conversion_90d"] == warmest["conversion_90d"][0]
    if not same:
        raise BadEnvironment("demo_failed", "the endpoint and the batch differ; please report this")
    console.print("The endpoint and the batch agree to the last bit.")
    console.rule("Done")
    console.print(
        f"Everything is in {out}. The run, its figures and the model: mlflow ui --backend-store-uri {_store(out)}"
    )


def _store(out: Path) -> str:
    return f"sqlite:///{out / 'mlflow.db'}"


def _journeycast(out: Path, *arguments: object) -> None:
    words = [str(argument) for argument in arguments]
    _show(out, f"journeycast {' '.join(words)}")
    done = subprocess.run(_command(*words), cwd=out, env=_environment(out), check=False)
    if done.returncode:
        raise BadEnvironment(
            "demo_failed", f"`journeycast {words[0]}` ended with exit code {done.returncode}; see above"
        )


def _show(out: Path, command: str) -> None:
    console.print(f"$ {command.replace(f'{out}/', '')}", style="dim", markup=False, highlight=False, soft_wrap=True)


def _command(*words: str) -> list[str]:
    return [sys.executable, "-c", "import journeycast; journeycast.main()", *words]


def _environment(out: Path) -> dict[str, str]:
    return {**os.environ, "MLFLOW_TRACKING_URI": _store(out)}  # never a real registry


@contextmanager
def _endpoint(out: Path) -> Iterator[str]:
    """`journeycast serve` on a free port, until the block ends."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    words = ["serve", "--bundle", str(out / "bundle"), "--port", str(port)]
    _show(out, f"journeycast {' '.join(words)}")
    with (out / "serve.log").open("w") as log:
        server = subprocess.Popen(_command(*words), cwd=out, env=_environment(out), stdout=log, stderr=log)
    try:
        _wait_until_ready(url, server, out / "serve.log")
        yield url
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START_LIMIT_S
    while time.monotonic() < give_up and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise BadEnvironment("demo_failed", f"the endpoint did not become ready in {START_LIMIT_S} s; see {log}")


def _ask(out: Path, url: str, touchpoints: Path, customer_id: str) -> dict[str, Any]:
    history = pl.read_parquet(touchpoints).filter(pl.col("customer_id") == customer_id).with_columns(TIMES)
    rows = [{name: value for name, value in row.items() if value is not None} for row in history.iter_rows(named=True)]
    question = {
        "as_of": AS_OF.isoformat(),
        "customers": [{"customer_id": customer_id, "touchpoints": rows}],
        "reasons": True,
    }
    request = urllib.request.Request(
        f"{url}/score", json.dumps(question).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    _show(out, f"curl {url}/score -H 'Content-Type: application/json' -d '{{\"as_of\": …, \"customers\": […]}}'")
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    console.print(f"{len(rows)} touchpoints answered in {1000 * (time.perf_counter() - started):.0f} ms")
    return answer


def _market_table(scored: pl.DataFrame) -> Table:
    table = Table(title=f"Where the simulated market stands on {AS_OF:%d %B %Y}")
    for heading in ("stage", "customers", "share", "likely to buy in 30 days", "in 90 days", "of doubtful reliability"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    stages = [column.removeprefix("stage_") for column in scored.columns if column.startswith("stage_")]
    for stage in stages:
        part = scored.filter(pl.col("stage") == stage)
        doubtful = (part["reliability"] != "ok").mean() if len(part) else None
        table.add_row(
            stage,
            f"{len(part):,}",
            f"{len(part) / len(scored):.0%}",
            _percent(part["conversion_30d"].mean()),
            _percent(part["conversion_90d"].mean()),
            _percent(doubtful),
        )
    return table


def _customer_table(score: dict[str, Any]) -> Table:
    chance = f"{score['conversion_90d']:.0%} ({score['conversion_90d_low']:.0%} to {score['conversion_90d_high']:.0%})"
    table = Table(
        title=f"{score['customer_id']}: {score['stage']}, {chance} likely to buy within 90 days, "
        f"warmer than {math.floor(score['conversion_percentile'])} % of the market; reliability: {score['reliability']}"
    )
    table.add_column("why (30 days)")
    table.add_column("value", justify="right")
    table.add_column("effect on the log-odds", justify="right")
    for reason in score["reasons"]:
        value = "" if reason["value"] is None else f"{reason['value']:.4g}"
        table.add_row(reason["feature"], value, f"{reason['effect']:+.2f}")
    return table


def _percent(share: object) -> str:
    return f"{share:.1%}" if isinstance(share, float) else "–"
