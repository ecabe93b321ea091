"""A list of customers from one unsorted Parquet file: how its time grows, and beside Polars with LightGBM and pandas.

The touchpoints are those of simulated customers, repeated under other ids and shuffled, about 50 for each. Each
contender runs in a process of its own; the tutorial way and pandas are timed on 20,000 customers. Times include
starting Python, reading the file and, here, everything the contract asks for: checks, duplicates, all features, both
models, intervals, an ordered output with hashes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console

from features.event_log import from_us, to_us
from features.simulate import simulate
from serving.memory_plan import read_memory

SEED_CUSTOMERS = 4000
TUTORIAL = "the tutorial way"
TUTORIAL_CUSTOMERS = 20_000
PROGRAM = """
import sys, time, journeycast
from benchmarks.peak import peak_bytes
try:
    journeycast.main()
finally:
    print(peak_bytes(), time.process_time(), file=open(sys.argv[-1] + ".used", "w"))
"""

console = Console(highlight=False)


@dataclass(frozen=True)
class Took:
    """What scoring a list took."""

    customers: int
    seconds: float
    cpu_seconds: float
    peak_bytes: float

    @property
    def customer_s(self) -> float:
        """Seconds for each customer."""
        return self.seconds / self.customers


def main() -> None:
    """Print how the time grows with the list and, at `--beside` customers, what the peers take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="one that reads no text")
    parser.add_argument("--customers", type=int, nargs="*", default=[10_000, 30_000, 100_000])
    parser.add_argument("--beside", type=int, help="put the peers beside this program at this size")
    parser.add_argument("--rounds", type=int, default=1, help="of all contenders in turn; each one's fastest counts")
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--plot", type=Path, help="picture of the growth to write, where matplotlib is installed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        lists = Lists(Path(name), given.bundle, given.memory)
        grown = [tell("journeycast", lists.by_this_program(customers)) for customers in given.customers]
        if len(grown) > 1:
            tell_growth(grown)
        if given.plot is not None:
            plot_growth(grown, given.plot)
        if given.beside is not None:
            beside_the_peers(lists, given.beside, given.rounds)


class Lists:
    """Lists of any length, and how the contenders score them."""

    def __init__(self, folder: Path, bundle: Path, memory: str) -> None:
        self._folder, self._bundle, self._memory = folder, bundle, memory
        self._seed = simulate(SEED_CUSTOMERS, 0).touchpoints.with_columns(text=pl.lit(None, pl.String))
        self._as_of_us = to_us(self._seed["occurred_at"].max())  # type: ignore[arg-type]

    def by_this_program(self, customers: int) -> Took:
        """`journeycast score`, under the memory ceiling."""
        touchpoints = self._touchpoints(customers)
        out = touchpoints.with_suffix(".scores.parquet")
        words = ["--bundle", self._bundle, "--touchpoints", touchpoints, "--as-of", from_us(self._as_of_us).isoformat()]
        command = [sys.executable, "-c", PROGRAM, "score", *words, "--memory", self._memory, "--out", out]
        started = time.perf_counter()
        subprocess.run(list(map(str, command)), check=True, stderr=subprocess.DEVNULL, env=_environment())
        seconds = time.perf_counter() - started
        peak_bytes, cpu_seconds = map(float, Path(f"{out}.used").read_text().split())
        console.print(f"  peak {peak_bytes / read_memory(self._memory):.0%} of the ceiling", end=" ")
        return Took(customers, seconds, cpu_seconds, peak_bytes)

    def by_peer(self, name: str, customers: int) -> Took:
        """A contender of `benchmarks.list_peers`."""
        words = [self._touchpoints(customers), self._bundle, self._as_of_us]
        command = [sys.executable, "-m", "benchmarks.list_peers", name, *map(str, words)]
        started = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment())
        seconds = time.perf_counter() - started
        return Took(**{**json.loads(done.stdout.splitlines()[-1]), "seconds": seconds})

    def _touchpoints(self, customers: int) -> Path:
        path = self._folder / f"{customers}.parquet"
        return path if path.exists() else repeated(self._seed, customers, path)


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


def beside_the_peers(lists: Lists, customers: int, rounds: int) -> None:
    """All contenders in turn, so that what else the machine does falls on each; then their times over this program's.

    What the tutorial way and pandas take for each customer is measured on a shorter list.
    """
    contenders: dict[str, Callable[[], Took]] = {
        "journeycast": lambda: lists.by_this_program(customers),
        "Polars + LightGBM, as usual": lambda: lists.by_peer("polars", customers),
        "Polars + LightGBM, alike": lambda: lists.by_peer("polars alike", customers),
        TUTORIAL: lambda: lists.by_peer("tutorial", min(customers, TUTORIAL_CUSTOMERS)),
        "pandas + LightGBM, as usual": lambda: lists.by_peer("pandas", min(customers, TUTORIAL_CUSTOMERS)),
        "pandas + LightGBM, alike": lambda: lists.by_peer("pandas alike", min(customers, TUTORIAL_CUSTOMERS)),
    }
    took: dict[str, list[Took]] = {name: [] for name in contenders}
    for at in range(rounds):
        for name, run in contenders.items():
            if at == 0 or name != TUTORIAL:  # whose minutes are no question of a round
                took[name].append(tell(name, run()))
    fastest = {name: min(runs, key=lambda run: run.seconds) for name, runs in took.items()}
    ours = fastest.pop("journeycast")
    for name, peer in fastest.items():
        cpu = peer.cpu_seconds / peer.customers / (ours.cpu_seconds / ours.customers)
        console.print(f"{name}: {peer.customer_s / ours.customer_s:.2f} x the time, {cpu:.2f} x the CPU time")


def tell(contender: str, took: Took) -> Took:
    """One row of the table; returns what is told."""
    console.print(
        f"{contender:28} {took.customers:>9,} customers {took.seconds:7.1f} s {1 / took.customer_s:8,.0f}/s,"
        f" {took.cpu_seconds:7.1f} CPU s, {took.peak_bytes / 1e6:6,.0f} MB",
        soft_wrap=True,
    )
    return took


def tell_growth(grown: Sequence[Took]) -> None:
    """A straight line through the times, and how far each is from it."""
    customers, seconds = (np.array([getattr(took, part) for took in grown]) for part in ("customers", "seconds"))
    slope, start = np.polyfit(customers, seconds, 1, w=1 / seconds)
    apart = np.abs(seconds / (start + slope * customers) - 1)
    exponent = np.polyfit(np.log(customers), np.log(np.maximum(seconds - start, 1e-3)), 1)[0] if start > 0 else np.nan
    console.print(
        f"{start:.1f} s and {1e6 * slope:.0f} µs for each customer; at most {apart.max():.0%} from that line;"
        f" beyond the start it grows with the customers to the power of {exponent:.2f}",
        soft_wrap=True,
    )


def plot_growth(grown: Sequence[Took], path: Path) -> None:
    """Seconds by customers, both on logarithmic axes. Raises ModuleNotFoundError where matplotlib is not installed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.loglog([took.customers for took in grown], [took.seconds for took in grown], "o-")
    axes.set(xlabel="customers", ylabel="seconds", title="journeycast score, 50 touchpoints a customer")
    axes.grid(visible=True, which="both", alpha=0.3)
    figure.savefig(path)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))}


if __name__ == "__main__":
    main()
