"""A list's run is killed with kill -9, at every rename and at random moments, and must still end in the same bytes.

Each run is a process of its own that replaces older scores, compared with them. After a kill the output must be the
older file or the new one, whole; after the next run, every file must be what an undisturbed run writes.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from features.event_log import DAY_US, from_us
from serving import score_list as engine
from serving.schemas import Touchpoint
from serving.score_list import Order, score_list
from serving.score_manifest import file_sha256
from serving.scorer import Scorer

Disturb = Callable[[], None]


def main() -> None:
    """Kill as often as asked, print what came of it, and fail where a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--touchpoints", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder to work in")
    parser.add_argument("--as-of-day", type=int, default=20_270, help="days since the epoch")
    parser.add_argument("--partition-bytes", type=int, default=4_000_000)
    parser.add_argument("--random", type=int, default=50, help="kills at random moments")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--every", type=int, default=1, help="kill at each rename, or at every n-th")
    given = parser.parse_args()
    engine.MOST_PARTITION_BYTES = given.partition_bytes
    runs = Runs(given.bundle, given.touchpoints, given.folder, given.as_of_day * DAY_US)
    renames = runs.undisturbed()
    places = [(at, after) for at in range(0, renames, given.every) for after in (False, True)]
    differing = [f"rename {at}" for at, after in places if not runs.survives(kill_at_rename(at, after))]
    moments, wanted = random.Random(given.seed), runs.kills + given.random
    while runs.kills < wanted:
        after_s = moments.uniform(0, runs.seconds)
        if not runs.survives(lambda: None, after_s):
            differing.append(f"after {after_s:.3f} s")
    at_renames, at_random = runs.kills - given.random, given.random
    print(
        f"{renames} renames; {at_renames} kills around them and {at_random} at random moments: "
        f"{runs.kills - len(differing)} of {runs.kills} outputs are equal to the byte, "
        f"{len(differing)} runs ended in other bytes: {differing}"
    )
    sys.exit(bool(differing))


class Runs:
    """The same list again and again, in child processes."""

    def __init__(self, bundle: Path, touchpoints: Path, folder: Path, as_of_us: int) -> None:
        self.kills, self.seconds = 0, 0.0
        self._scorer, self._out = Scorer.load(bundle), folder / "scores.parquet"
        # What is compiled is loaded once, for all children; without Polars, whose threads are lost in a fork.
        self._scorer.score_histories([("somebody", [Touchpoint(from_us(as_of_us), "web", "visited")])], as_of_us)
        self._older, self._counter = folder / "older.parquet", folder / "renames"
        self._order = Order([touchpoints], as_of_us, None, [], False, 1.0, 2 * 10**9)
        self._expected: dict[str, str] = {}

    def undisturbed(self) -> int:
        """Make the older scores and what is expected; returns how many renames a run has."""
        earlier = Order(self._order.files, (self._order.as_of_us or 0) - 60 * DAY_US, None, [], False, 1.0, 2 * 10**9)
        self._run(earlier, lambda: None)
        shutil.move(self._out, self._older)
        shutil.copy(self._older, self._out)
        started = time.monotonic()
        if self._run(self._order, lambda: count_renames(self._counter)) != 0:
            raise RuntimeError("the undisturbed run failed")
        self.seconds = time.monotonic() - started
        self._expected = self._found()
        return self._counter.stat().st_size

    def survives(self, disturb: Disturb, kill_after_s: float | None = None) -> bool:
        """Whether a run that is killed, and the run after it, leave the right bytes."""
        for path in self._out.parent.glob("scores.parquet*"):
            path.unlink()
        shutil.copy(self._older, self._out)
        if self._run(self._order, disturb, kill_after_s) == 0:  # it was done before it could be killed
            return self._found() == self._expected
        self.kills += 1
        whole = file_sha256(self._out) in (file_sha256(self._older), self._expected[self._out.name])
        return whole and self._run(self._order, lambda: None) == 0 and self._found() == self._expected

    def _run(self, order: Order, disturb: Disturb, kill_after_s: float | None = None) -> int:
        child = os.fork()  # nothing has started a thread in this process yet
        if child == 0:
            disturb()
            score_list(self._scorer, order, self._out, self._out if order is self._order else None, _quiet)
            os._exit(0)
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]

    def _found(self) -> dict[str, str]:
        files = [path for path in self._out.parent.iterdir() if path.name.startswith((".scores", "scores"))]
        return {path.name: "a folder" if path.is_dir() else file_sha256(path) for path in files}


def kill_at_rename(place: int, after: bool) -> Disturb:
    """What kills this process just before, or just after, its n-th rename."""

    def disturb() -> None:
        replace, seen = os.replace, iter(range(10**6))

        def counted(source: str, target: str) -> None:
            is_now = next(seen) == place
            if is_now and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)
            if is_now:
                os.kill(os.getpid(), signal.SIGKILL)

        os.replace = counted  # type: ignore[assignment]

    return disturb


def count_renames(counter: Path) -> None:
    """Have each rename of this process add a byte to a file."""
    replace = os.replace

    def counted(source: str, target: str) -> None:
        with counter.open("ab") as file:
            file.write(b".")
        replace(source, target)

    os.replace = counted  # type: ignore[assignment]


def _quiet(what: str, done: int, total: int) -> None: ...


if __name__ == "__main__":
    main()
