"""A judgement as a page of a tracker shows it: a Markdown table, the model beside what it has to beat."""

from __future__ import annotations

from collections.abc import Iterator

from training.bootstrap import Estimate
from training.evaluate import Judgement


def verdict_text(judgement: Judgement) -> str:
    """One line a target and contender, figures with their 95 % intervals by person."""
    return "\n".join([*_conversion_lines(judgement), *_stage_lines(judgement)])


def _conversion_lines(judgement: Judgement) -> Iterator[str]:
    if judgement.conversion:
        yield from _head("forecast", "by", "rows", "base rate", "ROC AUC", "average precision", "log loss")
    for target, verdicts in judgement.conversion.items():
        for contender, verdict in verdicts.items():
            figures = map(_cell, (verdict.roc_auc, verdict.average_precision, verdict.log_loss))
            yield _line(target, contender, f"{verdict.n:,}", f"{verdict.base_rate:.3f}", *figures)


def _stage_lines(judgement: Judgement) -> Iterator[str]:
    if judgement.stage:
        yield from _head("forecast", "by", "rows", "macro-F1", "accuracy", "log loss")
    for contender, verdict in judgement.stage.items():
        figures = map(_cell, (verdict.macro_f1, verdict.accuracy, verdict.log_loss))
        yield _line("stage", contender, f"{verdict.n:,}", *figures)


def _head(*names: str) -> Iterator[str]:
    yield from ("", _line(*names), _line(*("---" for _ in names)))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(figure: Estimate) -> str:
    return "–" if figure.reason else f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
