"""A back-test as a table for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from training.backtest import FIGURES, Backtest


def backtest_table(backtest: Backtest) -> Table:
    """One line for each forecast and fold, then how far the figures spread over time."""
    table = Table(title="How good the forecasts would have been over time")
    for heading in ("forecast", "from", "learnt from", "rows", "base rate", "ROC AUC", "average precision", "log loss"):
        table.add_column(heading, justify="left" if heading in ("forecast", "from") else "right")
    for target in backtest.targets:
        for row in backtest.of_target(target):
            figures = (_figure(getattr(row, figure)) for figure in FIGURES)
            counts = (f"{row.training_rows:,}", f"{row.n:,}", f"{row.base_rate:.3f}")
            table.add_row(target, f"{row.cut:%Y-%m-%d}", *counts, *figures)
        table.add_row(target, "lowest to highest", "", "", "", *_spreads(backtest, target), style="bold")
        table.add_section()
    left_out = [f"left out from {cut:%Y-%m-%d}: {why}" for cut, why in backtest.left_out.items()]
    table.caption = Text("\n".join(left_out)) if left_out else None
    return table


def _spreads(backtest: Backtest, target: str) -> Iterator[str]:
    for figure in FIGURES:
        spread = backtest.spread(target, figure)
        yield f"{_figure(spread.lowest)}–{_figure(spread.highest)}" if spread.folds else "–"


def _figure(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"
