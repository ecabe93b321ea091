"""How good forecasts are on rows with known outcomes, beside what any model has to beat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from features.errors import BadData
from features.event_log import Bools, EventLog, Floats, Int64s
from features.journey import Journey, conversion_column
from features.rows import Embed
from models.journey_model import Asked, JourneyModel, Reader
from models.reliability import Reliability
from training.baselines import prevalence, recency, stage_prevalence, stage_recency
from training.judged_rows import JudgedRows
from training.labels import LabelledRows
from training.metrics import (
    ConversionMetric,
    ConversionVerdict,
    Estimate,
    StageVerdict,
    judge_conversion,
    judge_stage,
    paired_difference,
)
from training.split import FOLDS, person_folds

MODEL, RECENCY, PREVALENCE = "journeycast", "recency", "prevalence"


@dataclass(frozen=True)
class Judgement:
    """Verdicts by target (a conversion's score column) and contender; `stage` is empty where no stage is known.

    `rows` are those judged, for pictures.
    """

    conversion: dict[str, dict[str, ConversionVerdict]]
    stage: dict[str, StageVerdict]
    stages: tuple[str, ...]
    rows: JudgedRows | None = field(default=None, repr=False, compare=False)

    def metrics(self) -> dict[str, float]:
        """Flat names for a tracker, the model's own under their target, its opponents' under theirs."""
        flat: dict[str, float] = {}
        for target, verdicts in self.conversion.items():
            for contender, verdict in verdicts.items():
                flat |= verdict.as_dict(_prefix(target, contender))
        for contender, stage_verdict in self.stage.items():
            flat |= stage_verdict.as_dict(self.stages, _prefix("stage", contender))
        return flat


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What was forecast for some labelled rows: (rows, stages), (rows, horizons), and the opponents' only input.

    `decided` is the stage named for each row; None names the likeliest. `reliability` is for pictures only.
    """

    stage: Floats | None
    conversion: Floats | None
    days_since_own_last: Floats
    decided: Int64s | None = None
    reliability: Sequence[Reliability] = ()


def forecast_rows(model: JourneyModel, asked: Asked) -> Forecasts:
    """The model's forecasts of rows that its reader has read."""
    forecast = model.forecast(asked)
    days = model.days_since_own_last(asked)
    return Forecasts(forecast.stage, forecast.conversion, days, forecast.decided, forecast.reliability)


def is_stage_judged(reader: Reader, rows: LabelledRows) -> bool:
    """Whether model and labels know the stage by the same means, and the model does not read the labels' own source."""
    return rows.stage_by_rule == reader.stage_by_rule and not (rows.stage_by_record and reader.stage_reads_record)


def judge_model(model: JourneyModel, log: EventLog, rows: LabelledRows, embed: Embed | None, seed: int) -> Judgement:
    """Forecast the rows and judge; the stage only where model and labels know it by the same means.

    Raises BadData where nothing can be judged.
    """
    asked = model.reader.read(log, rows.customer, rows.as_of_us, embed)
    if not is_stage_judged(model.reader, rows):
        rows = replace(rows, stage=np.full_like(rows.stage, -1))
    horizons = model.conversion.horizons_days if model.conversion else ()
    judgement = judge(forecast_rows(model, asked), rows, horizons, model.reader.journey, seed)
    if not judgement.conversion and not judgement.stage:
        known = ", ".join(map(conversion_column, horizons)) or "no conversion"
        raise BadData(
            "nothing_to_judge",
            f"the {len(rows)} labelled rows hold nothing that this bundle forecasts ({known}"
            f"{' and the stage' if model.stage else ''}); check the labels' horizon_days, stage and converted",
        )
    return judgement


def judge(
    forecasts: Forecasts, rows: LabelledRows, horizons_days: Sequence[int | None], journey: Journey, seed: int
) -> Judgement:
    """Judge forecasts of `rows` whose columns are for `horizons_days`.

    The opponents are given an advantage: prevalence is that of the rows judged, and recency, a logistic regression on
    the days since the customer's own last act, is fitted on these rows in person-wise folds.
    """
    conversion: dict[str, dict[str, ConversionVerdict]] = {}
    if forecasts.conversion is not None:
        for h, horizon in enumerate(horizons_days):
            if horizon in rows.horizons_days:
                truth = rows.converted[:, rows.horizons_days.index(horizon)]
                verdicts = _judge_conversion(forecasts.conversion[:, h], truth, forecasts, rows, seed)
                conversion |= {conversion_column(horizon): verdicts} if verdicts else {}
    stage = {} if forecasts.stage is None else _judge_stage(forecasts.stage, forecasts, rows, seed)
    return Judgement(conversion, stage, journey.stages, _judged_rows(forecasts, rows, horizons_days))


def _judged_rows(forecasts: Forecasts, rows: LabelledRows, horizons_days: Sequence[int | None]) -> JudgedRows:
    nothing = np.zeros((len(rows), 0))
    conversion = nothing if forecasts.conversion is None else forecasts.conversion
    of_rows = [h for h, horizon in enumerate(rows.horizons_days) if horizon in horizons_days and conversion.size]
    stages = nothing if forecasts.stage is None else forecasts.stage
    likeliest = stages.argmax(axis=1) if stages.size else np.zeros(0, dtype=np.int64)
    return JudgedRows(
        person=rows.customer_id,
        as_of_us=rows.as_of_us,
        horizons_days=tuple(rows.horizons_days[h] for h in of_rows),
        conversion=conversion[:, [list(horizons_days).index(rows.horizons_days[h]) for h in of_rows]],
        converted=rows.converted[:, of_rows],
        stages=stages,
        stage=rows.stage,
        decided=likeliest if forecasts.decided is None else forecasts.decided,
        reliability=forecasts.reliability,
    )


def gains_over_recency(forecasts: Forecasts, rows: LabelledRows, h: int, seed: int) -> list[Estimate]:
    """ROC AUC, average precision and log loss of the forecast for horizon `h`, each minus that of recency, paired."""
    if forecasts.conversion is None:
        return []
    known = np.flatnonzero(rows.converted[:, h] >= 0)
    converted, person = rows.converted[known, h] == 1, [rows.customer_id[row] for row in known]
    opponent = _by_recency(forecasts.days_since_own_last[known], converted, person, seed)
    metrics: tuple[ConversionMetric, ...] = ("roc_auc", "average_precision", "log_loss")
    return [
        paired_difference(metric, converted, forecasts.conversion[known, h], opponent, person, seed)
        for metric in metrics
    ]


def _by_recency(days: Floats, converted: Bools, person: Sequence[str], seed: int) -> Floats:
    return _in_folds(lambda learn, asked: recency(days[learn], converted[learn], days[asked]), person, seed)


def _judge_conversion(
    probability: Floats, truth: Any, forecasts: Forecasts, rows: LabelledRows, seed: int
) -> dict[str, ConversionVerdict]:
    known = np.flatnonzero(truth >= 0)
    if len(known) == 0:
        return {}
    converted, days = truth[known] == 1, forecasts.days_since_own_last[known]
    person = [rows.customer_id[row] for row in known]
    contenders = {
        MODEL: probability[known],
        RECENCY: _by_recency(days, converted, person, seed),
        PREVALENCE: prevalence(converted, len(known)),
    }
    return {name: judge_conversion(converted, values, person, seed) for name, values in contenders.items()}


def _judge_stage(probabilities: Floats, forecasts: Forecasts, rows: LabelledRows, seed: int) -> dict[str, StageVerdict]:
    known = np.flatnonzero(rows.stage >= 0)
    if len(known) == 0:
        return {}
    stage, days = rows.stage[known].astype(np.int64), forecasts.days_since_own_last[known]
    person, n_stages = [rows.customer_id[row] for row in known], probabilities.shape[1]

    def by_recency(learn: Any, asked: Any) -> Floats:
        return stage_recency(days[learn], stage[learn], n_stages, days[asked])

    contenders = {
        MODEL: probabilities[known],
        RECENCY: _in_folds(by_recency, person, seed),
        PREVALENCE: stage_prevalence(stage, n_stages, len(known)),
    }
    decided = None if forecasts.decided is None else forecasts.decided[known]
    return {
        name: judge_stage(stage, values, person, seed, decided=decided if name == MODEL else None)
        for name, values in contenders.items()
    }


def _in_folds(predict: Callable[[Any, Any], Floats], person: Sequence[str], seed: int) -> Floats:
    folds = person_folds(person, FOLDS, seed).astype(np.int64)
    if len(np.unique(folds)) == 1:
        folds = np.arange(len(person)) % FOLDS  # a handful of persons in one fold: by row, in the opponent's favour
    parts = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)]
    if len(parts) == 1:
        return predict(parts[0][1], parts[0][1])
    order = np.argsort(np.concatenate([asked for _, asked in parts]))
    return np.concatenate([predict(learn, asked) for learn, asked in parts])[order]


def _prefix(target: str, contender: str) -> str:
    return target if contender == MODEL else f"{target}/{contender}"
