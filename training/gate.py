"""The gate: challenger and champion judged on the same rows, from which neither has learnt."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from features.errors import BadUsage
from features.event_log import DAY_US, Bools, EventLog, Floats, to_us
from features.journey import conversion_column
from models.bundle_files import bundle_file_names
from models.journey_model import JourneyModel
from training.comparison import Comparison, compare, compare_slices
from training.contender import Contender
from training.evaluate import Forecasts, forecast_rows, is_stage_judged
from training.gate_rule import Decision, Rule, decide
from training.labels import LabelledRows
from training.slices import slices_of

TIMED_ROWS: Final = 200
TIMES: Final = 3


def judge_at_gate(
    challenger: Contender, champion: Contender, log: EventLog, rows: LabelledRows, seed: int, rule: Rule
) -> tuple[Comparison, Decision]:
    """Compare both on those of the rows from which neither has learnt, and decide by the rule.

    Raises BadUsage where the two answer different questions.
    """
    _check_same_question(challenger.model, champion.model)
    fresh = unseen_by(challenger.model, rows) & unseen_by(champion.model, rows)
    left = rows.take(np.flatnonzero(fresh).astype(np.int64))
    comparison = _compare(challenger, champion, log, left, len(rows) - len(left), seed)
    if challenger.bundle.version == champion.bundle.version:
        return comparison, Decision(False, ("challenger and champion are the same model",))
    return comparison, decide(comparison, rule)


def unseen_by(model: JourneyModel, rows: LabelledRows) -> Bools:
    """Rows that the model cannot have learnt from: of strangers, or begun when all it learnt from was over."""
    later = rows.as_of_us > last_learnt_us(model) + _longest_horizon_us(model)
    if model.learnt is None:
        return later
    return later | ~model.learnt.holds(rows.customer_id)


def last_learnt_us(model: JourneyModel) -> int:
    """The as_of of the model's last training row, UTC microseconds."""
    last: str | None = model.about.get("trained_on", {}).get("last_as_of")
    if last is None:
        raise BadUsage("no_training_rows", "a bundle does not say what it was trained on; train it again")
    return to_us(datetime.fromisoformat(last))


def in_words(comparison: Comparison, decision: Decision) -> list[str]:
    """What was decided and why, a line each."""
    head = "promoted" if decision.is_promoted else "not promoted"
    judged = (
        f"judged on {comparison.rows:,} rows of {comparison.persons:,} customers, {comparison.converted:,} converted; "
        f"{comparison.left_out:,} rows left out, from which one of the two may have learnt"
    )
    return [f"{head}: {decision.reasons[0]}", *decision.reasons[1:], judged]


def as_metrics(comparison: Comparison) -> dict[str, float]:
    """The comparison as flat figures under `gate/`; what is not defined is left out."""
    flat: dict[str, float] = {}
    for name, value in asdict(comparison).items():
        parts = {"": value} if not isinstance(value, dict) else value
        for part, figure in parts.items():
            if isinstance(figure, dict):
                flat |= {f"gate/{name}/{part}/{bound}": number for bound, number in figure.items()}
            elif figure is not None:
                flat[f"gate/{name}/{part}".rstrip("/")] = figure
    return {_metric_name(name): float(value) for name, value in flat.items() if np.isfinite(value)}


def _metric_name(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "_-. :/" else "_" for sign in name)


def _check_same_question(challenger: JourneyModel, champion: JourneyModel) -> None:
    one, other = challenger.reader.journey, champion.reader.journey
    faults = []
    if one.stages != other.stages:
        faults.append(f"challenger: stages {', '.join(one.stages)}; champion: {', '.join(other.stages)}")
    if one.conversion != other.conversion:
        faults.append(f"challenger: {_conversion(challenger)}; champion: {_conversion(champion)}")
    if faults:
        raise BadUsage("other_journey", [f"{fault}; models of one journey can be compared" for fault in faults])


def _conversion(model: JourneyModel) -> str:
    conversion = model.reader.journey.conversion
    horizons = ", ".join(map(conversion_column, conversion.horizons_days or [None]))
    return f"{horizons} of {', '.join(conversion.actions)}"


def _longest_horizon_us(model: JourneyModel) -> int:
    horizons = model.conversion.horizons_days if model.conversion else ()
    if None in horizons:
        return 2**62  # a window that never ends is never over
    return max((days for days in horizons if days is not None), default=0) * DAY_US


def _compare(
    challenger: Contender, champion: Contender, log: EventLog, rows: LabelledRows, left_out: int, seed: int
) -> Comparison:
    common = _common_horizons(challenger.model, champion.model, rows)
    columns = [rows.horizons_days.index(horizon) for horizon in common]
    rows = replace(rows, horizons_days=tuple(common), converted=rows.converted[:, columns])
    if not all(is_stage_judged(contender.model.reader, rows) for contender in (challenger, champion)):
        rows = replace(rows, stage=np.full_like(rows.stage, -1))
    one, other = (_forecast(contender, log, rows) for contender in (challenger, champion))
    differences = compare(one, other, rows, seed) if len(rows) else None
    slices = compare_slices(one, other, rows, slices_of(log, rows), seed) if len(rows) else {}
    return Comparison(
        rows=len(rows),
        converted=int((rows.converted == 1).any(axis=1).sum()),
        persons=len(set(rows.customer_id)),
        left_out=left_out,
        **(vars(differences) if differences else dict.fromkeys(FIGURES)),
        slices=slices,
        size_ratio=_size(challenger.folder) / _size(champion.folder),
        time_ratio=_time_ratio(challenger, champion, log, rows),
        days_fresher=(last_learnt_us(challenger.model) - last_learnt_us(champion.model)) / DAY_US,
    )


FIGURES = ("log_loss", "average_precision", "ece", "stage_log_loss", "stage_macro_f1")


def _common_horizons(challenger: JourneyModel, champion: JourneyModel, rows: LabelledRows) -> list[int | None]:
    known = [set(model.conversion.horizons_days) if model.conversion else set() for model in (challenger, champion)]
    return [horizon for horizon in rows.horizons_days if all(horizon in horizons for horizons in known)]


def _forecast(contender: Contender, log: EventLog, rows: LabelledRows) -> Forecasts:
    model = contender.model
    said = forecast_rows(model, model.reader.read(log, rows.customer, rows.as_of_us, contender.embed))
    if said.conversion is None or model.conversion is None:
        return said
    columns = [model.conversion.horizons_days.index(horizon) for horizon in rows.horizons_days]
    conversion: Floats = said.conversion[:, columns]
    return replace(said, conversion=conversion)


def _size(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in bundle_file_names(folder))


def _time_ratio(challenger: Contender, champion: Contender, log: EventLog, rows: LabelledRows) -> float:
    """Seconds for some rows, the best of three turns of each; messages come from the cache for both."""
    some = rows.take(np.arange(min(TIMED_ROWS, len(rows)), dtype=np.int64))
    if not len(some):
        return 1.0
    turns = [[_seconds(contender, log, some) for contender in (challenger, champion)] for _ in range(TIMES)]
    one, other = np.min(turns, axis=0).tolist()
    return float(one / other)


def _seconds(contender: Contender, log: EventLog, rows: LabelledRows) -> float:
    started = time.perf_counter()
    _forecast(contender, log, rows)
    return time.perf_counter() - started
