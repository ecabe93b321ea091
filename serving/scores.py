"""Scores as columns: the endpoint takes them as rows, `serving.score_frame` makes a list's frame of the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from features.event_log import Bools, Floats, Int64s, from_us


class Codes(NamedTuple):
    """Words, or sets of words: `codes` index `words`, -1 stands for null."""

    codes: npt.NDArray[np.integer[Any]]
    words: Sequence[Any]

    def to_list(self) -> list[Any]:
        words = [*self.words, None]
        return [words[code] for code in self.codes.tolist()]


class Numbers(NamedTuple):
    """Numbers, null where `is_null`: a NaN is no null, but a fault that must be seen."""

    values: Floats
    is_null: Bools

    def to_list(self) -> list[float | None]:
        numbers: list[float | None] = self.values.tolist()
        for row in np.flatnonzero(self.is_null):
            numbers[row] = None
        return numbers


class Moments(NamedTuple):
    """UTC microseconds since the epoch."""

    us: Int64s

    def to_list(self) -> list[Any]:
        return [from_us(moment) for moment in self.us]


class Listed(NamedTuple):
    """Anything else, a Python object a row."""

    values: list[Any]

    def to_list(self) -> list[Any]:
        return self.values


Column = Codes | Numbers | Moments | Listed


@dataclass(frozen=True)
class Scores:
    """One entry a row in each column; the columns and their order are the contract's."""

    columns: dict[str, Column]

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a row."""
        columns = [column.to_list() for column in self.columns.values()]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def sets_of(words: Sequence[str], is_in: Bools) -> Codes:
    """For each row the words it marks; `is_in` has shape (rows, words)."""
    patterns, codes = np.unique(is_in, axis=0, return_inverse=True)
    sets = [[word for word, marked in zip(words, pattern, strict=True) if marked] for pattern in patterns]
    return Codes(codes.reshape(-1), sets)
