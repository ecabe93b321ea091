"""The rows that were judged: what was forecast for each, and what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from features.event_log import Bools, Floats, Int64s
from models.reliability import Reliability


class Outcomes(NamedTuple):
    """The forecasts of rows for one horizon and whether they converted: (rows,) each."""

    probability: Floats
    converted: Bools
    person: list[str]
    as_of_us: Int64s
    rows: Int64s


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """Forecasts beside the truth, for pictures; kept in memory only.

    Shapes: `conversion` (rows, horizons) and `converted` (rows, horizons; -1 not known), in the order of
    `horizons_days`; `stages` (rows, stages), `stage` (rows,; -1 not known) and `decided` (rows,), empty where no stage
    is judged; `reliability` has a code for each row, or none at all where nobody asked.
    """

    person: Sequence[str]
    as_of_us: Int64s
    horizons_days: tuple[int | None, ...]
    conversion: Floats
    converted: NDArray[Any]
    stages: Floats
    stage: NDArray[Any]
    decided: Int64s
    reliability: Sequence[Reliability] = ()

    def outcomes(self, h: int) -> Outcomes:
        """The rows whose outcome for horizon number `h` is known."""
        known = (self.converted[:, h] >= 0).nonzero()[0]
        return Outcomes(
            self.conversion[known, h],
            self.converted[known, h] == 1,
            [self.person[row] for row in known.tolist()],
            self.as_of_us[known],
            known,
        )
