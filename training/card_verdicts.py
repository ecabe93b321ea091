"""The figures of a model card: tiles at its head, tables beside what any model has to beat, and when to doubt."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np

from features.event_log import Bools
from models.reliability import (
    LITTLE_DATA_TOUCHPOINTS,
    STALE_LEAST_DAYS,
    STALE_TIMES_OWN_GAP,
    UNHEARD_OF_SHARE,
    UNUSUAL_SHARE,
    Reliability,
)
from training.bootstrap import Estimate
from training.evaluate import MODEL, Judgement
from training.findings import target_of, target_words
from training.html_page import paragraph, table
from training.judged_rows import JudgedRows
from training.metrics import ConversionVerdict, StageVerdict
from training.pictures import percent, rows_and_persons

ADVANTAGE = (
    "Small: 95 % intervals, resampled by customer. Prevalence gives everybody the base rate of these very rows; "
    "recency knows only the days since the customer's own last act, and is fitted in folds of these rows: both have an "
    "advantage over the model."
)
MEANINGS = {
    Reliability.NO_DATA: "No touchpoint is known: the answer is the market's.",
    Reliability.UNKNOWN_VOCABULARY: f"More than {percent(UNHEARD_OF_SHARE)} of the touchpoints have a channel or "
    "action that training never saw.",
    Reliability.UNUSUAL: f"More lies out of the usual range than in all but {percent(UNUSUAL_SHARE)} of training.",
    Reliability.LITTLE_DATA: f"Fewer than {LITTLE_DATA_TOUCHPOINTS} touchpoints are known.",
    Reliability.STALE: f"Nothing for {STALE_LEAST_DAYS:.0f} days and {STALE_TIMES_OWN_GAP:.0f} times the customer's "
    "own mean gap.",
    Reliability.STAGE_BY_EXAMPLES: "No label told the stages: they are told by the journey's examples alone.",
    Reliability.OK: "Nothing speaks against the score.",
}


def tiles(judgement: Judgement) -> str:
    """The few figures to look at first: of the first horizon and of the stage."""
    return f'<div class="tiles">{"".join(_tiles(judgement))}</div>'


def verdict_tables(judgement: Judgement) -> str:
    """Every figure with its interval, its rows and its base rate."""
    tables = [
        f"<h3>{escape(target_words(target_of(target)))}</h3>{_conversion_table(verdicts)}"
        for target, verdicts in judgement.conversion.items()
    ]
    if judgement.stage:
        tables.append(f"<h3>Stage</h3>{_stage_table(judgement.stage)}")
    return "".join(tables) + paragraph(ADVANTAGE, "quiet")


def reliability_table(rows: JudgedRows | None) -> str:
    """What each code means and, of rows judged, how many had it and how forecast and outcome compare."""
    intro = paragraph("Every score carries a code: the first of these that applies.")
    if rows is None or not len(rows.reliability):
        return intro + table(("code", "meaning"), (_meaning(code) for code in MEANINGS), "words")
    given = np.array(rows.reliability)
    head = ["code", "meaning", "rows judged", "share"]
    head += [f"{target_words(rows.horizons_days[0])}: forecast", "observed"] if rows.horizons_days else []
    lines = [(*_meaning(code), *_of_code(rows, given == code)) for code in MEANINGS]
    return intro + table(head, lines, "words")


def _tiles(judgement: Judgement) -> Iterator[str]:
    for target, verdicts in list(judgement.conversion.items())[:1]:
        verdict, words = verdicts[MODEL], target_words(target_of(target))
        yield _tile("ROC AUC", verdict.roc_auc, f"{words}; 0.5 is chance. {verdict.n:,} rows, {_base(verdict)}")
        yield _tile("Average precision", verdict.average_precision, f"{words}; {verdict.base_rate:.3f} is chance")
        yield _tile("Lift of the likeliest tenth", verdict.lift_at_10_percent, f"{words}; 1 is chance", 1)
    if judgement.stage:
        stage = judgement.stage[MODEL]
        commonest = max(stage.n_by_stage) / stage.n
        yield _tile("Stages told right", stage.accuracy, f"{stage.n:,} rows; always the commonest: {commonest:.3f}")
        yield _tile("Macro-F1 of the stages", stage.macro_f1, "The mean over the stages: a rare one counts as much")


def _tile(title: str, figure: Estimate, reading: str, digits: int = 3) -> str:
    if np.isnan(figure.value):
        return ""
    interval = "" if figure.reason else f"{figure.low:.{digits}f} to {figure.high:.{digits}f}"
    return (
        f'<div class="tile"><p>{title}</p><p class="figure">{figure.value:.{digits}f} <span>{interval}</span></p>'
        f"{paragraph(reading, 'quiet')}</div>"
    )


def _conversion_table(verdicts: dict[str, ConversionVerdict]) -> str:
    some = next(iter(verdicts.values()))
    head = ("by", "ROC AUC", "average precision", "log loss", "Brier", "calibration error", "lift at 10 %")
    lines = [
        (name, *map(_cell, (v.roc_auc, v.average_precision, v.log_loss, v.brier, v.ece, v.lift_at_10_percent)))
        for name, v in verdicts.items()
    ]
    return paragraph(f"{rows_and_persons(some.n, some.n_persons)}; {_base(some)}.") + table(head, lines, "strong-first")


def _stage_table(verdicts: dict[str, StageVerdict]) -> str:
    some = next(iter(verdicts.values()))
    counts = f"{rows_and_persons(some.n, some.n_persons)}; base rate {percent(max(some.n_by_stage) / some.n)}."
    lines = [(name, *map(_cell, (v.macro_f1, v.accuracy, v.log_loss))) for name, v in verdicts.items()]
    return paragraph(counts) + table(("by", "macro-F1", "accuracy", "log loss"), lines, "strong-first")


def _base(verdict: ConversionVerdict) -> str:
    return f"{verdict.n_positive:,} converted: base rate {percent(verdict.base_rate)}"


def _cell(figure: Estimate) -> str:
    if np.isnan(figure.value):
        return f"– <small>{escape(figure.reason)}</small>"
    interval = "" if figure.reason else f" <small>{figure.low:.3f} to {figure.high:.3f}</small>"
    return f"{figure.value:.3f}{interval}"


def _meaning(code: Reliability) -> tuple[str, str]:
    return f"<code>{code}</code>", escape(MEANINGS[code])


def _of_code(rows: JudgedRows, has_code: Bools) -> Iterator[str]:
    yield f"{has_code.sum():,}"
    yield percent(float(has_code.mean()))
    if rows.horizons_days:
        outcomes = rows.outcomes(0)
        of_code = has_code[outcomes.rows]
        for values in (outcomes.probability, outcomes.converted):
            yield percent(float(values[of_code].mean())) if of_code.any() else "–"
