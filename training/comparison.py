"""Two models on the same rows: every figure a difference, challenger minus champion, in each resample of persons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from features.event_log import Bools, Floats
from training.bootstrap import resample
from training.evaluate import Forecasts
from training.labels import LabelledRows
from training.metrics import CONVERSION_METRICS
from training.weighted_rows import DecidedRows, RankedRows

RESAMPLES: Final = 1_000  # the tails of many slices are wanted, not only 2.5 %
ERROR: Final = 0.05  # one-sided, shared by all that is asked at once (Bonferroni)
LEAST_OF_EACH: Final = 20  # rows of a slice with a conversion, and without one
LOSS, PRECISION, CALIBRATION = (CONVERSION_METRICS.index(name) for name in ("log_loss", "average_precision", "ece"))


@dataclass(frozen=True)
class Difference:
    """Challenger minus champion, and the bounds beyond which it lies with the agreed error; NaN where undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """What the gate decides by. Log loss and ECE are better when lower, average precision and macro-F1 when higher.

    Conversion figures are means over the horizons that both forecast; None where there are none, and for the stage
    where it cannot be judged. `slices` holds the difference in log loss of the conversion, by a slice's name.
    `size_ratio` and `time_ratio` are challenger / champion: bytes of the bundle, seconds a row.
    `days_fresher`: how much later the challenger's last training row is.
    """

    rows: int
    converted: int
    persons: int
    left_out: int
    log_loss: Difference | None
    average_precision: Difference | None
    ece: Difference | None
    stage_log_loss: Difference | None
    stage_macro_f1: Difference | None
    slices: Mapping[str, Difference]
    size_ratio: float
    time_ratio: float
    days_fresher: float


@dataclass(frozen=True)
class Differences:
    """The part of a comparison that the rows tell."""

    log_loss: Difference | None = None
    average_precision: Difference | None = None
    ece: Difference | None = None
    stage_log_loss: Difference | None = None
    stage_macro_f1: Difference | None = None


class _Horizon:
    """One horizon's known rows, as each model ranks them."""

    def __init__(self, challenger: Floats, champion: Floats, converted: Bools, known: Bools) -> None:
        self.known = known
        self.ranked = [RankedRows(converted[known], probability[known]) for probability in (challenger, champion)]

    def differences(self, weights: Floats) -> Floats:
        one, other = (ranked.measures(weights[self.known]) for ranked in self.ranked)
        found: Floats = (one - other)[[LOSS, PRECISION, CALIBRATION]]
        return found


def compare(challenger: Forecasts, champion: Forecasts, rows: LabelledRows, seed: int) -> Differences:
    """The differences on rows whose horizons are the forecasts' columns; the stage where both forecast it.

    All persons are drawn anew for each of 1,000 resamples, and both models measured in it. Each bound of the log losses
    and their partners leaves out 5 % / (number of these).
    """
    horizons = _horizons(challenger, champion, rows)
    stages = _stages(challenger, champion, rows)
    if not horizons and stages is None:
        return Differences()

    def measures(weights: Floats) -> Floats:
        conversion = [np.mean([of.differences(weights) for of in horizons], axis=0)] if horizons else []
        return np.concatenate([*conversion, *([stages(weights)] if stages else [])])

    values = measures(np.ones(len(rows)))
    drawn = resample(measures, len(values), rows.customer_id, seed, RESAMPLES)
    error = ERROR / (2 * bool(horizons) + 2 * bool(stages))
    found = [_difference(value, drawn[:, i], error) for i, value in enumerate(values)]
    conversion, stage = (found[:3], found[3:]) if horizons else ([], found)
    named = dict(zip(("log_loss", "average_precision", "ece"), conversion, strict=False))
    return Differences(**named, **dict(zip(("stage_log_loss", "stage_macro_f1"), stage, strict=False)))


def compare_slices(
    challenger: Forecasts, champion: Forecasts, rows: LabelledRows, slices: Mapping[str, Bools], seed: int
) -> dict[str, Difference]:
    """The difference in log loss of each slice that has 20 conversions and 20 rows without one.

    Each bound leaves out 5 % / (number of slices).
    """
    loss, counted = _loss_differences(challenger, champion, rows)
    converted = (rows.converted == 1).any(axis=1)
    usable = {
        name: inside & counted
        for name, inside in slices.items()
        if min((inside & counted & converted).sum(), (inside & counted & ~converted).sum()) >= LEAST_OF_EACH
    }
    if not usable:
        return {}
    masks = np.array(list(usable.values()), dtype=np.float64)

    def measures(weights: Floats) -> Floats:
        weighed = masks * weights
        with np.errstate(invalid="ignore"):  # a resample may leave a slice without a row: NaN
            found: Floats = weighed @ loss / weighed.sum(axis=1)
        return found

    values, drawn = measures(np.ones(len(rows))), resample(measures, len(masks), rows.customer_id, seed, RESAMPLES)
    error = ERROR / len(masks)
    return {name: _difference(values[i], drawn[:, i], error) for i, name in enumerate(usable)}


def _horizons(challenger: Forecasts, champion: Forecasts, rows: LabelledRows) -> list[_Horizon]:
    if challenger.conversion is None or champion.conversion is None:
        return []
    known = rows.converted >= 0
    return [
        _Horizon(challenger.conversion[:, h], champion.conversion[:, h], rows.converted[:, h] == 1, known[:, h])
        for h in range(len(rows.horizons_days))
        if {0, 1} <= set(rows.converted[:, h].tolist())
    ]


class _Stages:
    """The rows whose stage is known, as each model decides them."""

    def __init__(self, challenger: Forecasts, champion: Forecasts, rows: LabelledRows) -> None:
        self.known = rows.stage >= 0
        self.decided = []
        for said in (challenger, champion):
            if said.stage is not None:
                shares = said.stage[self.known]
                decided = shares.argmax(axis=1) if said.decided is None else said.decided[self.known]
                self.decided.append(DecidedRows(rows.stage[self.known].astype(np.int64), decided, shares))

    def __call__(self, weights: Floats) -> Floats:
        one, other = (decided.measures(weights[self.known]) for decided in self.decided)
        found: Floats = (one - other)[[2, 0]]  # log loss, macro-F1
        return found


def _stages(challenger: Forecasts, champion: Forecasts, rows: LabelledRows) -> _Stages | None:
    if challenger.stage is None or champion.stage is None or not (rows.stage >= 0).any():
        return None
    return _Stages(challenger, champion, rows)


def _loss_differences(challenger: Forecasts, champion: Forecasts, rows: LabelledRows) -> tuple[Floats, Bools]:
    """The difference in log loss of each row, a mean over the horizons known, and which rows have one."""
    known = rows.converted >= 0
    if challenger.conversion is None or champion.conversion is None or not rows.horizons_days:
        return np.zeros(len(rows)), np.zeros(len(rows), dtype=np.bool_)
    floor = float(np.finfo(np.float64).eps)
    yes = rows.converted == 1
    one, other = (
        -np.log(np.maximum(np.where(yes, said, 1 - said), floor))
        for said in (challenger.conversion, champion.conversion)
    )
    counted: Bools = np.any(known, axis=1)
    return np.where(known, one - other, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1), counted


def _difference(value: float, drawn: Floats, error: float) -> Difference:
    defined = drawn[~np.isnan(drawn)]
    if np.isnan(value) or 2 * len(defined) < RESAMPLES:
        return Difference(float(value), np.nan, np.nan)
    low, high = np.quantile(defined, [error, 1 - error]).tolist()
    return Difference(float(value), low, high)
