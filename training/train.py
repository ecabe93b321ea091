"""The whole of a training: hold rows out, fit, judge, then fit on all rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from features.errors import BadData
from features.event_log import EventLog, from_us
from features.journey import Journey, conversion_column
from features.rows import Embed
from models.journey_model import JourneyModel
from models.learnt_customers import LearntCustomers
from training.backtest import Backtest, backtest, rolling_folds
from training.drift import measure_drift
from training.evaluate import Judgement, judge_model
from training.findings import Findings
from training.fit import fit, fit_read, learn_reader
from training.influence import measure_influence
from training.labels import UNKNOWN, LabelledRows
from training.leak_guards import check_model, check_rows
from training.learnable import learnable
from training.progress import Report, silent
from training.settings import Settings
from training.split import LATE_PERSON_SHARE, Split, held_out_persons, time_and_person_split
from training.tree_choice import TreeChoices

DEFAULT_SETTINGS = Settings()
LIBRARIES = ("lightgbm", "numpy", "numba", "onnxruntime", "polars", "scikit-learn", "scipy")


@dataclass(frozen=True)
class Training:
    """A fitted model and how well one like it did on the rows held out by `split`; None where too few could be.

    `findings` hold that judgement and what was measured beside it.
    """

    model: JourneyModel
    judgement: Judgement | None
    split: Split
    findings: Findings | None = None


def train(
    rows: LabelledRows,
    log: EventLog,
    journey: Journey,
    embed: Embed | None,
    seed: int,
    report: Report = silent,
    *,
    settings: Settings = DEFAULT_SETTINGS,
) -> Training:
    """Fit on one part of the rows and judge on the other; then fit the model that is kept on all rows.

    What cannot be learnt is left out and said in `about`. Of the settings, the split, what to learn and which leaks are
    allowed count here. Raises BadData where there is too little to learn from, or where the inputs hold what they must
    not (`training.leak_guards`).
    """
    rows, not_learnt = learnable(asked_for(rows, settings))
    split = split_rows(rows, seed, settings)
    reader = learn_reader(rows, log, journey, embed is not None)
    read = reader.read(log, rows.customer, rows.as_of_us, embed)
    leaks = check_rows(rows, reader, read, log, embed, seed, settings.fit.allow_leaks)
    findings = _judge_held_out(rows, split, log, journey, embed, seed, report, settings.trees)
    judgement = findings.judgement if findings else None
    model = fit_read(rows, reader, read, seed, report, settings.trees)
    leaks += check_model(model, rows, read, log, seed, settings.fit.allow_leaks)
    about = _about(rows, split, judgement, seed, settings, not_learnt) | {"leaks_allowed": leaks}
    stage = model.stage if "stage" in settings.fit.learn else None  # examples would stand in for what was not asked
    learnt = LearntCustomers.of(rows.customer_id)
    return Training(replace(model, stage=stage, about=about, learnt=learnt), judgement, split, findings)


def run_backtest(
    rows: LabelledRows, log: EventLog, journey: Journey, embed: Embed | None, settings: Settings, report: Report
) -> Backtest:
    """The back-test that the settings ask for. Raises what `rolling_folds` and `backtest` raise."""
    rows, _ = learnable(asked_for(rows, settings))
    asked, seed = settings.backtest, settings.fit.seed
    share = settings.split.person_share or LATE_PERSON_SHARE
    held_out = held_out_persons(rows.customer_id, share, seed) if asked.disjoint_persons else None
    folds = rolling_folds(rows, asked.folds, asked.test_days, settings.split.gap_days, held_out)
    return backtest(rows, folds, log, journey, embed, seed, report, settings.trees)


def asked_for(rows: LabelledRows, settings: Settings) -> LabelledRows:
    """The rows with the labels that the settings want learnt."""
    if "stage" not in settings.fit.learn:
        rows = replace(rows, stage=np.full_like(rows.stage, UNKNOWN))
    if "conversion" not in settings.fit.learn:
        rows = replace(rows, horizons_days=(), converted=rows.converted[:, :0])
    return rows


def split_rows(rows: LabelledRows, seed: int, settings: Settings) -> Split:
    """Which rows a training learns from when it is judged, and on which."""
    longest = rows.horizons_days[-1] if rows.horizons_days else 0
    converted = rows.converted[:, -1] == 1 if rows.horizons_days else None
    return time_and_person_split(rows.customer_id, rows.as_of_us, longest, seed, converted, settings.split)


def _judge_held_out(
    rows: LabelledRows,
    split: Split,
    log: EventLog,
    journey: Journey,
    embed: Embed | None,
    seed: int,
    report: Report,
    trees: TreeChoices,
) -> Findings | None:
    learnt, held_out = rows.take(split.train_rows), rows.take(split.test_rows)
    try:
        model = fit(learnt, log, journey, embed, seed, _on_trial(report), trees)
        judgement = judge_model(model, log, held_out, embed, seed)
    except BadData as too_little:
        if too_little.code in ("too_few_conversions", "nothing_to_learn", "nothing_to_judge"):
            return None  # what is held out may be missing here and still be enough for the model that is kept
        raise
    influence = measure_influence(model, log, held_out, embed)
    columns = influence.columns if influence else None
    return Findings(judgement, influence, measure_drift(model, log, learnt, held_out, embed, columns))


def _on_trial(report: Report) -> Report:
    return lambda what, done, total: report(f"{what} (on trial)", done, total)


def _about(
    rows: LabelledRows,
    split: Split,
    judgement: Judgement | None,
    seed: int,
    settings: Settings,
    not_learnt: dict[str, str],
) -> dict[str, Any]:
    known = {
        conversion_column(horizon): {
            "rows": int((rows.converted[:, h] >= 0).sum()),
            "converted": int((rows.converted[:, h] == 1).sum()),
        }
        for h, horizon in enumerate(rows.horizons_days)
    }
    return {
        "trained_on": {
            "rows": len(rows),
            "customers": len(set(rows.customer_id)),
            "first_as_of": from_us(rows.as_of_us.min()).isoformat() if len(rows) else None,
            "last_as_of": from_us(rows.as_of_us.max()).isoformat() if len(rows) else None,
            "rows_with_stage": int(np.sum(rows.stage >= 0)),
            "stage_by_rule": rows.stage_by_rule,
            "conversions": known,
            "left_out": rows.left_out,
            "not_learnt": not_learnt,
        },
        "judged_on": {
            "split": split.kind,
            "why_not_by_time": split.reason,
            "training_rows": len(split.train_rows),
            "test_rows": len(split.test_rows),
            "left_out_in_gap": split.left_out_in_gap,
        },
        "quality": judgement.metrics() if judgement else {},
        "seed": seed,
        "settings": settings.about(),
        "libraries": {library: version(library) for library in LIBRARIES},
    }
