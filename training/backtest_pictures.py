"""Pictures of a back-test: how good the forecasts would have been, had a model been trained at earlier moments."""

from __future__ import annotations

from math import isfinite
from typing import Final, Literal

from training.backtest import Backtest, BacktestRow
from training.pictures import Picture, percent, percents, periods_axis
from training.plot import Plot

Shown = Literal["average_precision", "roc_auc"]
NAMES: Final[dict[Shown, str]] = {"average_precision": "Average precision", "roc_auc": "ROC AUC"}


def backtest_pictures(tested: Backtest) -> list[Picture]:
    """Average precision beside its base rate, and ROC AUC, of each forecast with two folds or more."""
    judged = [(target, tested.of_target(target)) for target in tested.targets]
    return [_over_folds(target, rows, figure) for target, rows in judged if len(rows) > 1 for figure in NAMES]


def _over_folds(target: str, rows: tuple[BacktestRow, ...], figure: Shown) -> Picture:
    n, positive = sum(row.n for row in rows), sum(row.n_positive for row in rows)
    foot = f"{len(rows)} folds, {n:,} rows; base rate {percent(positive / n)}"
    values = [(float(at), getattr(row, figure)) for at, row in enumerate(rows)]
    known = [(at, value) for at, value in values if isfinite(value)]
    chance = [(float(at), row.base_rate if figure == "average_precision" else 0.5) for at, row in enumerate(rows)]
    top = 1.0 if figure == "roc_auc" else min(1.0, 1.2 * max(value for _, value in (*known, *chance)))
    plot = Plot(
        periods_axis([f"{row.cut:%Y-%m-%d}" for row in rows], "trained by"),
        percents(NAMES[figure], max(top, 0.01), 0.0),
        (("fill model", NAMES[figure]), ("fill usual", "chance")),
    )
    marks = [
        plot.line(chance, "line usual"),
        plot.line(known, "line model"),
        *(plot.dot(at, value, "fill model", f"{value:.3f} of {rows[int(at)].n:,} rows") for at, value in known),
    ]
    return Picture(
        f"backtest-{target}-{figure.replace('_', '-')}",
        f"{NAMES[figure]} of {target}, fold by fold",
        "Each dot: trained on what was known by a moment, judged on the rows from then on until the next. One model is "
        "judged once elsewhere on this page; here is how much luck there is in that.",
        foot,
        plot.draw(marks, foot, f"{NAMES[figure]} of {target} in each fold of the back-test, beside chance."),
        ("trained by", "judged until", NAMES[figure], "chance", "rows", "converted"),
        tuple(
            (
                f"{row.cut:%Y-%m-%d}",
                f"{row.until:%Y-%m-%d}",
                f"{value:.3f}" if isfinite(value) else "–",
                f"{by_chance:.3f}",
                f"{row.n:,}",
                f"{row.n_positive:,}",
            )
            for row, (_, value), (_, by_chance) in zip(rows, values, chance, strict=True)
        ),
    )
