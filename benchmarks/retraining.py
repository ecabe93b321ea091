"""What a daily retraining costs beside the first training: with 5 % more touchpoints, and the vectors of before cached.

Both are whole commands: the first `journeycast retrain` on a fresh machine, nothing cached and no champion, and the
next one on the same touchpoints and 5 % later ones, which the gate judges against the first. How much of the first was
embedding is what a cache can save; fitting anew is paid each time.

    python -m benchmarks.retraining
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

from features.simulate import simulate

RETRAIN = "import journeycast; journeycast.main()"
LATER_SHARE = 0.05

console = Console(highlight=False)


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=2_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="journeycast-retraining-") as name:
        folder = Path(name)
        touchpoints = simulate(given.customers, 0).touchpoints.sort("occurred_at")
        before = touchpoints[: int(touchpoints.height * (1 - LATER_SHARE))]
        first_s = retrain(folder, "first", before)
        again_s = retrain(folder, "again", touchpoints)
    console.print(f"the next retraining takes {again_s / first_s:.2f} × the time of the first")


def retrain(folder: Path, name: str, touchpoints: pl.DataFrame) -> float:
    """Seconds that `journeycast retrain` takes in a folder that keeps its store and its cache."""
    source = folder / f"{name}.parquet"
    touchpoints.write_parquet(source)
    command = [sys.executable, "-c", RETRAIN, "retrain", "--quiet", "--touchpoints", source, "--out", folder / name]
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "JOURNEYCAST_CACHE": f"{folder}/cache"}
    here = {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    began = time.perf_counter()
    done = subprocess.run(list(map(str, command)), cwd=folder, env=os.environ | store | here, check=False)
    seconds = time.perf_counter() - began
    if done.returncode not in (0, 1):  # 1: not promoted
        raise RuntimeError(f"the retraining ended with {done.returncode}")
    texts = touchpoints["text"].drop_nulls().n_unique()
    console.print(
        f"{name}: {touchpoints.height:,} touchpoints, {texts:,} distinct messages: {seconds:.1f} s,"
        f" {'promoted' if done.returncode == 0 else 'not promoted'}",
        soft_wrap=True,
    )
    return seconds


if __name__ == "__main__":
    main()
