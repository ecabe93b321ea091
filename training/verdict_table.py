"""A judgement as a table: the model beside what it has to beat, each figure with its interval and counts."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from training.bootstrap import Estimate
from training.evaluate import Judgement
from training.metrics import ConversionVerdict, StageVerdict


def verdict_table(judgement: Judgement) -> Table:
    """One line a target and contender; below each figure its 95 % interval by person."""
    table = Table(title="How good the forecasts are [dim](below: 95 % intervals, resampled by person)[/]")
    for heading in ("forecast", "by", "rows", "base rate", "ROC AUC", "average precision", "log loss", "ECE"):
        names = heading in ("forecast", "by")
        table.add_column(heading, justify="left" if names else "right", no_wrap=names)
    for target, verdicts in judgement.conversion.items():
        for contender, verdict in verdicts.items():
            table.add_row(target, contender, *_conversion_cells(verdict))
        table.add_section()
    if not judgement.stage:
        return table
    table.add_row("", "", "rows", "", "macro-F1", "accuracy", "log loss", "", style="bold")
    for contender, stage_verdict in judgement.stage.items():
        table.add_row("stage", contender, *_stage_cells(stage_verdict))
    return table


def _conversion_cells(verdict: ConversionVerdict) -> Iterator[str]:
    yield f"{verdict.n:,}"
    yield f"{verdict.base_rate:.3f}"
    yield from map(_cell, (verdict.roc_auc, verdict.average_precision, verdict.log_loss, verdict.ece))


def _stage_cells(verdict: StageVerdict) -> Iterator[str]:
    yield from (f"{verdict.n:,}", "", _cell(verdict.macro_f1), _cell(verdict.accuracy), _cell(verdict.log_loss), "")


def _cell(estimate: Estimate) -> str:
    if estimate.reason:
        return "–"
    return f"{estimate.value:.3f}\n[dim]{_short(estimate.low)}–{_short(estimate.high)}[/]"


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")
