"""The model card: a page for people that says what a model is, what it learnt from, how good it is and where it ends.

It holds counts, rates and the names of channels, actions and stages; no customer, no message. What such a page should
hold: Mitchell et al., "Model cards for model reporting" (2019, FAT*).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from features.errors import BadEnvironment
from features.event_log import from_us
from features.journey import Journey
from models.journey_model import JourneyModel
from training.card_verdicts import reliability_table, tiles, verdict_tables
from training.findings import Chapter, Findings, chapters, target_of, target_words
from training.html_page import bullets, facts, folded, page, paragraph, section, table
from training.labels import LabelledRows
from training.pictures import PLOT_STYLE, Picture, percent, rows_and_persons, write_pictures
from training.split import ASKED_FOR

STYLE: Final = Path(__file__).with_name("card.css")
CARD: Final = "card.html"
FEW_CONVERSIONS: Final = 100
PURPOSE: Final = (
    "It is made for marketing, sales and service: whom to speak to, about what, and when. It is not made to decide on "
    "credit, insurance, employment or prices."
)
KEPT: Final = (
    "Counts only: the model holds no customer and no message. What it kept of the words are weights of meanings, and "
    "of phrases that at least ten customers used."
)


def write_card(folder: Path, model: JourneyModel, version: str, findings: Findings | None, judged: str) -> None:
    """Write `card.html` and, in `pictures/`, each picture by itself. Raises BadEnvironment where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CARD).write_text(model_card(model, version, findings, judged), "utf-8")
        if findings is not None:
            pictures = [picture for chapter in chapters(findings) for picture in chapter.pictures]
            write_pictures(pictures, folder / "pictures")
    except OSError as error:
        raise BadEnvironment("out_unwritable", f"{folder} cannot be written: {error.strerror}") from None


def model_card(model: JourneyModel, version: str, findings: Findings | None, judged: str) -> str:
    """The page. `judged` says in a sentence on which rows; without findings the model has not been judged."""
    style = STYLE.read_text("utf-8") + PLOT_STYLE.read_text("utf-8")
    body = "".join(_body(model, version, findings, judged))
    return page(f"Model card: {model.reader.journey.name} {version}", style, body)


def judged_held_out(about: dict[str, Any]) -> str:
    """On which rows a training judged, from what the model says about itself."""
    judged = about["judged_on"]
    if judged["is_itself"]:
        whom = "customers kept from it" if judged["split"] == "person" else "later rows, kept from it"
        gap = f"; {judged['left_out_in_gap']:,} in between were left out" if judged["left_out_in_gap"] else ""
        return (
            f"By {whom} for the gate: it learnt from {judged['training_rows']:,} rows and was itself judged on "
            f"{judged['test_rows']:,} others{gap}."
        )
    rows = f"{judged['training_rows']:,} rows were learnt from and {judged['test_rows']:,} held out to judge"
    kept = "The model that is kept learnt in the same way from all rows."
    if judged["split"] == "person":
        why = f" Not by time as well: {judged['why_not_by_time']}." if judged["why_not_by_time"] != ASKED_FOR else ""
        return f"By customers that the judged model had never seen: {rows}.{why} {kept}"
    whose = "later rows of customers that the judged model had never seen"
    if judged["split"] == "time":
        whose = "later rows, also of customers from whose earlier rows the judged model had learnt"
    gap = f"{judged['left_out_in_gap']:,} rows in between, whose outcome was not known by then, were left out"
    return f"By {whose}: {rows}; {gap}. {kept}"


def judged_given(rows: LabelledRows, split: Sequence[str] | None) -> str:
    """On which rows a bundle was judged that was given some."""
    first, last = (f"{from_us(moment):%Y-%m-%d}" for moment in (rows.as_of_us.min(), rows.as_of_us.max()))
    of_split = f" of split {' and '.join(split)}" if split else ""
    return (
        f"By rows given for it: {rows_and_persons(len(rows), len(set(rows.customer_id)))}{of_split}, as of {first} to "
        f"{last}. Only who gave them knows whether the model learnt from these customers."
    )


def _body(model: JourneyModel, version: str, findings: Findings | None, judged: str) -> Iterator[str]:
    about, journey = model.about, model.reader.journey
    yield _header(journey, version, about, findings)
    yield "<main>\n"
    if findings is None:
        yield section("How good it is", paragraph("It has not been judged: too few rows could be held out."))
    else:
        yield section("How good it is", paragraph(judged) + verdict_tables(findings.judgement))
        for number, chapter in enumerate(chapters(findings)):
            is_folded = number > 0 and chapter.title.startswith("Conversion")
            yield (folded if is_folded else section)(chapter.title, _pictures(chapter))
    yield section("When to doubt a score", reliability_table(None if findings is None else findings.judgement.rows))
    yield section("What it is", _what_it_is(model))
    yield section("The journey", _journey(journey))
    yield section("What it learnt from", _data(about))
    yield section("Limits", bullets(_limits(about, findings)))
    yield section("Versions", facts({"model": version, "seed": about.get("seed"), **about.get("libraries", {})}))
    yield "</main>\n<footer>Made by Journeycast. No customer and no message is on this page.</footer>\n"


