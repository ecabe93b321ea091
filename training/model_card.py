"""The model card: a page for people that says what a model is, what it learnt from, how good it is and where it ends.

The page is one file that loads nothing: its policy forbids it. It holds counts, rates and the names of channels,
actions and stages; no customer, no message. What such a page should hold: Mitchell et al., "Model cards for model
reporting" (2019, FAT*).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from features.journey import Journey
from models.journey_model import JourneyModel
from models.reliability import LITTLE_DATA_TOUCHPOINTS, STALE_LEAST_DAYS, UNHEARD_OF_SHARE, Reliability
from training.bootstrap import Estimate
from training.evaluate import MODEL, Judgement
from training.findings import Chapter, Findings, chapters, target_words
from training.judged_rows import JudgedRows
from training.metrics import ConversionVerdict, StageVerdict
from training.pictures import PLOT_STYLE, Picture, percent

STYLE = Path(__file__).with_name("card.css")
FEW_CONVERSIONS = 100
MEANINGS = {
    Reliability.OK: "Nothing speaks against the score.",
    Reliability.NO_DATA: "No touchpoint is known: the answer is that of the market.",
    Reliability.UNKNOWN_VOCABULARY: f"Over {UNHEARD_OF_SHARE:.0%} of the touchpoints have a channel or action that "
    "training never saw.",
    Reliability.UNUSUAL: "More is out of the usual range than in 99.5 % of the training rows.",
    Reliability.LITTLE_DATA: f"Fewer than {LITTLE_DATA_TOUCHPOINTS} touchpoints are known.",
    Reliability.STALE: f"Nothing for {STALE_LEAST_DAYS:.0f} days and ten times the customer's own rhythm.",
}


def model_card(model: JourneyModel, version: str, findings: Findings | None, judged: str) -> str:
    """The page. `judged` says in a sentence on which rows; without findings the model has not been judged."""
    style = STYLE.read_text("utf-8") + PLOT_STYLE.read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = f"Model card: {model.reader.journey.name} {version}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"{''.join(_body(model, version, findings, judged))}</body>\n</html>\n"
    )


def _body(model: JourneyModel, version: str, findings: Findings | None, judged: str) -> Iterator[str]:
    about, journey = model.about, model.reader.journey
    yield _header(journey, version, about, findings)
    yield "<main>\n"
    yield _section("How it was judged", _paragraph(judged) + _judgement(findings))
    for number, chapter in enumerate([] if findings is None else chapters(findings)):
        yield _chapter(chapter, is_open=number == 0 or not chapter.title.startswith("Conversion"))
    yield _section("When to doubt a score", _reliability(None if findings is None else findings.judgement.rows))
    yield _section("What it is", _what_it_is(model))
    yield _section("The journey", _journey(journey))
    yield _section("What it learnt from", _data(about))
    yield _section("Limits", _list(_limits(about, findings)))
    yield _section("Versions", _facts({"model": version, "seed": about.get("seed"), **about.get("libraries", {})}))
    yield "</main>\n<footer>Made by Journeycast. No customer and no message is on this page.</footer>\n"


def _header(journey: Journey, version: str, about: dict[str, Any], findings: Findings | None) -> str:
    learnt = about.get("trained_on", {})
    told = f"Learnt from {learnt.get('rows', 0):,} rows of {learnt.get('customers', 0):,} customers"
    if learnt.get("first_as_of"):
        told += f", as of {learnt['first_as_of'][:10]} to {learnt['last_as_of'][:10]}"
    tiles = "" if findings is None else "".join(_tiles(findings.judgement))
    return (
        f'<header>\n<p class="brand">Journeycast model card</p>\n<h1>{escape(journey.name)} '
        f'<code>{escape(version)}</code></h1>\n<p class="quiet">{told}.</p>\n'
        f'<div class="tiles">{tiles}</div>\n</header>\n'
    )


def _tiles(judgement: Judgement) -> Iterator[str]:
    for target, verdicts in list(judgement.conversion.items())[:1]:
        verdict, words = verdicts[MODEL], _target_of(target).lower()
        counts = f"{words}; {verdict.n_positive:,} of {verdict.n:,} rows converted"
        yield _tile("ROC AUC", verdict.roc_auc, f"{counts}; 0.5 is chance")
        base = f"{words}; base rate {verdict.base_rate:.3f}, so {_times(verdict)} as good as any order"
        yield _tile("Average precision", verdict.average_precision, base)
        yield _tile("Lift of the likeliest tenth", verdict.lift_at_10_percent, f"{words}; 1 is chance", 1)
    if judgement.stage:
        stage = judgement.stage[MODEL]
        base_rate = max(stage.n_by_stage) / stage.n
        yield _tile(
            "Stages told right", stage.accuracy, f"{stage.n:,} rows; {base_rate:.3f} are of the commonest stage"
        )
        yield _tile(
            "Macro-F1 of the stages", stage.macro_f1, f"mean over {len(stage.n_by_stage)} stages, rare ones alike"
        )


def _times(verdict: ConversionVerdict) -> str:
    return f"{verdict.average_precision.value / verdict.base_rate:.1f} times" if verdict.n_positive else "not"


def _tile(title: str, figure: Estimate, reading: str, digits: int = 3) -> str:
    if np.isnan(figure.value):
        return ""
    interval = "" if figure.reason else f"{figure.low:.{digits}f} to {figure.high:.{digits}f}"
    return (
        f'<div class="tile"><p>{title}</p><p class="figure">{figure.value:.{digits}f} <span>{interval}</span></p>'
        f'<p class="quiet">{escape(reading)}</p></div>'
    )


def _judgement(findings: Findings | None) -> str:
    if findings is None:
        return ""
    tables = []
    for target, verdicts in findings.judgement.conversion.items():
        tables.append(f"<h3>{escape(_target_of(target))}</h3>" + _conversion_table(verdicts))
    if findings.judgement.stage:
        tables.append("<h3>Stage</h3>" + _stage_table(findings.judgement.stage))
    note = (
        "Small: 95 % intervals, resampled by customer. Prevalence gives everybody the base rate of these very rows; "
        "recency knows only the days since the customer's own last act, and is fitted in folds of these rows: both "
        "have an advantage over the model."
    )
    return "".join(tables) + _paragraph(note, "quiet")


def _conversion_table(verdicts: dict[str, ConversionVerdict]) -> str:
    some = next(iter(verdicts.values()))
    counts = (
        f"{some.n:,} rows of {some.n_persons:,} customers, {some.n_positive:,} converted: base rate "
        f"{percent(some.base_rate)}"
    )
    head = ("by", "ROC AUC", "average precision", "log loss", "Brier", "calibration error", "lift at 10 %")
    lines = [
        (name, *map(_cell, (v.roc_auc, v.average_precision, v.log_loss, v.brier, v.ece, v.lift_at_10_percent)))
        for name, v in verdicts.items()
    ]
    return _paragraph(counts) + _table(head, lines, kind="strong-first")


def _stage_table(verdicts: dict[str, StageVerdict]) -> str:
    some = next(iter(verdicts.values()))
    counts = f"{some.n:,} rows of {some.n_persons:,} customers: base rate {percent(max(some.n_by_stage) / some.n)}"
    lines = [(name, *map(_cell, (v.macro_f1, v.accuracy, v.log_loss))) for name, v in verdicts.items()]
    return _paragraph(counts) + _table(("by", "macro-F1", "accuracy", "log loss"), lines, kind="strong-first")


def _chapter(chapter: Chapter, is_open: bool) -> str:
    figures = f'<div class="pictures">{"".join(map(_figure, chapter.pictures))}</div>'
    if is_open:
        return _section(chapter.title, figures)
    return f"<section><details><summary><h2>{escape(chapter.title)}</h2></summary>{figures}</details></section>\n"


def _figure(picture: Picture) -> str:
    numbers = _table(picture.columns, [tuple(map(escape, line)) for line in picture.numbers])
    return (
        f"<figure><h3>{escape(picture.title)}</h3>{picture.svg}<figcaption>{escape(picture.reading)}</figcaption>"
        f"<details><summary>The numbers</summary>{numbers}</details></figure>\n"
    )


def _reliability(rows: JudgedRows | None) -> str:
    intro = _paragraph("Every score carries a code. The first that applies, in this order, is given.")
    codes = [code for code in Reliability if code is not Reliability.OK] + [Reliability.OK]
    if rows is None or not len(rows.reliability):
        return intro + _table(
            ("code", "meaning"), [(f"<code>{code}</code>", MEANINGS[code]) for code in codes], "words"
        )
    given = np.array(rows.reliability)
    lines = [(f"<code>{code}</code>", MEANINGS[code], *_of_code(rows, given == code)) for code in codes]
    horizon = f"{target_words(rows.horizons_days[0]).lower()}: " if rows.horizons_days else ""
    head = ("code", "meaning", "rows judged", "share", f"{horizon}forecast", "observed") if horizon else (
        "code", "meaning", "rows judged", "share",
    )  # fmt: skip
    return intro + _table(head, lines, "words")


def _of_code(rows: JudgedRows, has_code: Any) -> Iterator[str]:
    yield f"{has_code.sum():,}"
    yield percent(float(has_code.mean()))
    if rows.horizons_days:
        outcomes = rows.outcomes(0)
        of_code = has_code[outcomes.rows]
        for values in (outcomes.probability, outcomes.converted):
            yield percent(float(values[of_code].mean())) if of_code.any() else "–"


def _what_it_is(model: JourneyModel) -> str:
    reader = model.reader
    parts = []
    if model.conversion is not None:
        horizons = ", ".join(target_words(days).lower() for days in model.conversion.horizons_days)
        parts.append(f"how likely a customer is to convert ({horizons}), with an interval")
    if model.stage is not None:
        parts.append(f"in which of {len(reader.journey.stages)} stages a customer is, with the probability of each")
    read = "touchpoints and what was said in them" if reader.reads_text else "touchpoints; no text is read"
    return (
        _paragraph(f"It tells {' and '.join(parts)}. It reads {read}.")
        + _paragraph(
            f"Boosted trees and a regularised line on ranks read {len(reader.catalog):,} features of each customer as "
            "of a moment"
            + (", beside two linear models of the messages' meaning and phrases" if reader.reads_text else "")
            + ". Their blend is calibrated out of fold by customer. Only what was known at that moment counts: what "
            "happened later, or was recorded later, is never read."
        )
        + _paragraph(
            "It is made for marketing, sales and service: whom to speak to, about what, when. It is not made to decide "
            "on credit, insurance, employment or prices."
        )
    )


def _journey(journey: Journey) -> str:
    repeatable = "every one counts" if journey.conversion.repeatable else "a customer's first counts"
    horizons = ", ".join(f"{days} days" for days in journey.conversion.horizons_days) or "in the end"
    stages = "".join(f"<li>{escape(stage)}</li>" for stage in journey.stages)
    return f'<ol class="stages">{stages}</ol>' + _facts(
        {
            "conversion": f"{' or '.join(journey.conversion.actions)}; {repeatable}",
            "within": horizons,
            "never a feature": ", ".join((*journey.labels.hide.channels, *journey.labels.hide.actions)) or None,
        }
    )


def _data(about: dict[str, Any]) -> str:
    learnt = about.get("trained_on", {})
    by = "the journey's rules" if learnt.get("stage_by_rule") else "labels"
    facts = {
        "rows (a customer as of a moment)": f"{learnt.get('rows', 0):,}",
        "customers": f"{learnt.get('customers', 0):,}",
        "first and last moment": f"{str(learnt.get('first_as_of'))[:10]} to {str(learnt.get('last_as_of'))[:10]}",
        "rows of known stage": f"{learnt.get('rows_with_stage', 0):,}, by {by}",
    }
    for target, known in learnt.get("conversions", {}).items():
        rate = percent(known["converted"] / known["rows"]) if known["rows"] else "–"
        facts[_target_of(target)] = f"{known['converted']:,} of {known['rows']:,} rows: base rate {rate}"
    facts |= {f"left out: {why}": f"{count:,}" for why, count in learnt.get("left_out", {}).items() if count}
    return _facts(facts) + _paragraph(
        "Counts only: the model holds no customer and no message. What it kept of the words are weights of meanings "
        "and of phrases that at least ten customers used.",
        "quiet",
    )


def _limits(about: dict[str, Any], findings: Findings | None) -> Iterator[str]:
    learnt, judged = about.get("trained_on", {}), about.get("judged_on", {})
    yield (
        f"It knows the market until {str(learnt.get('last_as_of'))[:10]}. Train anew when channels, offers or prices "
        "change, and watch the shifts."
    )
    if findings is None:
        yield "It has not been judged: too few rows could be held out. Take its probabilities for a first guess."
    elif judged.get("split") == "person":
        why = judged.get("why_not_by_time")
        yield f"Rows were held out by customer, not by time ({why}): how the model ages was not measured."
    for target, known in learnt.get("conversions", {}).items():
        if known["converted"] < FEW_CONVERSIONS:
            yield f"{_target_of(target)}: {known['converted']:,} conversions were seen, so every figure is uncertain."
    yield "Reasons tell what moved the score, not what would change the customer's mind: no cause is claimed."
    yield "Forecasts are for customers as of a moment. A group of them is judged better than any single one."


def _target_of(column: str) -> str:
    days = column.removeprefix("conversion").strip("_d")
    return target_words(int(days) if days else None)


def _cell(figure: Estimate) -> str:
    if np.isnan(figure.value):
        return f"– <small>{escape(figure.reason)}</small>"
    small = "" if figure.reason else f" <small>{figure.low:.3f} to {figure.high:.3f}</small>"
    return f"{figure.value:.3f}{small}"


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>\n"


def _paragraph(words: str, kind: str = "") -> str:
    of_kind = f' class="{kind}"' if kind else ""
    return f"<p{of_kind}>{escape(words)}</p>\n"


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _facts(facts: dict[str, Any]) -> str:
    known = ((name, fact) for name, fact in facts.items() if fact is not None)
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(fact))}</dd>" for name, fact in known) + "</dl>"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]], kind: str = "") -> str:
    """Cells are HTML; a table wider than the page is scrolled."""
    of_kind = f' class="{kind}"' if kind else ""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    table = f"<table{of_kind}><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'
