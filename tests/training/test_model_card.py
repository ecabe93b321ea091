"""The model card: everything measured is on it, it stands alone, and nobody is named."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from models.journey_model import JourneyModel
from models.reliability import Reliability
from training.card_verdicts import MEANINGS
from training.drift import Drift, Shift
from training.evaluate import judge_model
from training.findings import Findings, chapters, target_of, target_words
from training.influence import measure_influence
from training.labels import LabelledRows
from training.model_card import judged_given, judged_held_out, model_card, write_card

EMPTY = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
ABOUT = {
    "trained_on": {
        "rows": 1200, "customers": 300, "first_as_of": "2025-01-01T00:00:00+00:00",
        "last_as_of": "2025-06-01T00:00:00+00:00", "rows_with_stage": 1100, "stage_by_rule": True,
        "conversions": {"conversion_30d": {"rows": 1000, "converted": 40}}, "left_out": {"windows not over": 7},
    },
    "judged_on": {
        "split": "time and person", "why_not_by_time": "", "training_rows": 500, "test_rows": 300,
        "left_out_in_gap": 80, "is_itself": False,
    },
    "seed": 3,
    "libraries": {"numpy": "2.0"},
}  # fmt: skip


class Reading(HTMLParser):
    """Tags that are open, those that were closed out of turn, and every attribute."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.open += [] if tag in EMPTY else [tag]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def model(fitted: JourneyModel) -> JourneyModel:
    return replace(fitted, about=ABOUT)


@pytest.fixture(scope="module")
def rows(others) -> LabelledRows:
    return others.rows


@pytest.fixture(scope="module")
def findings(model: JourneyModel, rows: LabelledRows, others, embed) -> Findings:
    judgement = judge_model(model, others.log, rows, embed, seed=0)
    drift = Drift(900, 200, 300, 80, [Shift("<b>shift</b>", 0.31, 0.12), Shift("other", 0.02, 0.12)])
    return Findings(judgement, measure_influence(model, others.log, rows, embed), drift)


@pytest.fixture(scope="module")
def card(model: JourneyModel, findings: Findings) -> str:
    return model_card(model, "0123456789ab", findings, judged_held_out(ABOUT))


def test_it_is_sound_html(card: str) -> None:
    reading = Reading(card)

    assert (reading.open, reading.faults) == ([], [])
    assert "<b>shift" not in card


def test_it_loads_nothing_and_runs_nothing(card: str) -> None:
    reading = Reading(card)
    loading = {"src", "href", "srcset", "action", "data", "poster", "style", "xlink:href"}

    assert not {tag for tag, _, _ in reading.attributes} & {
        "script",
        "link",
        "iframe",
        "object",
        "embed",
        "img",
        "base",
    }
    assert "<script" not in card
    assert not [found for found in reading.attributes if found[1] in loading or found[1].startswith("on")]
    assert not any(word in card for word in ("url(", "@import", "https://"))
    assert card.count("http://") == card.count('xmlns="http://www.w3.org/2000/svg"')


def test_nobody_is_named_and_nothing_is_quoted(card: str, findings: Findings, others) -> None:
    named = others.log.customer_ids + [f"{name}" for name in others.log.event_ids if name]
    shown = [card, *(picture.file() for chapter in chapters(findings) for picture in chapter.pictures)]

    assert len(others.log.texts) > 50
    for page in shown:
        assert "simulated-0" not in page
        assert not any(name in page for name in named)
        assert not any(text in page for text in others.log.texts if len(text) > 12)


def test_every_picture_says_its_rows_and_its_base_rate(card: str, findings: Findings) -> None:
    found = {chapter.title: [picture.name for picture in chapter.pictures] for chapter in chapters(findings)}

    assert list(found) == [
        "Conversion within 30 days", "Conversion within 90 days", "The stage", "What moves the forecasts",
    ]  # fmt: skip
    assert found["Conversion within 30 days"] == [
        f"conversion_30d-{name}"
        for name in ("calibration", "gain", "lift", "precision-recall", "scores", "over-time", "by-stage")
    ]
    assert found["The stage"] == ["stage-confusion", "stage-coverage", "stage-over-time"]
    assert found["What moves the forecasts"] == ["influence-groups", "influence-kinds", "drift"]
    for chapter in chapters(findings):
        for picture in chapter.pictures:
            assert " rows" in picture.foot
            assert "base rate" in picture.foot or picture.name == "drift"
            assert picture.svg in card
            assert ElementTree.fromstring(picture.svg).get("aria-label")


