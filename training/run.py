"""One training as commands run it: read, learn, judge, write the bundle, and record all of it in MLflow."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from features.inputs import Tell
from models.bundle import check_out, save_bundle
from training import tracking
from training.backtest import Backtest
from training.labels import LabelledRows
from training.model_card import CARD, judged_held_out, write_card
from training.prepare import Prepared, prepare
from training.progress import Report
from training.run_record import record_backtest, record_data, record_training
from training.settings import Settings
from training.stopwatch import Stopwatch
from training.train import Training, run_backtest, train


@dataclass(frozen=True)
class TrainingRun:
    """What came of it: the run in MLflow, the bundle's version, and that of the registered model, if it was."""

    run_id: str
    bundle_version: str
    registered: str | None
    settings: Settings
    training: Training
    tested: Backtest | None

    def told(self, bundle: Path) -> list[str]:
        """What there is to say beside the verdicts, line by line."""
        about = self.training.model.about
        lines = [f"not learnt: {target}: {why}" for target, why in about["trained_on"]["not_learnt"].items()]
        judged_on = self.training.judged_on
        if judged_on.split == "person" and self.settings.split.kind != "person":
            lines.append(f"judged on other persons, not on later rows: {judged_on.why_not_by_time}")
        if not self.training.judgement:
            lines.append("Too few rows to hold some out: this model has not been judged.")
        registered = f", registered as version {self.registered}" if self.registered else ""
        lines.append(f"model card in {card_beside(bundle)}")
        return [*lines, f"bundle {self.bundle_version} in {bundle}; MLflow run {self.run_id}{registered}"]


def run_training(
    asked: Settings,
    out: Path,
    register: bool,
    now: Callable[[], datetime],
    stopwatch: Stopwatch,
    tell: Tell,
    progress: Callable[[], AbstractContextManager[Report]],
) -> TrainingRun:
    """Train as the configuration says and write the bundle to `out`; with `register`, it becomes a new version.

    Raises what reading, labelling, learning and recording raise; a run that fails is recorded as such.
    """
    check_out(out)
    with stopwatch.phase("reading"):
        ready = prepare(asked, out, now, tell)
    return run_prepared(ready, out, register, stopwatch, progress)


def run_prepared(
    ready: Prepared,
    out: Path,
    register: bool,
    stopwatch: Stopwatch,
    progress: Callable[[], AbstractContextManager[Report]],
    kept: LabelledRows | None = None,
) -> TrainingRun:
    """Train on what has been read and chosen; as `run_training`. Of `kept` rows nothing is learnt: they judge."""
    settings, log, rows, journey = ready.settings, ready.log, ready.rows, ready.journey
    tested = None
    tags = {"labels": "given" if settings.data.labels else "by rule"}
    with tracking.tracked_run(out.name, _parameters(ready), tags) as run_id:
        tracking.log_settings(settings)
        record_data(log, rows, journey, settings.data)
        with stopwatch.phase("training"), progress() as report:
            watched = stopwatch.watching(report, "training")
            embed = ready.embed(watched)
            training = train(rows, log, journey, embed, settings.fit.seed, watched, settings=settings, kept=kept)
            if settings.backtest.folds:
                tested = run_backtest(rows, log, journey, embed, settings, watched)
        with stopwatch.phase("saving"):
            version = save_bundle(training.model, ready.embedder_folder, out)
            _keep_card(training, tested, version, out)
        if tested:
            record_backtest(tested)
        record_training(training, journey, out, version, stopwatch)
    registered = tracking.register_bundle(run_id) if register else None
    return TrainingRun(run_id, version, registered, settings, training, tested)


def card_beside(bundle: Path) -> Path:
    """Where the model card of a bundle lies: beside it, for a bundle holds what its manifest names and no more."""
    return bundle.with_name(f"{bundle.name}.card.html")


def _keep_card(training: Training, tested: Backtest | None, version: str, out: Path) -> None:
    """Beside the bundle the page; in the run the page and each picture."""
    findings = None if training.findings is None else replace(training.findings, tested=tested)
    with tempfile.TemporaryDirectory(prefix="journeycast-card-") as folder:
        write_card(Path(folder), training.model, version, findings, judged_held_out(training.model.about))
        shutil.copyfile(Path(folder) / CARD, card_beside(out))
        tracking.log_folder(Path(folder))


def _parameters(ready: Prepared) -> dict[str, Any]:
    journey = ready.journey
    return {
        "journey": {"name": journey.name, "stages": journey.stages, "horizons_days": journey.conversion.horizons},
        "rows": len(ready.rows),
        "reads_text": ready.embedder is not None,
        **ready.settings.about(),
    }
