"""How good probabilities are: verdicts on conversion and on the stage, each figure with its 95 % interval and counts.

Point values come from scikit-learn where it has them, intervals from the bootstrap over persons. A metric that is not
defined, such as the ROC AUC of rows of one class, is NaN and says why; it never raises. Arrays that cannot be judged at
all (lengths that differ, probabilities outside [0, 1], outcomes that are not known) raise ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import sklearn.metrics
from numpy.typing import NDArray

from training.bootstrap import RESAMPLES, Floats, Persons, estimate, resample
from training.bootstrap import Estimate as Estimate
from training.weighted_rows import DecidedRows, RankedRows

Bools = NDArray[np.bool_]
Stages = NDArray[np.integer[Any]]
ConversionMetric = Literal["roc_auc", "average_precision", "log_loss", "brier", "ece", "lift_at_10_percent"]

CONVERSION_METRICS: Final[tuple[ConversionMetric, ...]] = get_args(ConversionMetric)
SUM_TOLERANCE: Final = 1e-4


@dataclass(frozen=True)
class ConversionVerdict:
    """How good conversion probabilities are, with the counts the figures rest on."""

    roc_auc: Estimate
    average_precision: Estimate
    log_loss: Estimate
    brier: Estimate
    ece: Estimate
    lift_at_10_percent: Estimate
    base_rate: float
    n: int
    n_positive: int
    n_persons: int

    def as_dict(self, prefix: str = "conversion") -> dict[str, float]:
        """Flat names such as `conversion_90d/roc_auc`, `…/roc_auc_low`, `…/n`; what is not defined is left out."""
        return _flat(prefix, vars(self))


@dataclass(frozen=True)
class StageVerdict:
    """How good stage probabilities and decisions are; `f1` and `n_by_stage` are in the order of the stages."""

    macro_f1: Estimate
    accuracy: Estimate
    log_loss: Estimate
    f1: tuple[Estimate, ...]
    n: int
    n_by_stage: tuple[int, ...]
    n_persons: int

    def as_dict(self, stages: Sequence[str], prefix: str = "stage") -> dict[str, float]:
        """Flat names such as `stage/macro_f1_low`, `stage/f1_<stage>`, `stage/n_<stage>`; NaN is left out."""
        figures = {name: figure for name, figure in vars(self).items() if name not in ("f1", "n_by_stage")}
        figures |= {f"f1_{name}": f1 for name, f1 in zip(stages, self.f1, strict=True)}
        figures |= {f"n_{name}": n for name, n in zip(stages, self.n_by_stage, strict=True)}
        return _flat(prefix, figures)


def judge_conversion(
    converted: Bools, probability: Floats, person: Persons, seed: int, resamples: int = RESAMPLES
) -> ConversionVerdict:
    """Judge `probability` (float64[n] in [0, 1]) of rows whose outcome is known (`converted`, bool[n]).

    ECE is the mean of |observed rate − mean probability| over 15 bins of equal count (Naeini et al. 2015, AAAI; bins of
    equal count are less biased than bins of equal width: Roelofs et al. 2022, AISTATS); rows of one probability share a
    bin. Lift is the conversion rate of the tenth of the rows with the highest probabilities over the base rate; rows
    that tie at the border count in proportion.
    """
    _check_conversion(converted, probability, person)
    rows = RankedRows(converted, probability)
    values = _conversion_values(rows, converted, probability)
    resampled = resample(rows.measures, len(CONVERSION_METRICS), person, seed, resamples)
    resampled = _with_ece_recentred(resampled, values)
    why = _why_undefined(converted)
    roc_auc, average_precision, log_loss, brier, ece, lift = (
        estimate(value, resampled[:, i], why) for i, value in enumerate(values)
    )
    return ConversionVerdict(
        roc_auc=roc_auc,
        average_precision=average_precision,
        log_loss=log_loss,
        brier=brier,
        ece=ece,
        lift_at_10_percent=lift,
        base_rate=float(converted.mean()) if len(converted) else np.nan,
        n=len(converted),
        n_positive=int(converted.sum()),
        n_persons=len(np.unique(person)),
    )


def paired_difference(
    metric: ConversionMetric,
    converted: Bools,
    probability_a: Floats,
    probability_b: Floats,
    person: Persons,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """`metric` of a minus `metric` of b on the same rows, both measured in every resample of the persons."""
    if metric not in CONVERSION_METRICS:
        raise ValueError(f"metric is {metric!r}; expected one of {', '.join(CONVERSION_METRICS)}")
    _check_conversion(converted, probability_a, person)
    _check_conversion(converted, probability_b, person)
    a, b = RankedRows(converted, probability_a), RankedRows(converted, probability_b)
    values_a = _conversion_values(a, converted, probability_a)
    values_b = _conversion_values(b, converted, probability_b)
    resampled = resample(lambda w: a.measures(w) - b.measures(w), len(CONVERSION_METRICS), person, seed, resamples)
    i = CONVERSION_METRICS.index(metric)
    return estimate(values_a[i] - values_b[i], resampled[:, i], _why_undefined(converted))


def judge_stage(
    stage: Stages,
    probabilities: Floats,
    person: Persons,
    seed: int,
    decided: Stages | None = None,
    resamples: int = RESAMPLES,
) -> StageVerdict:
    """Judge `probabilities` (float64[n, n_stages], rows summing to 1) against the true `stage` (int[n], from 0).

    `decided` (int[n]) is the stage a decision rule chose; without one it is the most probable. Macro-F1 is the mean of
    the F1 of the stages that occur among the true or the decided ones, as in scikit-learn.
    """
    _check_stage(stage, probabilities, person, decided)
    n_stages = probabilities.shape[1]
    decided = probabilities.argmax(axis=1) if decided is None else decided
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    values = _stage_values(stage, decided, probabilities)
    resampled = resample(DecidedRows(stage, decided, probabilities).measures, len(values), person, seed, resamples)
    why = "the stage is neither among the true nor among the decided ones" if len(stage) else "there are no rows"
    macro_f1, accuracy, log_loss, *f1 = (estimate(value, resampled[:, i], why) for i, value in enumerate(values))
    n_by_stage = tuple(np.bincount(stage, minlength=n_stages).tolist())
    return StageVerdict(macro_f1, accuracy, log_loss, tuple(f1), len(stage), n_by_stage, len(np.unique(person)))


def _conversion_values(rows: RankedRows, converted: Bools, probability: Floats) -> list[float]:
    """The metrics in the order of CONVERSION_METRICS, NaN where undefined."""
    if not len(converted):
        return [np.nan] * len(CONVERSION_METRICS)
    roc_auc, average_precision, _, _, ece, lift = rows.measures(np.ones(len(converted))).tolist()
    if not _why_undefined(converted):
        roc_auc = float(sklearn.metrics.roc_auc_score(converted, probability))
        average_precision = float(sklearn.metrics.average_precision_score(converted, probability))
    log_loss = float(sklearn.metrics.log_loss(converted, probability, labels=[False, True]))
    brier = float(sklearn.metrics.brier_score_loss(converted, probability, pos_label=True))
    return [roc_auc, average_precision, log_loss, brier, ece, lift]


def _stage_values(stage: Stages, decided: Stages, probabilities: Floats) -> list[float]:
    """Macro-F1, accuracy, log loss and each stage's F1, NaN where undefined."""
    stages = np.arange(probabilities.shape[1])
    if not len(stage):
        return [np.nan] * (3 + len(stages))
    f1 = sklearn.metrics.f1_score(stage, decided, labels=stages, average=None, zero_division=np.nan)
    macro_f1 = sklearn.metrics.f1_score(stage, decided, average="macro")
    accuracy = sklearn.metrics.accuracy_score(stage, decided)
    log_loss = sklearn.metrics.log_loss(stage, probabilities, labels=stages)
    return [float(macro_f1), float(accuracy), float(log_loss), *f1.tolist()]


