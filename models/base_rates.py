"""How many convert nowadays, where that differs from training: told rates, and what they do to a forecast.

Source: Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities" (2002):
where only the share of those who convert has moved, every log-odds moves by the difference of the shares' log-odds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from features.errors import BadUsage
from features.event_log import Floats
from features.journey import conversion_column

BaseRates = Mapping[str, float]  # by score column: conversion_30d, or conversion where there is no horizon
LEAST, MOST = 1e-6, 1 - 1e-6
_TOLD = re.compile(r"(?P<horizon>\d+d|end)=(?P<rate>[0-9.]+)(?P<percent>%?)")


def read_base_rates(told: Sequence[str], horizons_days: Sequence[int | None]) -> BaseRates:
    """Rates told as `30d=0.04` or `30d=4%`, `end=…` for conversions in the end; none told, none changed.

    Raises BadUsage, all faults at once, where one cannot be read, is no rate, is of no horizon of the model, where a
    horizon is left out, or where a longer horizon has no higher rate than a shorter one.
    """
    if not told:
        return {}
    wanted = {_horizon_name(horizon): conversion_column(horizon) for horizon in horizons_days}
    found: dict[str, float] = {}
    faults = []
    for one in told:
        match = _TOLD.fullmatch(one.strip())
        rate = _rate(match) if match else np.nan
        if match is None or not LEAST <= rate <= MOST:
            faults.append(f"--base-rate {one} is no rate between 0 and 1; write for example 30d=0.04 or 30d=4%")
        elif match["horizon"] not in wanted:
            faults.append(f"--base-rate {one}: this model has the horizons {', '.join(wanted) or 'none'}")
        else:
            found[wanted[match["horizon"]]] = rate
    missing = [name for name, column in wanted.items() if column not in found]
    if not faults and missing:
        faults.append(f"--base-rate is missing for {', '.join(missing)}; tell the rate of every horizon")
    rates = [found[column] for column in wanted.values() if column in found]
    if not faults and (np.diff(rates) <= 0).any():
        faults.append("--base-rate: a longer horizon needs a higher rate than a shorter one")
    if faults:
        raise BadUsage("bad_base_rate", faults)
    return found


def check_base_rates(rates: BaseRates, horizons_days: Sequence[int | None], path: Path) -> None:
    """Raise BadUsage where rates, read from a market file, are not those of a model's horizons."""
    wanted = set(map(conversion_column, horizons_days))
    if rates and set(rates) != wanted:
        raise BadUsage(
            "other_horizons",
            f"{path} tells how many convert for {', '.join(sorted(rates))}, this bundle forecasts "
            f"{', '.join(sorted(wanted)) or 'no conversion'}; survey the market again with this bundle",
        )


def hazard_shifts(rates: BaseRates, horizons_days: Sequence[int | None], base_log_odds: Floats) -> Floats:
    """By how much the log-odds of each interval's hazard move, from `base_log_odds` of training. Shape (horizons,)."""
    if not rates:
        return np.zeros(len(horizons_days))
    reached = np.array([rates[conversion_column(horizon)] for horizon in horizons_days])
    before = np.append(0.0, reached[:-1])
    shifts: Floats = logit((reached - before) / (1.0 - before)) - base_log_odds
    return shifts


def moved_bounds(low: Floats, high: Floats, learnt: Floats, moved: Floats) -> tuple[Floats, Floats]:
    """Bounds of `learnt` probabilities, as far in log-odds from what these have `moved` to. Shapes (rows, horizons).

    As before, each holds its probability and neither falls along a row.
    """
    shift = _log_odds(moved) - _log_odds(learnt)
    low, high = (np.maximum.accumulate(expit(_log_odds(bound) + shift), axis=1) for bound in (low, high))
    return np.minimum(low, moved), np.maximum.accumulate(np.maximum(high, moved), axis=1)


def _log_odds(probability: Floats) -> Floats:
    return np.asarray(logit(np.clip(probability, LEAST, MOST)))


def _horizon_name(horizon_days: int | None) -> str:
    return "end" if horizon_days is None else f"{horizon_days}d"


def _rate(match: re.Match[str]) -> float:
    try:
        return float(match["rate"]) / (100.0 if match["percent"] else 1.0)
    except ValueError:
        return np.nan
