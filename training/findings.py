"""What is known of how good a model is: verdicts, reasons, shifts, and the pictures of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from features.journey import conversion_column
from training.backtest import Backtest
from training.backtest_pictures import backtest_pictures
from training.conversion_pictures import conversion_pictures
from training.drift import Drift
from training.evaluate import Judgement
from training.influence import Influence
from training.judged_rows import JudgedRows
from training.market_pictures import drift_picture, influence_pictures
from training.pictures import Picture, percent
from training.stage_pictures import stage_pictures


@dataclass(frozen=True)
class Findings:
    """A judgement, and what was measured beside it on the same rows; None where it was not."""

    judgement: Judgement
    influence: Influence | None = None
    drift: Drift | None = None
    tested: Backtest | None = None


@dataclass(frozen=True)
class Chapter:
    """Pictures that belong together."""

    title: str
    pictures: list[Picture]


def chapters(findings: Findings) -> list[Chapter]:
    """Everything that can be drawn, the first horizon first; chapters without a picture are left out."""
    rows, stages = findings.judgement.rows, findings.judgement.stages
    found = [] if rows is None else [*_of_conversions(rows, stages), _of_stages(findings, rows, stages)]
    found.append(Chapter("What moves the forecasts", _of_market(findings)))
    if findings.tested is not None:
        found.append(Chapter("Trained and judged at earlier moments", backtest_pictures(findings.tested)))
    return [chapter for chapter in found if chapter.pictures]


def target_words(horizon_days: int | None) -> str:
    """A horizon as people say it."""
    return "Conversion in the end" if horizon_days is None else f"Conversion within {horizon_days} days"


def target_of(column: str) -> int | None:
    """The horizon of a score column, in days."""
    days = column.removeprefix("conversion").strip("_d")
    return int(days) if days else None


def _of_conversions(rows: JudgedRows, stages: Sequence[str]) -> list[Chapter]:
    return [
        Chapter(target_words(horizon), conversion_pictures(rows, h, stages))
        for h, horizon in enumerate(rows.horizons_days)
    ]


def _of_stages(findings: Findings, rows: JudgedRows, stages: Sequence[str]) -> Chapter:
    return Chapter("The stage", stage_pictures(rows, stages) if findings.judgement.stage else [])


def _of_market(findings: Findings) -> list[Picture]:
    influence = findings.influence
    pictures = []
    if influence is not None and influence.groups:
        foot = f"{influence.rows:,} rows explained; {_base_rate(findings, influence.horizon_days)}"
        pictures += influence_pictures(influence, foot)
    if findings.drift is not None and findings.drift.shifts:
        pictures.append(drift_picture(findings.drift))
    return pictures


def _base_rate(findings: Findings, horizon_days: int | None) -> str:
    verdicts = findings.judgement.conversion.get(conversion_column(horizon_days))
    words = target_words(horizon_days).lower()
    if not verdicts:
        return words
    return f"{words}, base rate {percent(next(iter(verdicts.values())).base_rate)}"
