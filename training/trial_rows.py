"""Rows on which trials of a search are measured: learnt from one part, judged on persons of another, row by row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from features.event_log import Bools, EventLog, Floats, Int64s
from features.journey import Journey, conversion_column
from features.rows import Embed
from models.journey_model import Asked, Reader
from training.bootstrap import Estimate, estimate, resample
from training.evaluate import Forecasts, forecast_rows
from training.fit import fit_read, learn_reader
from training.labels import UNKNOWN, LabelledRows
from training.learnable import learnable
from training.split import person_folds
from training.tree_choice import TreeChoices

Codes = npt.NDArray[np.int8]
TRIAL_FOLDS: Final = 3
LEAST: Final = 1e-12  # a probability of 0 would cost infinitely much


@dataclass(frozen=True, eq=False)
class RowLosses:
    """The log loss of each row whose truth is known, in order: by the model, and by the prevalence of these rows."""

    of_model: Floats
    of_prevalence: Floats
    person: list[str]


@dataclass(frozen=True, eq=False)
class Part:
    """Rows to learn from and rows to judge on, both read as a model will see them."""

    reader: Reader
    learnt: LabelledRows
    learnt_as: Asked
    judged: LabelledRows
    judged_as: Asked

    @classmethod
    def of_rows(
        cls, learnt: LabelledRows, judged: LabelledRows, log: EventLog, journey: Journey, embed: Embed | None
    ) -> Part:
        """Read the rows once, for any number of fits."""
        learnt, _ = learnable(learnt)
        reader = learn_reader(learnt, log, journey, embed is not None)
        seen = [reader.read(log, rows.customer, rows.as_of_us, embed) for rows in (learnt, judged)]
        return cls(reader, learnt, seen[0], judged, seen[1])

    def losses(self, trees: TreeChoices, seed: int) -> dict[str, RowLosses]:
        """Fit with these trees and judge, by score column. Raises what `fit_read` raises."""
        model = fit_read(self.learnt, self.reader, self.learnt_as, seed, trees=trees)
        forecasts = forecast_rows(model, self.judged_as)
        horizons = model.conversion.horizons_days if model.conversion else ()
        truths = {
            conversion_column(horizon): self.judged.converted[:, self.judged.horizons_days.index(horizon)]
            for horizon in horizons
        }
        return _losses(forecasts, truths | {"stage": self.judged.stage}, self.judged.customer_id)


def inner_parts(rows: LabelledRows, log: EventLog, journey: Journey, embed: Embed | None, seed: int) -> list[Part]:
    """Person-wise folds of the rows, each judged by what is learnt from the others."""
    folds = person_folds(rows.customer_id, TRIAL_FOLDS, seed)
    return [
        Part.of_rows(rows.take(_rows(folds != fold)), rows.take(_rows(folds == fold)), log, journey, embed)
        for fold in range(TRIAL_FOLDS)
    ]


def only(rows: LabelledRows, target: str) -> LabelledRows:
    """The rows with the labels of one target, "stage" or "conversion"."""
    if target == "stage":
        return replace(rows, horizons_days=(), converted=rows.converted[:, :0])
    return replace(rows, stage=np.full_like(rows.stage, UNKNOWN))


def relative_loss(losses: dict[str, RowLosses]) -> float:
    """The mean over score columns of the log loss as a share of that of prevalence; NaN where nothing is known."""
    shares = [of_column.of_model.mean() / of_column.of_prevalence.mean() for of_column in losses.values()]
    return float(np.mean(shares)) if shares else float("nan")


def difference(chosen: RowLosses, usual: RowLosses, seed: int) -> Estimate:
    """The mean log loss of one minus that of the other on the same rows; below 0, the first is better."""
    differences = chosen.of_model - usual.of_model
    resampled = resample(lambda weights: np.array([weights @ differences / weights.sum()]), 1, chosen.person, seed)
    return estimate(float(differences.mean()), resampled[:, 0])


def _losses(forecasts: Forecasts, truths: dict[str, Codes], person: list[str]) -> dict[str, RowLosses]:
    found = {}
    conversions = iter(np.zeros((0, 0)) if forecasts.conversion is None else forecasts.conversion.T)
    for column, truth in truths.items():
        known = _rows(truth >= 0)
        if column == "stage":
            probabilities = forecasts.stage
        else:
            converted = next(conversions)
            probabilities = np.stack([1 - converted, converted], axis=1)
        if probabilities is None or len(np.unique(truth[known])) < 2:
            continue
        classes = truth[known].astype(np.int64)
        shares = np.bincount(classes, minlength=probabilities.shape[1]) / len(classes)
        of_truth = probabilities[known, classes]
        found[column] = RowLosses(
            -np.log(np.maximum(of_truth, LEAST)), -np.log(shares[classes]), [person[row] for row in known]
        )
    return found


def _rows(chosen: Bools) -> Int64s:
    return np.flatnonzero(chosen).astype(np.int64)
