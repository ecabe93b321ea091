"""What a training leaves in its run: the data's fingerprints, how good the model is, how long it took, and where."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

from features.event_log import EventLog
from features.journey import Journey
from training import tracking
from training.backtest import FIGURES, Backtest
from training.fingerprint import of_labelled_rows, of_touchpoints
from training.labels import LabelledRows
from training.settings import Data
from training.stopwatch import Stopwatch
from training.train import LIBRARIES, Training
from training.verdict_text import verdict_text

COUNTS = ("n", "n_positive", "base_rate")


def record_data(log: EventLog, rows: LabelledRows, journey: Journey, data: Data) -> None:
    """Record which touchpoints and labelled rows the current run learns from, and the files they came from."""
    source = ", ".join(data.touchpoints or ())
    tracking.log_data(of_touchpoints(log), source, "training")
    tracking.log_data(of_labelled_rows("labelled rows", rows, journey), data.labels or source, "training")


def record_backtest(tested: Backtest) -> None:
    """Record the spread over time in the current run, each figure as a curve, and a run of its own for each fold."""
    tracking.log_metrics(tested.metrics())
    for step, cut in enumerate(sorted({row.cut for row in tested.rows})):
        of_fold = [row for row in tested.rows if row.cut == cut]
        parameters = {name: getattr(of_fold[0], name) for name in ("cut", "until", "training_rows")}
        metrics = {f"{row.target}/{name}": getattr(row, name) for row in of_fold for name in (*FIGURES, *COUNTS)}
        with tracking.tracked_run(f"back-test from {cut:%Y-%m-%d}", parameters, {"fold": "back-test"}):
            tracking.log_metrics(metrics)
        tracking.log_metrics({f"backtest/{name}": value for name, value in metrics.items()}, step)


def record_training(
    training: Training, journey: Journey, bundle: Path, bundle_version: str, stopwatch: Stopwatch
) -> None:
    """Record a training in the current run: the bundle, the verdicts, the rows judged on, seconds and environment."""
    if training.judgement is not None:
        held_out = of_labelled_rows("held-out rows", training.judged, journey)
        tracking.log_data(held_out, "labelled rows", "testing")
        tracking.log_metrics(training.judgement.metrics())
        tracking.set_tags({"mlflow.note.content": verdict_text(training.judgement)})
    with tempfile.TemporaryDirectory(prefix="journeycast-") as folder:
        (Path(folder) / "environment.json").write_text(json.dumps(environment(), indent=1) + "\n")
        tracking.log_folder(Path(folder))
    judged_on = training.judged_on.split if training.judgement else "nothing"
    tracking.set_tags({"bundle": bundle_version, "judged_on": judged_on})
    with stopwatch.phase("recording"):
        tracking.log_bundle(bundle)
    tracking.log_metrics(stopwatch.metrics())


def environment() -> dict[str, object]:
    """What a run may depend on beside the data: Python, the system, and the libraries that compute."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "processors": os.cpu_count(),
        "libraries": {library: version(library) for library in ("journeycast", *LIBRARIES)},
    }