def test_every_figure_stands_with_its_interval_beside_what_is_to_be_beaten(card: str, findings: Findings) -> None:
    for verdicts in findings.judgement.conversion.values():
        for verdict in verdicts.values():
            for figure in (verdict.roc_auc, verdict.average_precision, verdict.log_loss, verdict.brier):
                assert f"<td>{figure.value:.3f} <small>{figure.low:.3f} to {figure.high:.3f}</small></td>" in card
    for name in ("journeycast", "recency", "prevalence"):
        assert card.count(f"<td>{name}</td>") == 3


def test_it_says_what_it_learnt_from_and_how_it_was_judged(card: str) -> None:
    words = "".join(Reading(card).words)

    assert "Learnt from 1,200 rows of 300 customers, as of 2025-01-01 to 2025-06-01." in words
    assert "500 rows were learnt from and 300 held out to judge; 80 rows in between" in words
    assert "40 of 1,000 rows: base rate 4.0\u00a0%" in words
    assert "windows not over" in words
    assert "only 40 conversions were seen" in words


def test_every_reliability_code_is_explained_and_counted(card: str, findings: Findings) -> None:
    given = list(findings.judgement.rows.reliability)

    assert set(MEANINGS) == set(Reliability)
    for code in Reliability:
        assert f"<td><code>{code}</code></td>" in card
    assert f"<td>{given.count(Reliability.OK):,}</td>" in card


def test_a_model_that_was_not_judged_says_so(model: JourneyModel) -> None:
    card = model_card(model, "0123456789ab", None, "")

    assert card.count("It has not been judged") == 2
    assert "<svg" not in card
    assert Reading(card).open == []


def test_files_hold_the_card_and_each_picture_with_its_colours(
    model: JourneyModel, findings: Findings, card: str, tmp_path: Path
) -> None:
    write_card(tmp_path / "run", model, "0123456789ab", findings, judged_held_out(ABOUT))

    assert (tmp_path / "run" / "card.html").read_text("utf-8") == card
    names = {path.name for path in (tmp_path / "run" / "pictures").iterdir()}
    assert names == {f"{picture.name}.svg" for chapter in chapters(findings) for picture in chapter.pictures}
    root = ElementTree.parse(tmp_path / "run" / "pictures" / "stage-confusion.svg").getroot()
    assert "prefers-color-scheme: dark" in root[0].text


def test_a_split_by_customers_says_why() -> None:
    told = judged_held_out({"judged_on": {**ABOUT["judged_on"], "split": "person", "why_not_by_time": "no time"}})

    assert told.startswith("By customers that the judged model had never seen: 500 rows")
    assert "Not by time as well: no time." in told


def test_a_split_by_time_alone_says_that_customers_recur() -> None:
    told = judged_held_out({"judged_on": {**ABOUT["judged_on"], "split": "time"}})

    assert told.startswith("By later rows, also of customers from whose earlier rows the judged model had learnt: 500")


def test_a_split_by_customers_that_was_asked_for_needs_no_excuse() -> None:
    told = judged_held_out({"judged_on": {**ABOUT["judged_on"], "split": "person", "why_not_by_time": "asked for"}})

    assert "Not by time" not in told


def test_a_model_that_was_itself_judged_is_not_said_to_have_learnt_from_all() -> None:
    told = judged_held_out({"judged_on": {**ABOUT["judged_on"], "split": "time", "is_itself": True}})

    assert told == (
        "By later rows, kept from it for the gate: it learnt from 500 rows and was itself judged on 300 others; "
        "80 in between were left out."
    )


def test_rows_given_are_counted(rows: LabelledRows) -> None:
    told = judged_given(rows, ["fold1", "fold2"])

    assert f"{len(rows):,} rows of {len(set(rows.customer_id)):,} customers of split fold1 and fold2" in told


@pytest.mark.parametrize(
    ("column", "days", "words"),
    [("conversion_30d", 30, "Conversion within 30 days"), ("conversion", None, "Conversion in the end")],
)
def test_columns_are_horizons(column: str, days: int | None, words: str) -> None:
    assert target_of(column) == days
    assert target_words(days) == words


def test_the_same_findings_make_the_same_page(model: JourneyModel, findings: Findings, card: str) -> None:
    assert model_card(model, "0123456789ab", findings, judged_held_out(ABOUT)) == card
