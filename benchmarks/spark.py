"""What a second executor gains, what Spark costs beside one machine's own engine, and a plan for any list.

Simulated customers under other ids, about 50 touchpoints each, without text. Each engine runs in a process of its own
and scores a short list first, so that starting Java, Python and compiled passes is not counted; then the long list is
timed, engine after engine, `--rounds` times over. An executor has one core; the local engine runs as it always does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
from rich.console import Console

from benchmarks.lists import repeated
from features.event_log import to_us
from features.simulate import simulate

SEED_CUSTOMERS = 4000
ENGINES = {
    "Spark, 1 executor": "local-cluster[1,1,2048]",
    "Spark, 2 executors": "local-cluster[2,1,2048]",
    "local engine, 2 cores": "",
}

console = Console(highlight=False)


def main() -> None:
    """Print customers/s of each engine, the two ratios, and the plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="one that reads no text")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--plan-customers", type=int, default=10**9)
    parser.add_argument("--core-hour-price", type=float, default=0.04, help="in the money of your cloud")
    parser.add_argument("--engine", help="used by this program itself")
    parser.add_argument("--folder", type=Path, help="used by this program itself")
    given = parser.parse_args()
    if given.engine is not None:
        print(json.dumps(seconds_of(given.engine, given.bundle, given.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        seed = simulate(SEED_CUSTOMERS, 0).touchpoints.with_columns(text=pl.lit(None, pl.String))
        repeated(seed, SEED_CUSTOMERS, Path(name) / "short.parquet")
        repeated(seed, given.customers, Path(name) / "long.parquet")
        took: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        for _ in range(given.rounds):
            for engine in ENGINES:
                took[engine].append(in_a_process(engine, given.bundle, Path(name)))
    tell(took, given)


def in_a_process(engine: str, bundle: Path, folder: Path) -> float:
    """The seconds that an engine took for the long list."""
    command = [sys.executable, "-m", "benchmarks.spark", "--bundle", bundle, "--engine", engine, "--folder", folder]
    paths = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "SPARK_MASTER": ENGINES[engine], "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(done.stdout.splitlines()[-1])


def seconds_of(engine: str, bundle: Path, folder: Path) -> float:
    """Score the short list, then time the long one."""
    score = _on_spark(bundle) if ENGINES[engine] else _here(bundle)
    with tempfile.TemporaryDirectory() as out:
        score(folder / "short.parquet", Path(out) / "short.parquet")
        started = time.perf_counter()
        score(folder / "long.parquet", Path(out) / "long.parquet")
        return time.perf_counter() - started


def _as_of_us(touchpoints: Path) -> int:
    latest: Any = pl.scan_parquet(touchpoints).select(pl.col("occurred_at").max()).collect().item()
    return to_us(latest)


def _here(bundle: Path) -> Callable[[Path, Path], object]:
    from serving.score_list import Order, score_list
    from serving.scorer import Scorer

    scorer = Scorer.load(bundle, threads=2)

    def score(touchpoints: Path, out: Path) -> None:
        order = Order([touchpoints], _as_of_us(touchpoints), None, [], False, 0.05, 4 * 10**9)
        score_list(scorer, order, out, None, lambda *_: None)

    return score


def _on_spark(bundle: Path) -> Callable[[Path, Path], object]:
    from serving.cluster_list import ClusterOrder
    from serving.scorer import Scorer
    from serving.spark import open_session, score_on_cluster

    on_cluster = partial(score_on_cluster, open_session(), Scorer.load(bundle), bundle, None)

    def score(touchpoints: Path, out: Path) -> None:
        on_cluster(ClusterOrder([str(touchpoints)], _as_of_us(touchpoints), None, None, False, 0.05), str(out))

    return score


def tell(took: dict[str, list[float]], given: argparse.Namespace) -> None:
    """The table and the plan; medians of the rounds."""
    seconds = {engine: median(rounds) for engine, rounds in took.items()}
    for engine, each in seconds.items():
        console.print(f"{engine:24} {each:8.1f} s {given.customers / each:10,.0f} customers/s")
    one, two, here = seconds.values()
    console.print(
        f"a second executor: {one / two:.2f} times as fast; 2 executors beside the local engine: {two / here:.2f}"
    )
    core_hours = given.plan_customers * 2 * two / given.customers / 3600
    console.print(
        f"{given.plan_customers:,} customers at that rate: {core_hours:,.0f} core hours, one hour on "
        f"{core_hours:,.0f} cores, {core_hours * given.core_hour_price:,.0f} at {given.core_hour_price} a core hour"
    )


if __name__ == "__main__":
    main()