def _header(journey: Journey, version: str, about: dict[str, Any], findings: Findings | None) -> str:
    learnt = about.get("trained_on", {})
    told = f"Learnt from {rows_and_persons(learnt.get('rows', 0), learnt.get('customers', 0))}, as of {_times(learnt)}."
    return (
        f'<header>\n<p class="brand">Journeycast model card</p>\n<h1>{escape(journey.name)} '
        f"<code>{escape(version)}</code></h1>\n{paragraph(told, 'quiet')}"
        f"{'' if findings is None else tiles(findings.judgement)}\n</header>\n"
    )


def _pictures(chapter: Chapter) -> str:
    return f'<div class="pictures">{"".join(map(_figure, chapter.pictures))}</div>'


def _figure(picture: Picture) -> str:
    numbers = table(picture.columns, (tuple(map(escape, line)) for line in picture.numbers))
    return (
        f"<figure><h3>{escape(picture.title)}</h3>{picture.svg}<figcaption>{escape(picture.reading)}</figcaption>"
        f"<details><summary>The numbers</summary>{numbers}</details></figure>\n"
    )


def _what_it_is(model: JourneyModel) -> str:
    reader, parts = model.reader, []
    if model.conversion is not None:
        horizons = " and ".join(target_words(days).lower() for days in model.conversion.horizons_days)
        parts.append(f"how likely a customer is to convert ({horizons}), with an interval")
    if model.stage is not None:
        parts.append(f"in which of {len(reader.journey.stages)} stages a customer is, with the probability of each")
    of_words = ", beside two linear models of what the messages mean and of their phrases" if reader.reads_text else ""
    return (
        paragraph(f"It tells {'; and '.join(parts)}.")
        + paragraph(
            f"Boosted trees and a regularised line on ranks read {len(reader.catalog):,} features of a customer as of "
            f"a moment{of_words}; their blend is calibrated out of fold by customer. What happened later, or was "
            f"recorded later, is never read. {'' if reader.reads_text else 'No message is read.'}"
        )
        + paragraph(PURPOSE)
    )


def _journey(journey: Journey) -> str:
    hidden = (*journey.labels.hide.channels, *journey.labels.hide.actions)
    within = " and ".join(f"{days} days" for days in journey.conversion.horizons_days) or "in the end"
    counted = "every one counts" if journey.conversion.repeatable else "a customer's first counts"
    stages = "".join(f"<li>{escape(stage)}</li>" for stage in journey.stages)
    known = {
        "conversion": f"{' or '.join(journey.conversion.actions)}; {counted}",
        "within": within,
        "never a feature": ", ".join(hidden) or None,
    }
    return f'<ol class="stages">{stages}</ol>{facts(known)}'


def _data(about: dict[str, Any]) -> str:
    learnt = about.get("trained_on", {})
    by = "the journey's rules" if learnt.get("stage_by_rule") else "labels"
    known = {
        "rows (a customer as of a moment)": f"{learnt.get('rows', 0):,}",
        "customers": f"{learnt.get('customers', 0):,}",
        "first and last moment": _times(learnt),
        "rows of known stage": f"{learnt.get('rows_with_stage', 0):,}, by {by}",
    }
    for target, counts in learnt.get("conversions", {}).items():
        rate = percent(counts["converted"] / counts["rows"]) if counts["rows"] else "–"
        told = f"{counts['converted']:,} of {counts['rows']:,} rows: base rate {rate}"
        known[target_words(target_of(target)).lower()] = told
    known |= {f"left out: {why}": f"{count:,}" for why, count in learnt.get("left_out", {}).items() if count}
    return facts(known) + paragraph(KEPT, "quiet")


def _limits(about: dict[str, Any], findings: Findings | None) -> Iterator[str]:
    learnt = about.get("trained_on", {})
    yield (
        f"It knows the market as of {_times(learnt)}. Train anew when channels, offers or prices change, and watch "
        "what has moved."
    )
    if findings is None:
        yield "It has not been judged. Take its probabilities for a first guess."
    elif about.get("judged_on", {}).get("split") == "person":
        yield "Its training held out customers, not time: how the model ages was not measured there."
    for target, counts in learnt.get("conversions", {}).items():
        if counts["converted"] < FEW_CONVERSIONS:
            words = target_words(target_of(target))
            yield f"{words}: only {counts['converted']:,} conversions were seen, so every figure is uncertain."
    yield "Reasons tell what moved a score, not what would change the customer's mind: no cause is claimed."
    yield "The rate of a group is forecast better than what any one customer will do."


def _times(learnt: dict[str, Any]) -> str:
    return " to ".join(str(learnt.get(moment))[:10] for moment in ("first_as_of", "last_as_of"))
