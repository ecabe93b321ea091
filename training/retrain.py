"""A retraining as a scheduler runs it: learn with rows held out, register, and let the gate decide on these."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from features.inputs import Tell
from models.bundle import check_out
from training import tracking
from training.contender import Contender
from training.gate import as_metrics, in_words, judge_at_gate
from training.gate_rule import Rule
from training.hold_out import hold_out
from training.prepare import prepare
from training.progress import Report
from training.promote import settle
from training.run import TrainingRun, run_prepared
from training.settings import Settings
from training.stopwatch import Stopwatch
from training.train import asked_for

FIRST = "promoted: nobody was the champion"


@dataclass(frozen=True)
class Retraining:
    """The run, whether its model has become the champion, and why, a line each."""

    run: TrainingRun
    is_promoted: bool
    why: tuple[str, ...]


def run_retraining(
    asked: Settings,
    out: Path,
    rule: Rule,
    now: Callable[[], datetime],
    stopwatch: Stopwatch,
    tell: Tell,
    progress: Callable[[], AbstractContextManager[Report]],
) -> Retraining:
    """Train on what `hold_out` leaves, register, and judge at the gate; where nobody is the champion, the model is.

    The alias moves last: what fails or is interrupted before has changed nothing that serves. Raises what
    `run_training`, `hold_out` and `judge_at_gate` raise.
    """
    check_out(out)
    with stopwatch.phase("reading"):
        ready = prepare(asked, out, now, tell)
    held_out = hold_out(asked_for(ready.rows, ready.settings), ready.settings.fit.seed)
    for reason, count in held_out.learn.left_out.items():
        if count and reason not in ready.rows.left_out:
            tell(f"left out: {count:,} {reason}")
    run = run_prepared(replace(ready, rows=held_out.learn), out, True, stopwatch, progress, held_out.judge)
    version, champion = str(run.registered), tracking.registered_version(tracking.CHAMPION_REFERENCE)
    if champion is None or champion == version:
        tracking.tag_version(version, {"gate": FIRST})
        return Retraining(run, True, (FIRST,))
    opponent = Contender.open(tracking.download_bundle(tracking.version_reference(champion)))
    seed = ready.settings.fit.seed
    comparison, decision = judge_at_gate(Contender.open(out), opponent, ready.log, held_out.judge, seed, rule)
    tracking.log_gate(run.run_id, as_metrics(comparison))
    why = in_words(comparison, decision)
    settle(version, champion, why, decision.is_promoted)
    return Retraining(run, decision.is_promoted, tuple(why))
