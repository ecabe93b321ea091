"""The table of verdicts: each figure with its interval, its number of rows and its base rate."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from features.journey import DEFAULT_JOURNEY
from training.bootstrap import Estimate
from training.evaluate import Forecasts, Judgement, judge
from training.labels import LabelledRows
from training.verdict_table import verdict_table

N = 1200


def rows_of(stage_known: bool = True) -> LabelledRows:
    random = np.random.default_rng(27)
    return LabelledRows(
        customer_id=[f"p{number % 300}" for number in range(N)],
        customer=np.arange(N) % 300,
        as_of_us=np.arange(N),
        stage=random.integers(0, 4, N).astype(np.int8) if stage_known else np.full(N, -1, dtype=np.int8),
        horizons_days=(30,),
        converted=(np.arange(N) % 4 == 0).astype(np.int8)[:, None],
        stage_by_rule=True,
        left_out={},
    )


def judgement_of(rows: LabelledRows) -> Judgement:
    random = np.random.default_rng(28)
    forecasts = Forecasts(random.dirichlet(np.ones(4), N), random.random((N, 1)), random.random(N) * 50)
    return judge(forecasts, rows, (30,), DEFAULT_JOURNEY, seed=0)


def printed(table: Table) -> list[list[str]]:
    """The cells of each line, without borders; an interval below a figure is joined to it."""
    screen = io.StringIO()
    Console(file=screen, width=120, color_system=None).print(table)
    lines = [line.replace("┃", "│").strip("│").split("│") for line in screen.getvalue().splitlines()]
    cells: list[list[str]] = []
    for line in ([cell.strip() for cell in line] for line in lines if len(line) == 8):
        if any(line[:3]):
            cells.append(line)
        else:
            cells[-1] = [f"{cell} {below}".strip() for cell, below in zip(cells[-1], line, strict=True)]
    return cells


def figure(estimate: Estimate) -> str:
    low, high = (f"{bound:.3f}".removeprefix("0") for bound in (estimate.low, estimate.high))
    return f"{estimate.value:.3f} {low}–{high}"


@pytest.fixture(scope="module")
def judgement() -> Judgement:
    return judgement_of(rows_of())


def test_every_rate_has_its_rows_and_its_base_rate(judgement: Judgement) -> None:
    lines = printed(verdict_table(judgement))

    assert lines[0] == ["forecast", "by", "rows", "base rate", "ROC AUC", "average precision", "log loss", "ECE"]
    assert [line[:4] for line in lines[1:4]] == [
        ["conversion_30d", "journeycast", "1,200", "0.250"],
        ["conversion_30d", "recency", "1,200", "0.250"],
        ["conversion_30d", "prevalence", "1,200", "0.250"],
    ]


def test_figures_stand_with_their_intervals(judgement: Judgement) -> None:
    line = printed(verdict_table(judgement))[1]
    verdict = judgement.conversion["conversion_30d"]["journeycast"]
    figures = [verdict.roc_auc, verdict.average_precision, verdict.log_loss, verdict.ece]

    assert line[4:] == [figure(estimate) for estimate in figures]


def test_stages_have_headings_of_their_own(judgement: Judgement) -> None:
    lines = printed(verdict_table(judgement))[4:]

    assert lines[0] == ["", "", "rows", "", "macro-F1", "accuracy", "log loss", ""]
    assert [line[:4] for line in lines[1:]] == [
        ["stage", contender, "1,200", ""] for contender in ("journeycast", "recency", "prevalence")
    ]
    verdict = judgement.stage["journeycast"]
    figures = [verdict.macro_f1, verdict.accuracy, verdict.log_loss]
    assert lines[1][4:7] == [figure(estimate) for estimate in figures]


def test_without_stages_there_are_no_lines_for_them() -> None:
    lines = printed(verdict_table(judgement_of(rows_of(stage_known=False))))

    assert [line[0] for line in lines] == ["forecast", *["conversion_30d"] * 3]


def test_what_is_not_defined_is_a_dash() -> None:
    rows = rows_of(stage_known=False)
    rows.converted[:] = 0
    line = printed(verdict_table(judgement_of(rows)))[1]

    assert line[:6] == ["conversion_30d", "journeycast", "1,200", "0.000", "–", "–"]


def test_of_nothing_there_is_only_a_heading() -> None:
    assert len(printed(verdict_table(Judgement({}, {}, DEFAULT_JOURNEY.stages)))) <= 1
