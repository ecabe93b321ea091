"""Trainings killed with kill -9 at random moments: what MLflow holds then, and whether the next one works.

Each training is a process of its own: the stages of a small simulated market, by a handful of trees. Half of the kills
meet a fresh store, half one that has a champion. After a kill the alias must stand where it stood, or on the model of a
training that had ended well; after the next training no run may be RUNNING and no model PENDING, and the bundle must
open.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from features.simulate import simulate, write_simulation
from models.bundle import load_bundle
from training import fit_conversion, fit_stage
from training.progress import Report, silent
from training.run import run_training
from training.settings import load_settings
from training.stopwatch import Stopwatch

FEW = {fit_conversion: (4, 8), fit_stage: (2, 4)}  # how good the models are does not matter here
CHAMPION = (
    "select v.version, r.status from registered_model_aliases a join model_versions v on v.name = a.name and "
    "v.version = a.version join runs r on r.run_uuid = v.run_id where a.alias = 'champion'"
)
UNDECIDED = (
    "select count(*) from (select status from runs where status = 'RUNNING' union all select status from logged_models "
    "where status = 1)"
)


def main() -> None:
    """Kill as often as asked, print what came of it, and fail where something is amiss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--customers", type=int, default=60)
    given = parser.parse_args()
    for module, rounds in FEW.items():
        module.ROUNDS = rounds  # type: ignore[attr-defined]
    moments, amiss, half_done = random.Random(0), 0, 0
    with tempfile.TemporaryDirectory(prefix="journeycast-kills-") as folder:
        market = Path(folder) / "market"
        in_child(lambda: write_simulation(simulate(given.customers, seed=1), market))
        seconds = {name: undisturbed(Path(folder) / name, market) for name in ("warm", "grown", "timed", "grown")}
        for kill in range(given.kills):
            name = "grown" if kill % 2 else f"fresh{kill}"
            place, lasts = Path(folder) / name, seconds["grown" if kill % 2 else "timed"]
            was_killed, faults = survives(place, market, moments.uniform(0, lasts))
            half_done, amiss = half_done + was_killed, amiss + bool(faults)
            print(f"{name}: {'killed' if was_killed else 'was done'}, {', '.join(faults) or 'sound'}", flush=True)
    print(f"{given.kills} kills, {half_done} in the middle of a training, {amiss} left something amiss")
    sys.exit(bool(amiss))


def undisturbed(place: Path, market: Path) -> float:
    """Train to the end; returns how long it took, in seconds."""
    began = time.monotonic()
    if train(place, market) != 0:
        raise RuntimeError("an undisturbed training failed")
    return time.monotonic() - began


def survives(place: Path, market: Path, kill_after_s: float) -> tuple[bool, list[str]]:
    """Whether a training was killed, and what is amiss after it and after the next one."""
    before = asked(place, CHAMPION)
    was_killed = train(place, market, kill_after_s) != 0
    after, faults = asked(place, CHAMPION), []
    if after != before and (not after or after[0][1] != "FINISHED"):
        faults.append("the alias moved")
    if train(place, market) != 0:
        return was_killed, [*faults, "the next training failed"]
    if asked(place, UNDECIDED) != [(0,)]:
        faults.append("a run or model is undecided")
    if in_child(lambda: check_bundle(place / "bundle")) != 0:
        faults.append("the bundle does not open")
    if left := {path.name for path in place.iterdir()} - {"bundle", "bundle.card.html", "mlflow.db", "mlruns"}:
        faults.append(f"left behind: {sorted(left)}")
    return was_killed, faults


def train(place: Path, market: Path, kill_after_s: float | None = None) -> int:
    """Train, in a child process; returns how it ended, 0 if well."""

    def work() -> None:
        place.mkdir(exist_ok=True)
        os.chdir(place)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{place}/mlflow.db"
        touchpoints = [str(market / "touchpoints.parquet")]
        given = {"data.touchpoints": touchpoints, "fit.embedder": "none", "fit.learn": ["stage"]}
        settings, stopwatch = load_settings(None, given), Stopwatch(time.monotonic)
        run_training(settings, place / "bundle", True, lambda: datetime.now(UTC), stopwatch, print, quiet)

    return in_child(work, kill_after_s)


def in_child(work: Callable[[], None], kill_after_s: float | None = None) -> int:
    """Do this in a process of its own, unheard; this one starts no thread, or the next child would wait for it."""
    child = os.fork()
    if child == 0:
        try:
            with Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                os.dup2(nowhere.fileno(), 2)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def check_bundle(folder: Path) -> None:
    """Open it; where a byte is missing that raises."""
    load_bundle(folder)


@contextmanager
def quiet() -> Iterator[Report]:
    """Progress that nobody reads."""
    yield silent


def asked(place: Path, question: str) -> list[tuple[object, ...]]:
    """What the store answers; nothing where there is none yet."""
    if not (place / "mlflow.db").exists():
        return []
    with closing(sqlite3.connect(place / "mlflow.db", timeout=20)) as database:
        return database.execute(question).fetchall()


if __name__ == "__main__":
    main()
