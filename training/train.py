"""The whole of a training: hold rows out, fit, judge, then fit on all rows."""

from __future__ import annotations

from collections.abc import Collection
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
from training.evaluate import Judgement, judge_model
from training.fit import fit, fit_read, learn_reader
from training.labels import LabelledRows
from training.leak_guards import check_model, check_rows
from training.progress import Report, silent
from training.split import Split, time_and_person_split

LIBRARIES = ("lightgbm", "numpy", "numba", "onnxruntime", "polars", "scikit-learn", "scipy")


@dataclass(frozen=True)
class Training:
    """A fitted model and how well one like it did on the rows held out; None where too few could be."""

    model: JourneyModel
    judgement: Judgement | None


def train(
    rows: LabelledRows,
    log: EventLog,
    journey: Journey,
    embed: Embed | None,
    seed: int,
    report: Report = silent,
    allowed_leaks: Collection[str] = (),
) -> Training:
    """Fit on one part of the rows and judge on the other; then fit the model that is kept on all rows.

    Raises BadData where there is too little to learn from, or where the inputs hold what they must not
    (`training.leak_guards`) and that is not allowed by its name.
    """
    split = _split(rows, seed)
    reader = learn_reader(rows, log, journey, embed is not None)
    read = reader.read(log, rows.customer, rows.as_of_us, embed)
    leaks = check_rows(rows, reader, read, log, embed, seed, allowed_leaks)
    judgement = _judge_held_out(rows, split, log, journey, embed, seed, report)
    model = replace(fit_read(rows, reader, read, seed, report), learnt=LearntCustomers.of(rows.customer_id))
    leaks += check_model(model, rows, read, log, seed, allowed_leaks)
    about = _about(rows, split, judgement, seed) | {"leaks_allowed": leaks}
    return Training(replace(model, about=about), judgement)


def _split(rows: LabelledRows, seed: int) -> Split:
    longest = rows.horizons_days[-1] if rows.horizons_days else 0
    converted = rows.converted[:, -1] == 1 if rows.horizons_days else None
    return time_and_person_split(rows.customer_id, rows.as_of_us, longest, seed, converted)


def _judge_held_out(
    rows: LabelledRows, split: Split, log: EventLog, journey: Journey, embed: Embed | None, seed: int, report: Report
) -> Judgement | None:
    try:
        model = fit(rows.take(split.train_rows), log, journey, embed, seed, _on_trial(report))
        return judge_model(model, log, rows.take(split.test_rows), embed, seed)
    except BadData as too_little:
        if too_little.code in ("too_few_conversions", "nothing_to_learn", "nothing_to_judge"):
            return None  # what is held out may be missing here and still be enough for the model that is kept
        raise


def _on_trial(report: Report) -> Report:
    return lambda what, done, total: report(f"{what} (on trial)", done, total)


def _about(rows: LabelledRows, split: Split, judgement: Judgement | None, seed: int) -> dict[str, Any]:
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
        "libraries": {library: version(library) for library in LIBRARIES},
    }
