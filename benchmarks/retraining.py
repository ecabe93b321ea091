"""What a daily retraining costs beside the first training: with 5 % more touchpoints, and the vectors of before cached.

Both are whole commands: `journeycast train --register` on a fresh machine, nothing cached, and `journeycast retrain` on
the same touchpoints and 5 % later ones, judged by the gate against the first. The first embeds every message and fits
two models, one of them to be judged; the next embeds what is new and fits one, which the gate judges.

    python -m benchmarks.retraining
    python -m benchmarks.retraining --data ../shared/data/lean_community
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from rich.console import Console

from benchmarks.quality import EXAMPLES
from features.simulate import simulate

COMMAND = "import journeycast; journeycast.main()"
LATER_SHARE = 0.05

console = Console(highlight=False)


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=2_000, help="how many to simulate")
    parser.add_argument("--data", type=Path, help="a real data set's folder; its journey is in examples/")
    given = parser.parse_args()
    if given.data is None:
        touchpoints, journey = simulate(given.customers, 0).touchpoints, None
    else:
        touchpoints = pl.read_parquet(given.data / "touchpoints.parquet")
        journey = EXAMPLES / f"{given.data.name}.toml"
    touchpoints = touchpoints.sort("occurred_at")
    before = touchpoints[: int(touchpoints.height * (1 - LATER_SHARE))]
    with tempfile.TemporaryDirectory(prefix="journeycast-retraining-") as folder:
        first_s = seconds_of(["train", "--register"], Path(folder), journey, before)
        again_s = seconds_of(["retrain"], Path(folder), journey, touchpoints)
    console.print(f"the next retraining takes {again_s / first_s:.2f} × the time of the first")


def seconds_of(words: list[str], folder: Path, journey: Path | None, touchpoints: pl.DataFrame) -> float:
    """Seconds that a command of journeycast takes in a folder that keeps its store and its cache."""
    source = folder / f"{words[0]}.parquet"
    touchpoints.write_parquet(source)
    command = [sys.executable, "-c", COMMAND, *words, "--quiet", "--touchpoints", source, "--out", folder / words[0]]
    command += [] if journey is None else ["--journey", journey]
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "JOURNEYCAST_CACHE": f"{folder}/cache"}
    here = {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    began = time.perf_counter()
    done = subprocess.run(list(map(str, command)), cwd=folder, env=os.environ | store | here, check=False)
    seconds = time.perf_counter() - began
    if done.returncode not in (0, 1):  # 1: not promoted
        raise RuntimeError(f"journeycast {words[0]} ended with {done.returncode}")
    texts = touchpoints["text"].drop_nulls().n_unique()
    console.print(
        f"{words[0]}: {touchpoints.height:,} touchpoints, {texts:,} distinct messages: {seconds:.1f} s"
        f"{'' if done.returncode == 0 else ', not promoted'}",
        soft_wrap=True,
    )
    return seconds


if __name__ == "__main__":
    main()
