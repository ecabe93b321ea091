"""95 % intervals of metrics by drawing persons, not rows, with replacement.

Several snapshots of one person resemble each other, so intervals over rows would be too narrow. Drawing whole persons
is the pairs cluster bootstrap (Cameron, Gelbach and Miller 2008, Review of Economics and Statistics 90(3)); the
interval is the percentile one (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Persons = Sequence[str] | NDArray[Any]

RESAMPLES: Final = 500
INTERVAL: Final = (0.025, 0.975)


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; NaN where not defined, and then `reason` says why (else it is empty)."""

    value: float
    low: float
    high: float
    reason: str = ""


def resample(
    measures: Callable[[Floats], Floats], n_measures: int, person: Persons, seed: int, resamples: int = RESAMPLES
) -> Floats:
    """What `measures` gives in each resample: float64[resamples, n_measures].

    `measures` takes the weights of the rows (float64[n]: how often the row's person was drawn) and returns
    float64[n_measures], NaN where undefined. The draws depend on the seed and the set of persons, not on the order of
    rows. Fewer than two persons give no resamples.
    """
    people, of_row = np.unique(np.asarray(person), return_inverse=True)
    if len(people) < 2:
        return np.empty((0, n_measures))
    random = np.random.default_rng(seed)
    drawn = np.empty((resamples, n_measures))
    for i in range(resamples):
        times = np.bincount(random.integers(len(people), size=len(people)), minlength=len(people))
        drawn[i] = measures(times[of_row].astype(np.float64))
    return drawn


def estimate(value: float, resampled: Floats, why_undefined: str = "") -> Estimate:
    """`value` with the interval of one metric's resamples (float64[resamples], NaN where undefined)."""
    if np.isnan(value):
        return Estimate(value, np.nan, np.nan, why_undefined)
    if not len(resampled):
        return Estimate(value, np.nan, np.nan, "an interval needs two persons")
    defined = resampled[~np.isnan(resampled)]
    if 2 * len(defined) < len(resampled):
        return Estimate(value, np.nan, np.nan, "undefined in most resamples: too few persons of one class")
    low, high = np.quantile(defined, INTERVAL).tolist()
    return Estimate(value, low, high)
