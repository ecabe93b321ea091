"""What a tracker takes: parameters under flat names, names without signs it refuses, and figures that are numbers."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

LONGEST: Final = 250  # characters of a name


def flat_parameters(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Nested tables as one, their names joined by dots, lists by commas."""
    return _unique(_leaves(parameters, ""))


def finite_metrics(metrics: Mapping[str, float]) -> tuple[dict[str, float], list[str]]:
    """The figures that are finite, and the names of the others: MLflow would keep infinity as 1.8e308."""
    kept = _unique((name, value) for name, value in metrics.items() if math.isfinite(value))
    return kept, [name for name, value in metrics.items() if not math.isfinite(value)]


def _leaves(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield f"{prefix}{name}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{name}", str(value)


def _unique(named: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    """Under names that MLflow takes; of names that become alike, each but the first gets a number."""
    taken: dict[str, Any] = {}
    for name, value in named:
        spelt = accepted = _accepted(name)
        number = 2
        while spelt in taken:
            spelt, number = f"{accepted}-{number}", number + 1
        taken[spelt] = value
    return taken


def _accepted(name: str) -> str:
    """Letters, digits and _-.:/ and spaces, and nothing that would be another path as a file's name."""
    spelt = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", name).strip("/").replace("..", "__"))
    return spelt[: LONGEST - 4] if spelt != "." else "_"
