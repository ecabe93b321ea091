"""The peers' way to the features that data frames express well: counts and sums in windows, first and last, by kind."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.simulated_log import AS_OF_US, simulated_log
from features.aggregate import EVER, Float32s, aggregate
from features.catalog import touchpoint_features
from features.event_log import DAY_US, EventLog, Floats
from features.vocabulary import DEFAULT_SPANS, Kind, Vocabulary, learn_vocabulary

Features = Floats | Float32s
WINDOWS_DAYS = (*DEFAULT_SPANS.windows_days, EVER)
FAMILIES = ("any", "actor", "channel", "action")


def drawn_vocabulary() -> Vocabulary:
    """The vocabulary of drawn touchpoints, without pairs of channel and action: some 300 features."""
    log = simulated_log(1000, seed=0)
    learned = learn_vocabulary(log, np.ones(len(log), dtype=np.bool_))
    return replace(learned, kinds=tuple(kind for kind in learned.kinds if kind.family != "channel and action"))


def compared_kinds(vocabulary: Vocabulary) -> list[Kind]:
    """The kinds whose features the peers compute as well."""
    return [kind for kind in vocabulary.kinds if kind.family in FAMILIES]


def compared_columns(vocabulary: Vocabulary) -> list[int]:
    """Where the compared features stand among the columns of `aggregate`, in the peers' order."""
    names = [feature.name for feature in touchpoint_features(vocabulary)]
    words = {"any": "any touchpoint", "actor": "by the {}", "channel": "channel {}", "action": "action {}"}
    counts = [f"times in {days:g} day{'' if days == 1 else 's'}" for days in WINDOWS_DAYS if days != EVER]
    rest = ["times ever", "days since the last", "days since the first", "value in 30 days", "value ever"]
    return [
        names.index(f"{words[kind.family].format(kind.name)}: {measure}")
        for kind in compared_kinds(vocabulary)
        for measure in counts + rest
    ]


def by_this_program(log: EventLog, vocabulary: Vocabulary) -> Callable[[], Features]:
    """All features of every customer."""
    hidden, customer = np.zeros(len(log), dtype=np.bool_), np.arange(len(log.offsets) - 1)
    as_of_us = np.full(len(customer), AS_OF_US)
    return lambda: aggregate(log, vocabulary, hidden, customer, as_of_us)


def by_polars(log: EventLog, vocabulary: Vocabulary) -> Callable[[], Features]:
    """The compared features in one lazy group_by; customers and codes are whole numbers already."""
    frame = pl.DataFrame(_columns(log)).with_columns(pl.col("value").fill_nan(None))
    query = polars_query(frame, log, vocabulary)
    return lambda: query.collect().drop("customer").to_numpy()


def polars_query(frame: pl.DataFrame, log: EventLog, vocabulary: Vocabulary) -> pl.LazyFrame:
    """One group_by over the columns customer, age_days, is_company, channel, action and value."""
    kinds = {f"kind{i}": _polars_kind(kind, log) for i, kind in enumerate(compared_kinds(vocabulary))}
    windows = {f"within{days:g}": pl.col("age_days") < days for days in WINDOWS_DAYS if days != EVER}
    features = [
        expression.alias(f"{kind}_{i}") for kind in kinds for i, expression in enumerate(_polars_features(pl.col(kind)))
    ]
    return frame.lazy().with_columns(**kinds, **windows).group_by("customer").agg(features).sort("customer")


def _polars_kind(kind: Kind, log: EventLog) -> pl.Expr:
    match kind.family:
        case "actor":
            return pl.col("is_company") == (kind.name == "company")
        case "channel":
            return pl.col("channel") == _code(log.channels, kind.name)
        case "action":
            return pl.col("action") == _code(log.actions, kind.name)
    return pl.lit(True)


def _polars_features(kind: pl.Expr) -> list[pl.Expr]:
    age_days, value = pl.col("age_days"), pl.col("value")
    valued = pl.when((kind & value.is_not_null()).any())
    return [
        *((kind & pl.col(f"within{days:g}")).sum() for days in WINDOWS_DAYS if days != EVER),
        kind.sum(),
        age_days.filter(kind).min(),
        age_days.filter(kind).max(),
        valued.then(value.filter(kind & pl.col("within30")).sum()),
        valued.then(value.filter(kind).sum()),
    ]


def by_pandas(log: EventLog, vocabulary: Vocabulary) -> Callable[[], Features]:
    """The compared features by one groupby for each kind."""
    frame = pd.DataFrame(_columns(log))
    counted = {f"{days:g}": 0 for days in WINDOWS_DAYS}

    def run() -> Features:
        windows = {f"{days:g}": (frame["age_days"] < days).astype(np.int64) for days in WINDOWS_DAYS}
        wide = frame.assign(**windows, value_30d=frame["value"].where(frame["age_days"] < 30.0, 0.0 * frame["value"]))
        parts = [_pandas_features(wide[_pandas_kind(kind, wide, log)]) for kind in compared_kinds(vocabulary)]
        everybody = range(len(log.offsets) - 1)
        return np.hstack([part.reindex(everybody).fillna(counted).to_numpy(dtype=np.float64) for part in parts])

    return run


def _pandas_kind(kind: Kind, frame: pd.DataFrame, log: EventLog) -> pd.Series:
    match kind.family:
        case "actor":
            return frame["is_company"] == (kind.name == "company")
        case "channel":
            return frame["channel"] == _code(log.channels, kind.name)
        case "action":
            return frame["action"] == _code(log.actions, kind.name)
    return pd.Series(True, index=frame.index)


def _pandas_features(frame: pd.DataFrame) -> pd.DataFrame:
    groups = frame.groupby("customer", sort=True)
    counts = groups[[f"{days:g}" for days in WINDOWS_DAYS]].sum()
    ages, sums = groups["age_days"], groups[["value_30d", "value"]].sum(min_count=1)
    return pd.concat([counts, ages.min(), ages.max(), sums], axis=1)


def _columns(log: EventLog) -> dict[str, Any]:
    customer = np.repeat(np.arange(len(log.offsets) - 1), np.diff(log.offsets))
    age_days = (AS_OF_US - log.occurred_us) / DAY_US
    columns: dict[str, Any] = {"customer": customer, "age_days": age_days, "is_company": log.is_company}
    return columns | {"channel": log.channel, "action": log.action, "value": log.value}


def _code(names: list[str], name: str) -> int:
    return names.index(name) if name in names else -1


CONTENDERS = {"journeycast": by_this_program, "polars": by_polars, "pandas": by_pandas}


def main() -> None:
    """Compute the features of so many customers by one contender, in a process of its own; print what it took."""
    contender, customers, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    log = simulated_log(customers, seed=0)
    vocabulary = drawn_vocabulary()
    CONTENDERS[contender](simulated_log(1000, seed=0), vocabulary)()  # what is done once is done now
    run = CONTENDERS[contender](log, vocabulary)
    before_kib = resident_kib()
    started, cpu = time.perf_counter(), time.process_time()
    features = run()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    columns = compared_columns(vocabulary) if contender == "journeycast" else slice(None)
    np.save(out, np.nan_to_num(np.asarray(features[:1000, columns], dtype=np.float64), nan=-1.0))
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "extra_bytes": 1024 * (peak_kib - before_kib)}))


def resident_kib() -> int:
    """Memory of this process now."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


if __name__ == "__main__":
    main()
