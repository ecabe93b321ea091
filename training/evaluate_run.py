"""One evaluation as the command runs it: read, judge, and write figures, card and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from features.inputs import Tell
from models.bundle_files import check_target
from training.contender import Contender
from training.drift import measure_drift_from_kept
from training.evaluate import Judgement, is_stage_judged, judge_model
from training.findings import Findings, target_words
from training.influence import measure_influence
from training.model_card import judged_given, write_card
from training.prepare import read_labelled
from training.settings import Settings


def run_evaluation(judged: Contender, asked: Settings, out: Path, now: Callable[[], datetime], tell: Tell) -> Judgement:
    """Judge a bundle on the labelled rows that the settings name; figures, card and pictures go to the folder `out`.

    Raises what reading and judging raise, BadEnvironment where the folder cannot be written.
    """
    check_target(out)
    model, seed = judged.model, asked.fit.seed
    log, rows = read_labelled(asked, model.reader.journey, f"{out}/", now, tell)
    if rows.stage_by_rule != model.reader.stage_by_rule:
        tell("These labels and the bundle know the stage by different means (rules, or given): it is not judged.")
    elif not is_stage_judged(model.reader, rows):
        tell("The bundle's stage model reads what the CRM recorded, and so do these labels: the stage is not judged.")
    horizons = model.conversion.horizons_days if model.conversion else ()
    if strange := [horizon for horizon in rows.horizons_days if horizon not in horizons]:
        told = ", ".join(target_words(horizon).lower() for horizon in strange)
        tell(f"These labels tell of {told}, which this bundle does not forecast: that is not judged.")
        tell("The horizons that it forecasts are judged by the journey's rules where these labels have none of them.")
    judgement = judge_model(model, log, rows, judged.embed, seed)
    figures = {"model_version": judged.bundle.version, **judgement.metrics()}
    (out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n")
    influence = measure_influence(model, log, rows, judged.embed)
    columns = influence.columns if influence else None
    drift = measure_drift_from_kept(model, log, rows, judged.embed, columns)
    findings = Findings(judgement, influence, drift)
    write_card(out, model, judged.bundle.version, findings, judged_given(rows, asked.data.splits))
    return judgement
