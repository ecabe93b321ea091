"""Whether forecasts are as sure as they should be: rates within intervals, stages within sets, doubt where due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from features.event_log import Bools, Floats, Int64s

BINS = 10


@dataclass(frozen=True)
class IntervalBin:
    """Rows of like probability: the means of their interval, and the rate that came with its 95 % interval (Wilson)."""

    n: int
    low: float
    high: float
    rate: float
    rate_low: float
    rate_high: float

    @property
    def holds(self) -> bool:
        """Whether the mean interval and that of the rate have a point in common."""
        return self.low <= self.rate_high and self.rate_low <= self.high


@dataclass(frozen=True)
class SetCoverage:
    """Of the rows of one stage, or of all, how many have it in their set; and how large the sets are."""

    n: int
    covered: float
    mean_size: float


@dataclass(frozen=True)
class Doubt:
    """Rows of one reliability code: how many converted, and the log loss beside that of telling them all their rate."""

    n: int
    base_rate: float
    log_loss: float
    log_loss_of_rate: float

    @property
    def skill(self) -> float:
        """How much of the uncertainty about who converts the forecasts take away; 0 is none, less is harm."""
        return 1.0 - self.log_loss / self.log_loss_of_rate if self.log_loss_of_rate > 0 else np.nan


def interval_bins(
    low: Floats, high: Floats, probability: Floats, converted: Bools, bins: int = BINS
) -> list[IntervalBin]:
    """Rows in bins of equal count by rising probability, and whether each bin's rate agrees with its intervals."""
    found = []
    for rows in np.array_split(np.argsort(probability, kind="stable"), min(bins, len(probability))):
        yes = int(converted[rows].sum())
        rate = binomtest(yes, len(rows)).proportion_ci(method="wilson")
        found.append(
            IntervalBin(
                len(rows), float(low[rows].mean()), float(high[rows].mean()), yes / len(rows), rate.low, rate.high
            )
        )
    return found


def set_coverage(plausible: Bools, stage: Int64s) -> SetCoverage:
    """`plausible` has the shape (rows, stages), `stage` is the true one of each row, of which there is one at least."""
    covered = plausible[np.arange(len(stage)), stage].mean()
    return SetCoverage(len(stage), float(covered), float(plausible.sum(axis=1).mean()))


def naive_sets(probabilities: Floats, coverage: float) -> Bools:
    """The likeliest stages of each row until their probabilities reach `coverage`. Shape (rows, stages)."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    before = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    taken = np.hstack([np.zeros((len(order), 1)), before[:, :-1]]) < coverage
    sets = np.zeros(probabilities.shape, dtype=np.bool_)
    np.put_along_axis(sets, order, taken, axis=1)
    return sets


def doubts(reliability: Sequence[str], probability: Floats, converted: Bools) -> dict[str, Doubt]:
    """Rows by reliability code, the codes in order of their names; all of them as `all`."""
    codes = np.array([str(code) for code in reliability])
    loss = np.logaddexp(0.0, np.where(converted, -1.0, 1.0) * _log_odds(probability))
    chosen = {code: codes == code for code in sorted(set(codes.tolist()))} | {
        "all": np.ones(len(codes), dtype=np.bool_)
    }
    found = {}
    for code, rows in chosen.items():
        rate = float(converted[rows].mean())
        of_rate = -sum(share * np.log(share) for share in (rate, 1 - rate) if share > 0)
        found[code] = Doubt(int(rows.sum()), rate, float(loss[rows].mean()), float(of_rate))
    return found


def _log_odds(probability: Floats) -> Floats:
    clear = np.clip(probability, 1e-15, 1 - 1e-15)
    return np.asarray(np.log(clear / (1 - clear)))
