"""The peers' ways to score a list from one file of touchpoints, each in a process of its own.

They compute counts, sums, firsts and lasts of each kind that a group_by expresses well, a part of what this program
computes, and predict with the very trees of the bundle, on as many columns as those look at.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl

from benchmarks.peak import peak_bytes
from benchmarks.tutorial_features import tutorial_features
from features.event_log import DAY_US
from features.vocabulary import OTHER, PAIR_CUT, Kind
from models.bundle import load_bundle
from models.stage import StageModel
from models.trees import Trees

WINDOWS_DAYS = (1, 7, 30, 90, 365)
KINDS = ("actor", "channel", "action")


def by_tutorial(touchpoints: Path, bundle: Path, as_of_us: int) -> int:
    """pandas as tutorials have it: a group_by, and for each customer the function that their endpoint calls."""
    frame = pd.read_parquet(touchpoints).drop_duplicates()
    age = pd.Timestamp(as_of_us * 1000, tz="UTC") - frame["occurred_at"]
    frame["age_days"] = age.dt.total_seconds() / 86_400
    known = frame[frame["age_days"] >= 0]
    rows = {customer: tutorial_features(history) for customer, history in known.groupby("customer_id")}
    return _predicted_by_frame(pd.DataFrame.from_dict(rows, orient="index"), bundle)


def by_pandas(touchpoints: Path, bundle: Path, as_of_us: int) -> int:
    """pandas: a group_by for each kind and window, joined, and LightGBM on the frame."""
    frame = pd.read_parquet(touchpoints).drop_duplicates()
    frame["age_days"] = (pd.Timestamp(as_of_us * 1000, tz="UTC") - frame["occurred_at"]).dt.total_seconds() / 86_400
    frame = frame[frame["age_days"] >= 0]
    parts = []
    for name, rows in [("any", frame), *(((k, v), rows) for k in KINDS for v, rows in frame.groupby(k))]:
        grouped = rows.groupby("customer_id")
        parts.append(grouped["age_days"].agg(["min", "max", "count"]).add_prefix(f"{name} "))
        parts.append(grouped["value"].sum().rename(f"{name} value"))
        for days in WINDOWS_DAYS:
            within = rows[rows["age_days"] <= days]
            parts.append(within.groupby("customer_id").size().rename(f"{name} times in {days}"))
    return _predicted_by_frame(pd.concat(parts, axis=1), bundle)


def by_pandas_alike(touchpoints: Path, bundle: Path, as_of_us: int) -> int:
    """pandas with the columns of `by_polars_alike`: a group_by for each kind."""
    vocabulary = load_bundle(bundle).model.reader.vocabulary
    spans = vocabulary.spans
    frame = pd.read_parquet(touchpoints).drop_duplicates()
    age = (pd.Timestamp(as_of_us * 1000, tz="UTC") - frame["occurred_at"]).dt.total_seconds() / 86_400
    within = {f"within{days}": age < days for days in spans.windows_days}
    weights = {f"weight{days}": np.exp2(-age / days) for days in spans.half_lives_days}
    frame = frame.assign(age=age, **within, **weights, value30=frame["value"].where(age < 30))[age >= 0]
    summed = [*within, *weights, "value30", "value"]
    parts = []
    for kind in vocabulary.kinds:
        chosen = _pandas_chosen(frame, kind)
        if chosen is not None:
            grouped = frame[chosen].groupby("customer_id")
            measures = [grouped[summed].sum(), grouped.size().rename("times"), grouped["age"].agg(["min", "max"])]
            measures += [grouped["value"].mean().rename("mean"), grouped["value"].last().rename("last")]
            parts += measures
    return _predicted_by_frame(pd.concat(parts, axis=1), bundle)


def by_polars(touchpoints: Path, bundle: Path, as_of_us: int) -> int:
    """Polars as it is usually used: some 240 counts, sums, firsts and lasts."""
    values = {kind: pl.scan_parquet(touchpoints).select(kind).unique().collect()[kind].to_list() for kind in KINDS}
    chosen = {"any": pl.lit(True)} | {f"{k} {v}": pl.col(k).eq_missing(v) for k in KINDS for v in values[k]}
    aggregates: list[pl.Expr] = []
    for name, is_kind in chosen.items():
        age = pl.col("age_days").filter(is_kind)
        aggregates += [(is_kind & (pl.col("age_days") <= d)).sum().alias(f"{name} {d}") for d in WINDOWS_DAYS]
        aggregates += [is_kind.sum().alias(f"{name} ever") if name != "any" else pl.len().alias("any ever")]
        aggregates += [age.min().alias(f"{name} last"), age.max().alias(f"{name} first")]
        aggregates += [pl.col("value").filter(is_kind).sum().alias(f"{name} value")]
    return _predicted(_rows(touchpoints, as_of_us).group_by("customer_id").agg(aggregates), bundle)


def by_polars_alike(touchpoints: Path, bundle: Path, as_of_us: int) -> int:
    """Polars with what it can express of this program's features: of all kinds windows, decayed counts, values, ages.

    Left out are the measures of order (sessions, gaps, steps, answers), the market, the second view of the history that
    the stage model has, and the line on ranks.
    """
    vocabulary = load_bundle(bundle).model.reader.vocabulary
    spans, age, value = vocabulary.spans, pl.col("age_days"), pl.col("value")
    kinds = {f"kind{i}": chosen for i, kind in enumerate(vocabulary.kinds) if (chosen := _chosen(kind)) is not None}
    windows = {f"within{days}": age < days for days in {*spans.windows_days, 30}}
    weights = {f"weight{days}": (age * (-math.log(2) / days)).exp() for days in spans.half_lives_days}
    aggregates: list[pl.Expr] = []
    for name in kinds:
        of_kind = pl.col(name)
        measures = [(of_kind & pl.col(f"within{days}")).sum() for days in spans.windows_days]
        measures += [of_kind.sum(), age.filter(of_kind).min(), age.filter(of_kind).max()]
        measures += [pl.col(f"weight{days}").filter(of_kind).sum() for days in spans.half_lives_days]
        measures += [value.filter(of_kind & pl.col("within30")).sum(), value.filter(of_kind).sum()]
        measures += [value.filter(of_kind).mean(), value.filter(of_kind).last()]
        aggregates += [measure.alias(f"{name} {i}") for i, measure in enumerate(measures)]
    rows = _rows(touchpoints, as_of_us).with_columns(**kinds, **windows, **weights)
    return _predicted(rows.group_by("customer_id").agg(aggregates), bundle)


def _predicted_by_frame(features: pd.DataFrame, bundle: Path) -> int:
    """How many customers: both models asked by LightGBM with frames, as its wrapper for scikit-learn does."""
    for trees in _trees(bundle):
        booster = lgb.Booster(model_str=trees.text)
        booster.predict(pd.DataFrame(_widened(features.to_numpy(np.float32), len(trees.columns))))
    return len(features)


def _rows(touchpoints: Path, as_of_us: int) -> pl.LazyFrame:
    age_us = as_of_us - pl.col("occurred_at").dt.epoch("us")
    return pl.scan_parquet(touchpoints).unique().with_columns(age_days=age_us / DAY_US).filter(pl.col("age_days") >= 0)


def _chosen(kind: Kind) -> pl.Expr | None:
    match kind.family:
        case "any":
            return pl.lit(True)
        case "actor" | "channel" | "action" | "campaign" if kind.name != OTHER:
            return pl.col(kind.family).eq_missing(kind.name)
        case "channel and action":
            channel, action = kind.name.split(PAIR_CUT)
            return pl.col("channel").eq_missing(channel) & pl.col("action").eq_missing(action)
    return None


def _pandas_chosen(frame: pd.DataFrame, kind: Kind) -> pd.Series | None:
    match kind.family:
        case "any":
            return pd.Series(data=True, index=frame.index)
        case "actor" | "channel" | "action" | "campaign" if kind.name != OTHER:
            return frame[kind.family] == kind.name
        case "channel and action":
            channel, action = kind.name.split(PAIR_CUT)
            return (frame["channel"] == channel) & (frame["action"] == action)
    return None


def _predicted(features: pl.LazyFrame, bundle: Path) -> int:
    """How many customers: their features computed, and both models asked by LightGBM, with all threads."""
    frame = features.collect()
    matrix = frame.drop("customer_id").cast(pl.Float32).to_numpy()
    for trees in _trees(bundle):
        lgb.Booster(model_str=trees.text).predict(_widened(matrix, len(trees.columns)), num_threads=0)
    return frame.height


def _trees(bundle: Path) -> list[Trees]:
    model = load_bundle(bundle).model
    stage = [model.stage.trees] if isinstance(model.stage, StageModel) and model.stage.trees is not None else []
    return stage + ([] if model.conversion is None else [hazard.trees for hazard in model.conversion.hazards])


def _widened(features: np.ndarray, columns: int) -> np.ndarray:
    """The features again and again, up to the columns that the trees look at."""
    return np.ascontiguousarray(np.tile(features, (1, -(-columns // features.shape[1])))[:, :columns])


if __name__ == "__main__":
    contenders = {"tutorial": by_tutorial, "pandas": by_pandas, "pandas alike": by_pandas_alike}
    contenders |= {"polars": by_polars, "polars alike": by_polars_alike}
    contender = contenders[sys.argv[1]]
    started = time.perf_counter()
    customers = contender(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    took = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time(), "customers": customers}
    print(json.dumps({**took, "peak_bytes": peak_bytes()}))
