"""The feature pass beside Polars and pandas: one moment, a grid of moments, one customer, and a long stream.

Everything is measured in one run, on drawn touchpoints (40 for each customer). The peers compute the counts, sums,
firsts and lasts that a group_by expresses well; this program computes all its features, of which those are a part.
`--touchpoints 10_000_000 --stream 100_000_000` is the full size, and takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console

from benchmarks.feature_peers import compared_columns, drawn_vocabulary, polars_query, resident_kib
from benchmarks.simulated_log import AS_OF_US, TOUCHPOINTS_EACH, log_bytes, simulated_log
from features.aggregate import Float32s, aggregate, width
from features.event_log import DAY_US, EventLog, Floats, Int64s, from_us
from features.vocabulary import Vocabulary

MOMENTS = 24  # of the grid, a week apart
CHUNK_CUSTOMERS = 25_000

console = Console(highlight=False)


@dataclass(frozen=True)
class Record:
    """A touchpoint as it comes parsed from a request."""

    occurred_at: datetime
    channel: str
    action: str
    event_id: str | None
    recorded_at: datetime | None
    actor: str
    value: float | None
    campaign: str | None = None
    variant: str | None = None
    conversation_id: str | None = None
    text: str | None = None


def main() -> None:
    """Print all four measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--touchpoints", type=int, default=1_000_000, help="of the comparison with the peers")
    parser.add_argument("--grid", type=int, default=200_000, help="touchpoints of the grid's customers")
    parser.add_argument("--stream", type=int, default=5_000_000, help="touchpoints of the stream")
    arguments = parser.parse_args()
    log, vocabulary = simulated_log(1000, seed=0), drawn_vocabulary()
    console.print(f"{width(vocabulary)} features; {len(compared_columns(vocabulary))} of them by the peers as well\n")
    beside_the_peers(arguments.touchpoints, log_bytes(log) / len(log))
    grid_of_moments(arguments.grid // TOUCHPOINTS_EACH, vocabulary)
    one_customer(log, vocabulary)
    stream(arguments.stream, vocabulary)


def beside_the_peers(touchpoints: int, bytes_each: float) -> None:
    """One moment: each contender in a process of its own, one thread, and Polars with all."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            name: _contend(contender, touchpoints // TOUCHPOINTS_EACH, threads, Path(folder) / f"{name}.npy")
            for name, contender, threads in (
                ("journeycast", "journeycast", 1),
                ("polars, 1 thread", "polars", 1),
                ("polars, all threads", "polars", os.cpu_count() or 1),
                ("pandas", "pandas", 1),
            )
        }
    ours, our_features = runs["journeycast"]
    console.print(f"[bold]One moment, {touchpoints:,} touchpoints[/]")
    for name, (took, features) in runs.items():
        apart = np.abs(features - our_features) / np.maximum(1.0, np.abs(our_features))
        memory = 1 + took["extra_bytes"] / (bytes_each * touchpoints)
        times, cpu_times = (took[clock] / ours[clock] for clock in ("seconds", "cpu_seconds"))
        console.print(
            f"{name:20} {touchpoints / took['seconds'] / 1e6:6.2f} M touchpoints/s; takes {times:4.1f} x the time,"
            f" {cpu_times:4.1f} x the CPU time; {memory:3.1f} x the log's memory; values apart by {apart.max():.0e}",
            soft_wrap=True,
        )


def _contend(contender: str, customers: int, threads: int, out: Path) -> tuple[dict[str, float], Floats]:
    environment = {**os.environ, "POLARS_MAX_THREADS": str(threads), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.feature_peers", contender, str(customers), str(out)]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(printed), np.load(out)


def grid_of_moments(customers: int, vocabulary: Vocabulary) -> None:
    """24 moments, a week apart, against one, and against only writing so many rows; the same bits as 24 passes."""
    log = simulated_log(customers, seed=1)
    weeks = AS_OF_US - 7 * DAY_US * np.arange(MOMENTS)[::-1]
    everybody = np.arange(customers)

    def features(moments: Int64s) -> Float32s:
        hidden = np.zeros(len(log), dtype=np.bool_)
        return aggregate(log, vocabulary, hidden, everybody.repeat(len(moments)), np.tile(moments, customers))

    def write() -> Float32s:
        return np.full((customers * MOMENTS, width(vocabulary)), 1, dtype=np.float32)

    one = _seconds(lambda: features(weeks[-1:]), 9)
    grid, written = _seconds(lambda: features(weeks), 5), _seconds(write, 5)
    rows = features(weeks).reshape(customers, MOMENTS, -1)
    same = all(np.array_equal(rows[:, i], features(weeks[[i]]), equal_nan=True) for i in range(MOMENTS))
    console.print(f"\n[bold]{MOMENTS} moments of {customers:,} customers[/]")
    console.print(f"{grid / one:.1f} x one moment; {grid / written:.1f} x writing the rows; the same bits: {same}")


def one_customer(log: EventLog, vocabulary: Vocabulary) -> None:
    """From parsed records to the row of features, against a Polars frame of the same customer."""
    histories = [_records(log, customer) for customer in range(300)]
    ours = [_seconds(partial(_row, history, vocabulary), 3) for history in histories]
    peers = [_seconds(partial(_polars_row, history, log, vocabulary), 1) for history in histories[:40]]
    ms, peer_ms = 1000 * statistics.median(ours), 1000 * statistics.median(peers)
    console.print(f"\n[bold]One customer with {TOUCHPOINTS_EACH} touchpoints[/]")
    console.print(f"{ms:.3f} ms (fastest {1000 * min(ours):.3f}); Polars {peer_ms:.1f} ms, x{peer_ms / ms:.0f}")


def _records(log: EventLog, customer: int) -> list[Record]:
    rows = range(log.offsets[customer], log.offsets[customer + 1])
    return [
        Record(
            occurred_at=from_us(log.occurred_us[row]),
            channel=log.channels[log.channel[row]],
            action=log.actions[log.action[row]],
            event_id=f"event {row}",
            recorded_at=None,
            actor="company" if log.is_company[row] else "customer",
            value=None if np.isnan(log.value[row]) else float(log.value[row]),
        )
        for row in rows
    ]


def _row(history: list[Record], vocabulary: Vocabulary) -> Float32s:
    log = EventLog.from_records([("somebody", history)])
    hidden, nobody_else = np.zeros(len(log), dtype=np.bool_), np.zeros(1, dtype=np.int64)
    return aggregate(log, vocabulary, hidden, nobody_else, np.array([AS_OF_US], dtype=np.int64))


def _polars_row(history: list[Record], log: EventLog, vocabulary: Vocabulary) -> pl.DataFrame:
    columns: dict[str, Any] = {
        "customer": [0] * len(history),
        "occurred_at": [record.occurred_at for record in history],
        "is_company": [record.actor == "company" for record in history],
        "channel": [log.channels.index(record.channel) for record in history],
        "action": [log.actions.index(record.action) for record in history],
        "value": [record.value for record in history],
    }
    age_days = (pl.lit(from_us(AS_OF_US)) - pl.col("occurred_at")).dt.total_microseconds() / DAY_US
    return polars_query(pl.DataFrame(columns).with_columns(age_days=age_days), log, vocabulary).collect()


def stream(touchpoints: int, vocabulary: Vocabulary) -> None:
    """Partition after partition of customers: the memory does not grow with the list."""
    before_kib, seconds, chunks = resident_kib(), 0.0, touchpoints // (CHUNK_CUSTOMERS * TOUCHPOINTS_EACH)
    for seed in range(chunks):
        log = simulated_log(CHUNK_CUSTOMERS, seed)
        hidden, everybody = np.zeros(len(log), dtype=np.bool_), np.arange(CHUNK_CUSTOMERS)
        moments = np.full(CHUNK_CUSTOMERS, AS_OF_US)
        seconds += _seconds(partial(aggregate, log, vocabulary, hidden, everybody, moments), 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    streamed = chunks * CHUNK_CUSTOMERS * TOUCHPOINTS_EACH
    console.print(f"\n[bold]{streamed:,} touchpoints in {chunks} partitions of {CHUNK_CUSTOMERS:,} customers[/]")
    console.print(
        f"{streamed / seconds / 1e6:.2f} M touchpoints/s;"
        f" resident {before_kib / 2**20:.2f} GiB before, at most {peak / 2**20:.2f} GiB"
    )


def _seconds(run: Callable[[], object], times: int) -> float:
    """The fastest of so many runs: what others on the machine do only adds."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        took.append(time.perf_counter() - started)
    return min(took)


if __name__ == "__main__":
    main()
