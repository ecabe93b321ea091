"""The hidden folder beside an output in which a list is worked on: one owner at a time, and what is done is kept.

A run that is killed leaves it behind. The next run for the same output takes over what belongs to the same job: equal
inputs, bundle and settings, told by a fingerprint. Files appear in it under their names only when complete.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from features.errors import BadEnvironment, BadUsage, Fault

JOB = "job.json"
COMMIT = "commit.json"
DAMAGED = "work_damaged"  # the code of a fault in the work itself


class WorkFolder:
    """A work folder that this process owns; made by `work_folder`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, fingerprint: str, keep: Collection[str] = ()) -> bool:
        """Keep what an earlier run of this very job has left, and the named files; whether there was such a run."""
        if self.read(JOB) == {"fingerprint": fingerprint}:
            return True
        self._clear(keep)
        self.write(JOB, {"fingerprint": fingerprint})
        return False

    def _clear(self, keep: Collection[str]) -> None:
        (self.path / JOB).unlink(missing_ok=True)  # first: without it, nothing else counts
        for path in self.path.iterdir():
            if path.name not in keep:
                path.unlink()

    def read(self, name: str) -> Any:
        """What `write` wrote under this name, None where there is nothing of the kind."""
        try:
            return json.loads((self.path / name).read_bytes())
        except (OSError, ValueError):
            return None

    def write(self, name: str, content: Any) -> None:
        """Write JSON that appears whole."""
        draft = self.path / f"{name}.draft"
        draft.write_text(json.dumps(content))
        draft.replace(self.path / name)

    def commit(self, results: dict[str, Path], outdated: Collection[Path]) -> None:
        """Put files of this folder (by name) in their places and remove what is outdated there.

        All of it is done, if need be by the next run.
        """
        for name in results:
            _sync(self.path / name)
        places = {name: str(place.absolute()) for name, place in results.items()}
        self.write(COMMIT, {"places": places, "outdated": [str(path.absolute()) for path in outdated]})
        self.finish_commit()

    def finish_commit(self) -> bool:
        """Put in place what a commit has left over; whether there was a commit."""
        begun = self.read(COMMIT)
        if begun is None:
            return False
        for path in begun["outdated"]:
            Path(path).unlink(missing_ok=True)
        for name, place in begun["places"].items():
            if (self.path / name).exists():
                (self.path / name).replace(place)
        return True


@contextmanager
def work_folder(path: Path) -> Iterator[WorkFolder]:
    """Own the folder as long as the context lasts; it is removed at the end, unless the machine was in the way.

    Raises BadUsage where another process owns it, BadEnvironment where it cannot be made.
    """
    descriptor = _lock(path)
    try:
        yield WorkFolder(path)
        _remove(path)
    except Fault as fault:
        if not isinstance(fault, BadEnvironment) or fault.code == DAMAGED:
            _remove(path)  # what cannot be done, or is damaged, will not be taken up again
        raise
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise BadEnvironment(
            "disk_full",
            f"{path.parent} is full. What has been done is kept in {path}: free some space and run the command again, "
            "or remove that folder",
        ) from None
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """What says that all is in place goes last; where nothing says so, what says that there is work goes first."""
    names = {each.name for each in path.iterdir()}
    last = [COMMIT, JOB] if COMMIT in names else []
    first = [] if last else [JOB]
    for name in (*first, *(names - {COMMIT, JOB}), *last):
        (path / name).unlink(missing_ok=True)
    path.rmdir()


def fingerprint(**parts: Any) -> str:
    """One name for a job: equal parts give equal results."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadEnvironment("out_unwritable", f"{path.parent} cannot be made: {error.strerror}") from None
    while True:
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise BadEnvironment("out_unwritable", f"{path} cannot be made: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise BadUsage(
                "out_busy", f"another run is writing this output (it holds {path}); wait for it or name another --out"
            ) from None
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)  # its owner has just finished and removed it


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
