"""How many convert nowadays, where that differs from training: rates told or seen, and what they do to a forecast.

Every log-odds moves by one amount, so that the mean forecast for the market is the rate: only the intercept is renewed,
as in King and Zeng, "Logistic regression in rare events data" (2001). Where it was only the share of those who convert
that moved, this is the correction of Saerens, Latinne and Decaestecker (2002); where the customers have changed too,
what these already explain is not counted twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.errors import BadUsage
from features.event_log import Floats
from features.journey import conversion_column
from models.calibration import FARTHEST, sigmoid
from models.conversion import cumulative

LEAST, MOST = 1e-6, 1 - 1e-6
_TOLD = re.compile(r"(?P<horizon>\d+d|end)=(?P<rate>[0-9.]+)(?P<percent>%?)")


@dataclass(frozen=True)
class BaseRate:
    """The share that converts within a horizon, and what it adds to the log-odds of the interval that ends there."""

    rate: float
    shift: float


BaseRates = Mapping[str, BaseRate]  # by score column: conversion_30d, or conversion where there is no horizon


def read_rates(told: Sequence[str], horizons_days: Sequence[int | None]) -> list[float]:
    """The rate of each horizon, told as `30d=0.04` or `30d=4%`, `end=…` for conversions in the end; empty: none told.

    Raises BadUsage, all faults at once, where one cannot be read, is no rate, is of no horizon of the model, where a
    horizon is left out, or where a longer horizon has no higher rate than a shorter one.
    """
    if not told:
        return []
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
    return rates


def shift_to(rate: float, log_odds: Floats, shifts: Sequence[float]) -> float:
    """What the last interval's hazard needs for a mean forecast of `rate`, where those before it move by `shifts`.

    `log_odds` (rows, len(shifts) + 1) are those of the hazards. Where no shift reaches the rate, the farthest.
    """
    from scipy.optimize import brentq  # most of a second, which scoring need not pay

    def beyond(shift: float) -> float:
        return float(cumulative(sigmoid(log_odds + np.append(shifts, shift)))[:, -1].mean()) - rate

    if beyond(-FARTHEST) >= 0:
        return -FARTHEST
    return float(brentq(beyond, -FARTHEST, FARTHEST)) if beyond(FARTHEST) > 0 else FARTHEST


def check_base_rates(rates: BaseRates, horizons_days: Sequence[int | None], path: Path) -> None:
    """Raise BadUsage where rates, read from a market file, are not those of a model's horizons."""
    wanted = set(map(conversion_column, horizons_days))
    if rates and set(rates) != wanted:
        raise BadUsage(
            "other_horizons",
            f"{path} tells how many convert for {', '.join(sorted(rates))}, this bundle forecasts "
            f"{', '.join(sorted(wanted)) or 'no conversion'}; survey the market again with this bundle",
        )


def hazard_shifts(rates: BaseRates, horizons_days: Sequence[int | None]) -> Floats:
    """By how much the log-odds of each interval's hazard move, 0 where no rates are known. Shape (horizons,)."""
    columns = map(conversion_column, horizons_days)
    return np.array([rates[column].shift if rates else 0.0 for column in columns])


def moved_bounds(low: Floats, high: Floats, learnt: Floats, moved: Floats) -> tuple[Floats, Floats]:
    """Bounds of `learnt` probabilities, as far in log-odds from what these have `moved` to. Shapes (rows, horizons).

    As before, each holds its probability and neither falls along a row.
    """
    shift = _log_odds(moved) - _log_odds(learnt)
    low, high = (np.maximum.accumulate(sigmoid(_log_odds(bound) + shift), axis=1) for bound in (low, high))
    return np.minimum(low, moved), np.maximum.accumulate(np.maximum(high, moved), axis=1)


def _log_odds(probability: Floats) -> Floats:
    clear = np.clip(probability, LEAST, MOST)
    return np.asarray(np.log(clear / (1.0 - clear)))


def _horizon_name(horizon_days: int | None) -> str:
    return "end" if horizon_days is None else f"{horizon_days}d"


def _rate(match: re.Match[str]) -> float:
    try:
        return float(match["rate"]) / (100.0 if match["percent"] else 1.0)
    except ValueError:
        return np.nan
