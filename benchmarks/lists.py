"""A list of customers from one unsorted Parquet file: this program beside Polars with LightGBM and the tutorial way.

The touchpoints are those of simulated customers, repeated under other ids and shuffled, about 49 for each. Each
contender runs in a process of its own; the tutorial way is timed on 20,000 customers. Times include starting Python,
reading the file and, here, everything the contract asks for: checks, duplicates, all features, both models, intervals,
an ordered output with hashes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from rich.console import Console

from features.event_log import from_us, to_us
from features.simulate import simulate

SEED_CUSTOMERS = 4000
TUTORIAL_CUSTOMERS = 20_000
PROGRAM = """
import sys, time, journeycast
from benchmarks.list_peers import peak_bytes
try:
    journeycast.main()
finally:
    print(peak_bytes(), time.process_time(), file=open(sys.argv[-1] + ".used", "w"))
"""

console = Console(highlight=False)


def main() -> None:
    """Print a table: seconds, customers/s, CPU seconds and peak memory, by size and contender."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="one that reads no text")
    parser.add_argument("--customers", type=int, nargs="+", default=[10_000, 50_000, 200_000])
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--peers", action="store_true", help="run the peers as well, at the largest size")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seed = simulate(SEED_CUSTOMERS, 0).touchpoints.with_columns(text=pl.lit(None, pl.String))
        as_of_us = to_us(seed["occurred_at"].max())  # type: ignore[arg-type]
        for customers in given.customers:
            touchpoints = repeated(seed, customers, folder / f"{customers}.parquet")
            tell("journeycast", this_program(customers, touchpoints, given.bundle, as_of_us, given.memory))
        if given.peers:
            tell("Polars group_by + LightGBM", peer("polars", touchpoints, given.bundle, as_of_us))
            few = repeated(seed, TUTORIAL_CUSTOMERS, folder / "few.parquet")
            tell("pandas groupby + LightGBM", peer("tutorial", few, given.bundle, as_of_us))


def repeated(seed: pl.DataFrame, customers: int, path: Path) -> Path:
    """The seed's customers under other ids, `customers` of them, in no order; copied in slices, each shuffled."""
    copies = -(-customers // SEED_CUSTOMERS)
    of_all = pl.col("customer_id").rank("dense") - 1
    with tempfile.TemporaryDirectory(dir=path.parent) as slices:
        for copy in range(copies):
            some = seed.filter(of_all < customers - copy * SEED_CUSTOMERS)
            named = some.with_columns(
                pl.format("{}-{}", name, pl.lit(copy)).alias(name) for name in ("customer_id", "event_id")
            )
            named.write_parquet(Path(slices) / f"{copy}.parquet")
        # Every tenth row of all copies, then the next tenth, and so on: no customer's touchpoints stand together.
        rows = pl.scan_parquet(f"{slices}/*.parquet").with_row_index("at")
        rows.sort(pl.col("at") % 10, maintain_order=True).drop("at").sink_parquet(path)
    return path


def this_program(customers: int, touchpoints: Path, bundle: Path, as_of_us: int, memory: str) -> dict[str, float]:
    """What `journeycast score` took."""
    out = touchpoints.with_suffix(".scores.parquet")
    words = ["--bundle", bundle, "--touchpoints", touchpoints, "--as-of", from_us(as_of_us).isoformat()]
    command = [sys.executable, "-c", PROGRAM, "score", *words, "--memory", memory, "--out", out]
    started = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True, stderr=subprocess.DEVNULL, env=_environment())
    seconds = time.perf_counter() - started
    peak_bytes, cpu_seconds = map(float, Path(f"{out}.used").read_text().split())
    return {"customers": customers, "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_bytes}


def peer(name: str, touchpoints: Path, bundle: Path, as_of_us: int) -> dict[str, float]:
    """What a contender of `benchmarks.list_peers` took."""
    command = [sys.executable, "-m", "benchmarks.list_peers", name, str(touchpoints), str(bundle), str(as_of_us)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment())
    took: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return took


def tell(contender: str, took: dict[str, float]) -> None:
    """One row of the table."""
    customers, seconds, cpu_seconds, peak_bytes = (
        took[part] for part in ("customers", "seconds", "cpu_seconds", "peak_bytes")
    )
    console.print(
        f"{contender:28} {customers:>9,} customers {seconds:7.1f} s {customers / seconds:8,.0f}/s,"
        f" {cpu_seconds:7.1f} CPU s, {peak_bytes / 1e6:6,.0f} MB",
        soft_wrap=True,
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))}


if __name__ == "__main__":
    main()
