"""The whole of a training: hold rows out, fit, judge, then fit on all rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any, Literal

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
from training.hold_out import IN_GAP
from training.influence import measure_influence
from training.labels import UNKNOWN, LabelledRows
from training.leak_guards import check_model, check_rows
from training.learnable import learnable
from training.progress import Report, silent
from training.settings import Settings
from training.split import LATE_PERSON_SHARE, NEVER_ENDS, Split, held_out_persons, time_and_person_split

DEFAULT_SETTINGS = Settings()
LIBRARIES = ("lightgbm", "numpy", "numba", "onnxruntime", "polars", "scikit-learn", "scipy")


@dataclass(frozen=True)
class JudgedOn:
    """How the rows judged were kept apart from those learnt from, and how many there were of each.

    `is_itself`: the model that is kept was judged, not one like it that learnt from fewer rows.
    """

    split: Literal["time and person", "time", "person"]
    why_not_by_time: str
    training_rows: int
    test_rows: int
    left_out_in_gap: int
    is_itself: bool


@dataclass(frozen=True)
class Training:
    """A fitted model, and how well it or one like it did on the `judged` rows; None where these were too few.

    `findings` hold that judgement and what was measured beside it.
    """

    model: JourneyModel
    judgement: Judgement | None
    judged: LabelledRows
    judged_on: JudgedOn
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
    kept: LabelledRows | None = None,
) -> Training:
    """Fit on all rows, and a model like it on one part of them, to be judged on the other.

    Where rows were `kept` from the model, as `hold_out` does, it is judged on these itself, and no other is fitted.
    What cannot be learnt is left out and said in `about`. Of the settings, the split, what to learn and which leaks are
    allowed count here. Raises BadData where there is too little to learn from, or where the inputs hold what they must
    not (`training.leak_guards`).
    """
    rows, not_learnt = learnable(asked_for(rows, settings))
    parts = _split_parts(rows, seed, settings) if kept is None else _kept_parts(rows, asked_for(kept, settings))
    reader = learn_reader(rows, log, journey, embed is not None)
    read = reader.read(log, rows.customer, rows.as_of_us, embed)
    leaks = check_rows(rows, reader, read, log, embed, seed, settings.fit.allow_leaks)
    model = fit_read(rows, reader, read, seed, report, settings.trees)
    leaks += check_model(model, rows, read, log, seed, settings.fit.allow_leaks)
    trial = partial(fit, parts.learnt, log, journey, embed, seed, _on_trial(report), settings.trees)
    findings = _judge(trial if kept is None else lambda: model, parts, log, embed, seed)
    judgement = findings.judgement if findings else None
    about = _about(rows, parts.judged_on, judgement, seed, settings, not_learnt) | {"leaks_allowed": leaks}
    stage = model.stage if "stage" in settings.fit.learn else None  # examples would stand in for what was not asked
    learnt = LearntCustomers.of(rows.customer_id)
    model = replace(model, stage=stage, about=about, learnt=learnt)
    return Training(model, judgement, parts.judged, parts.judged_on, findings)


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


@dataclass(frozen=True)
class _Parts:
    learnt: LabelledRows
    judged: LabelledRows
    judged_on: JudgedOn


def _split_parts(rows: LabelledRows, seed: int, settings: Settings) -> _Parts:
    split = split_rows(rows, seed, settings)
    learnt, judged = rows.take(split.train_rows), rows.take(split.test_rows)
    told = JudgedOn(split.kind, split.reason, len(learnt), len(judged), split.left_out_in_gap, is_itself=False)
    return _Parts(learnt, judged, told)


def _kept_parts(rows: LabelledRows, kept: LabelledRows) -> _Parts:
    in_gap = rows.left_out.get(IN_GAP, 0)
    by_time = JudgedOn("time", "", len(rows), len(kept), in_gap, is_itself=True)
    told = replace(by_time, split="person", why_not_by_time=NEVER_ENDS) if None in kept.horizons_days else by_time
    return _Parts(rows, kept, told)


def _judge(
    judged: Callable[[], JourneyModel], parts: _Parts, log: EventLog, embed: Embed | None, seed: int
) -> Findings | None:
    try:
        model = judged()
        judgement = judge_model(model, log, parts.judged, embed, seed)
    except BadData as too_little:
        if too_little.code in ("too_few_conversions", "nothing_to_learn", "nothing_to_judge"):
            return None  # what is held out may be missing here and still be enough for the model that is kept
        raise
    influence = measure_influence(model, log, parts.judged, embed)
    columns = influence.columns if influence else None
    return Findings(judgement, influence, measure_drift(model, log, parts.learnt, parts.judged, embed, columns))


def _on_trial(report: Report) -> Report:
    return lambda what, done, total: report(f"{what} (on trial)", done, total)


def _about(
    rows: LabelledRows,
    judged_on: JudgedOn,
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
        "judged_on": asdict(judged_on),
        "quality": judgement.metrics() if judgement else {},
        "seed": seed,
        "settings": settings.about(),
        "libraries": {library: version(library) for library in LIBRARIES},
    }
