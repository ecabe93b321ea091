"""How long each phase of a training took."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from training.progress import Report


class Stopwatch:
    """Seconds by phase, added up where a phase comes again; `clock` gives seconds that never run backwards."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what runs inside."""
        began = self._clock()
        try:
            yield
        finally:
            self._add(name, self._clock() - began)

    def watching(self, report: Report, within: str) -> Report:
        """A report that is passed on, its steps counted as parts of the phase `within`."""
        begun: dict[str, float] = {}

        def watched(what: str, done: int, total: int) -> None:
            began = begun.setdefault(what, self._clock())
            if done >= total:
                self._add(f"{within}/{_as_name(what)}", self._clock() - begun.pop(what, began))
            report(what, done, total)

        return watched

    def metrics(self) -> dict[str, float]:
        """Names for a tracker: `seconds/reading`, `seconds/training/fitting_the_stage`."""
        return {f"seconds/{name}": round(seconds, 3) for name, seconds in self.seconds.items()}

    def _add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def _as_name(what: str) -> str:
    return re.sub(r"\W+", "_", what.lower()).strip("_")