def _with_ece_recentred(resampled: Floats, values: list[float]) -> Floats:
    """Resamples whose ECE has the value as its median.

    The ECE of a sample is biased upwards (Roelofs et al. 2022) and that of a resample twice: without the shift the
    interval of a well calibrated model would lie above its own value.
    """
    i = CONVERSION_METRICS.index("ece")
    shifted = resampled.copy()
    if len(resampled):
        shifted[:, i] = np.maximum(resampled[:, i] - np.median(resampled[:, i]) + values[i], 0)
    return shifted


def _why_undefined(converted: Bools) -> str:
    if not len(converted):
        return "there are no rows"
    if converted.all():
        return "every row converted"
    return "" if converted.any() else "no row converted"


def _flat(prefix: str, figures: Mapping[str, Estimate | float]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, figure in figures.items():
        if isinstance(figure, Estimate):
            flat |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
        else:
            flat[name] = float(figure)
    return {f"{prefix}/{name}": number for name, number in flat.items() if not np.isnan(number)}


def _check_conversion(converted: Bools, probability: Floats, person: Persons) -> None:
    if converted.dtype != np.bool_:
        raise ValueError(f"converted is {converted.dtype}, expected bool: leave out rows whose outcome is not known")
    if not converted.shape == probability.shape == (len(person),):
        raise ValueError(
            f"converted has shape {converted.shape}, probability {probability.shape}, person ({len(person)},): "
            "give one of each for every row"
        )
    _check_probabilities(probability)


def _check_stage(stage: Stages, probabilities: Floats, person: Persons, decided: Stages | None) -> None:
    decided = stage if decided is None else decided
    n, shape = len(person), probabilities.shape
    if not (stage.shape == decided.shape == (n,) and len(shape) == 2 and shape[0] == n):
        raise ValueError(
            f"stage has shape {stage.shape}, decided {decided.shape}, probabilities {shape}, person ({n},): "
            "give one of each for every row"
        )
    for name, codes in (("stage", stage), ("decided", decided)):
        if wrong := int(((codes < 0) | (codes >= shape[1])).sum()):
            raise ValueError(f"{name} has {wrong} values outside 0 … {shape[1] - 1}: leave out rows of unknown stage")
    _check_probabilities(probabilities)
    if apart := int((np.abs(probabilities.sum(axis=1) - 1) > SUM_TOLERANCE).sum()):
        raise ValueError(f"probabilities has {apart} rows that do not sum to 1")


def _check_probabilities(probability: Floats) -> None:
    if wrong := int((~((probability >= 0) & (probability <= 1))).sum()):
        raise ValueError(f"{wrong} probabilities are NaN or outside [0, 1]")
