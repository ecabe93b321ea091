"""The bundle that is served follows the one at its path: a folder that is replaced, or a link that is moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from features.errors import BadEnvironment, BadUsage, Fault, whereabouts
from serving.answers import logger

T = TypeVar("T")
LOOKS_TO_MISS = 3
Look = tuple[tuple[str, int, int, int, int], ...]


class BundleWatch(Generic[T]):
    """Opens what stands at `path` and hands it to `install`, whenever it is not what was opened last.

    What cannot be opened, or is not accepted, is told in the log once, and what was installed before stays. Where the
    system refused, the next look tries again; a bundle that is not sound stays refused until it changes.
    """

    def __init__(self, path: Path, open_bundle: Callable[[Path], T], install: Callable[[T], None]) -> None:
        self._path = path
        self._open = open_bundle
        self._install = install
        self._seen: Look | None = None
        self._told = ""
        self._missed = 0

    def look(self) -> None:
        """Open and install the bundle if it changed. Takes a moment; raises nothing."""
        try:
            folder = self._path.resolve()  # all files of one folder, wherever the link leads a moment later
            seen = _look(folder)
            if not seen and self._seen is not None:
                self._miss()
                return
            self._missed = 0
            if seen == self._seen:
                return
            self._seen = seen
            if not seen:
                raise BadUsage("no_bundle", "there is no bundle at the given path")
            self._install(self._open(folder))
            self._told = ""
        except Fault as fault:
            by_system = isinstance(fault, BadEnvironment) and fault.code != "bundle_corrupt"
            self._refuse(f"{fault.code}: {fault}", by_system)
        except Exception as error:
            self._refuse(whereabouts(error), isinstance(error, OSError | MemoryError))

    def _miss(self) -> None:
        """Tell, once, that nothing is there any more; between two renames of a replacement that is so for a moment."""
        self._missed += 1
        if self._missed == LOOKS_TO_MISS:
            logger.error("there is no bundle at the given path any more; the one that was opened last is served on")

    def _refuse(self, why: str, by_system: bool) -> None:
        if by_system:  # no file descriptor was free, say
            self._seen = None
        if why != self._told:
            logger.error("the bundle is refused: %s", why)
        self._told = why

    async def keep_looking(self, every_s: float) -> None:
        """Look again and again, beside the event loop, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await asyncio.to_thread(self.look)


def _look(folder: Path) -> Look:
    """What tells one state of the folder from another, without reading it."""
    found = []
    for path in sorted(folder.rglob("*")):
        try:
            stat = path.lstat()
        except OSError:
            continue  # being replaced; the next look sees what came
        if not path.is_dir():
            found.append((str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return tuple(found)
