"""A link to the bundle of a registered alias, which moves when the alias does: what an endpoint that stays serves."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import Fault
from features.inputs import Tell
from training import tracking

EVERY_S = 10.0
STOPPING_S = 1.0  # a look that waits for a store longer ends with the process


class FollowedChampion:
    """Keeps `link` leading to the bundle that `reference` names.

    The bundle before the present one stays: whoever is opening it can end.
    """

    def __init__(self, reference: str, link: Path, tell: Tell) -> None:
        self._reference, self._link, self._tell = reference, link, tell
        self._version: str | None = None
        self._present: Path | None = None
        self._before: Path | None = None
        self._told = ""

    def look(self) -> None:
        """Move the link if the alias has moved. Raises BadUsage and BadEnvironment as `download_bundle` does."""
        version = tracking.registered_version(self._reference)
        if version is not None and version == self._version:
            return
        folder = Path(tempfile.mkdtemp(dir=self._link.parent))
        try:
            named = self._reference if version is None else tracking.version_reference(version)
            bundle = tracking.download_bundle(named, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if version is None:  # the alias was gone and is back: another look learns whose it is
            shutil.rmtree(folder, ignore_errors=True)
            self.look()
            return
        beside = self._link.with_name(f"{self._link.name}.new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(bundle)
        beside.replace(self._link)
        if self._version is not None:
            self._tell(f"{self._reference} is version {version} now")
        if self._before is not None:
            shutil.rmtree(self._before, ignore_errors=True)
        self._version, self._before, self._present = version, self._present, folder

    def keep_looking(self, ended: threading.Event, every_s: float) -> None:
        """Look until `ended`. While the store cannot be asked, what was served last stays; that is told once."""
        while not ended.wait(every_s):
            try:
                self.look()
                self._told = ""
            except (Fault, OSError) as fault:  # a full disk, too: the next look may find room
                if str(fault) != self._told:
                    self._tell(f"{self._reference} is not followed: {fault}")
                self._told = str(fault)


@contextmanager
def followed(reference: str, tell: Tell, every_s: float = EVERY_S) -> Iterator[Path]:
    """The path of a bundle that follows `reference`, a registered alias, until the context ends.

    Raises what `FollowedChampion.look` raises where the reference leads nowhere at first.
    """
    with tempfile.TemporaryDirectory(prefix="journeycast-followed-", ignore_cleanup_errors=True) as folder:
        champion = FollowedChampion(reference, Path(folder) / "bundle", tell)
        champion.look()
        ended = threading.Event()
        looking = threading.Thread(
            name="followed champion", target=champion.keep_looking, args=(ended, every_s), daemon=True
        )
        looking.start()
        try:
            yield Path(folder) / "bundle"
        finally:
            ended.set()
            looking.join(STOPPING_S)
