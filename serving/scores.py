"""Scores as columns: a list takes them as a frame, the endpoint as rows, and both hold the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from features.event_log import Bools, Floats, Int64s, from_us

UTC_US = pl.Datetime("us", "UTC")
SETS = pl.List(pl.String)
REASONS = pl.List(pl.Struct({"feature": pl.String, "value": pl.Float64, "effect": pl.Float64, "event_id": pl.String}))


class Codes(NamedTuple):
    """Words, or sets of words: `codes` index `words`, -1 stands for null."""

    codes: npt.NDArray[np.integer[Any]]
    words: Sequence[Any]

    def to_list(self) -> list[Any]:
        words = [*self.words, None]
        return [words[code] for code in self.codes.tolist()]

    def to_series(self, kind: Any) -> pl.Series:
        words = pl.Series([*self.words, None], dtype=kind)
        return words.gather(np.where(self.codes < 0, len(self.words), self.codes))


class Numbers(NamedTuple):
    """Numbers, null where `is_null`: a NaN is no null, but a fault that must be seen."""

    values: Floats
    is_null: Bools

    def to_list(self) -> list[float | None]:
        numbers: list[float | None] = self.values.tolist()
        for row in np.flatnonzero(self.is_null):
            numbers[row] = None
        return numbers

    def to_series(self, kind: Any) -> pl.Series:
        return pl.Series(self.values, dtype=kind).set(pl.Series(self.is_null), None)


class Moments(NamedTuple):
    """UTC microseconds since the epoch."""

    us: Int64s

    def to_list(self) -> list[Any]:
        return [from_us(moment) for moment in self.us]

    def to_series(self, kind: Any) -> pl.Series:
        return pl.Series(self.us).cast(kind)


class Listed(NamedTuple):
    """Anything else, a Python object a row."""

    values: list[Any]

    def to_list(self) -> list[Any]:
        return self.values

    def to_series(self, kind: Any) -> pl.Series:
        return pl.Series(self.values, dtype=kind)


Column = Codes | Numbers | Moments | Listed


@dataclass(frozen=True)
class Scores:
    """One entry a row in each column; the columns and their order are the contract's."""

    columns: dict[str, Column]

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a row."""
        columns = [column.to_list() for column in self.columns.values()]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*columns, strict=True)]

    def frame(self) -> pl.DataFrame:
        """One row a row, with the types that files of scores have."""
        types: dict[str, Any] = {"as_of": UTC_US, "plausible_stages": SETS, "reasons": REASONS}
        series = [
            column.to_series(types.get(name, pl.Float64 if isinstance(column, Numbers) else pl.String)).alias(name)
            for name, column in self.columns.items()
        ]
        return pl.DataFrame(series)


def sets_of(words: Sequence[str], is_in: Bools) -> Codes:
    """For each row the words it marks; `is_in` has shape (rows, words)."""
    patterns, codes = np.unique(is_in, axis=0, return_inverse=True)
    sets = [[word for word, marked in zip(words, pattern, strict=True) if marked] for pattern in patterns]
    return Codes(codes.reshape(-1), sets)
