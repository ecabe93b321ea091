"""Scores as a frame, with the types that files of scores have. The endpoint needs none: Polars costs it 26 MB."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from serving.scores import Codes, Column, Listed, Moments, Numbers, Scores

UTC_US = pl.Datetime("us", "UTC")
SETS = pl.List(pl.String)
REASONS = pl.List(pl.Struct({"feature": pl.String, "value": pl.Float64, "effect": pl.Float64, "event_id": pl.String}))
TYPES: dict[str, Any] = {"as_of": UTC_US, "plausible_stages": SETS, "reasons": REASONS}


def frame_of(scores: Scores) -> pl.DataFrame:
    """One row a row of `scores`."""
    return pl.DataFrame([_series(name, column) for name, column in scores.columns.items()])


def _series(name: str, column: Column) -> pl.Series:
    match column:
        case Codes(codes, words):
            known = pl.Series([*words, None], dtype=TYPES.get(name, pl.String))
            return known.gather(np.where(codes < 0, len(words), codes)).alias(name)
        case Numbers(values, is_null):
            return pl.Series(name, values, dtype=pl.Float64).set(pl.Series(is_null), None)
        case Moments(us):
            return pl.Series(name, us).cast(UTC_US)
        case Listed(values):
            return pl.Series(name, values, dtype=TYPES.get(name, pl.String))
