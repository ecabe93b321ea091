"""How far the scores can be trusted: intervals, plausible stages, reliability codes, and those of whom little is known.

Rows, folds and settings are those of `benchmarks.quality`. "Little known" are customers with at most three touchpoints,
forecast with the market's features and without them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.ablation import PARTS, only
from benchmarks.quality import DATA_SETS, SEED, DataSet, embed_of
from features.event_log import Bools, Floats, Int64s
from features.rows import Embed
from models.journey_model import Forecast
from models.stage import COVERAGE
from training.fit import fit_read, learn_reader
from training.honesty import doubts, interval_bins, naive_sets, set_coverage

LITTLE = 3
WITHOUT_MARKET = only(tuple(part for part in PARTS if part != "market"))

console = Console(width=None if sys.stdout.isatty() else 150)


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of a set, their forecasts with the market and without, and how many touchpoints each had."""

    rows: Int64s
    forecast: Forecast
    without_market: Forecast
    touchpoints: Floats


def forecast_parts(data: DataSet, embed: Embed | None) -> Iterator[Part]:
    """Forecast each part by models fitted on the others."""
    for train_rows, test_rows in data.parts():
        train, test = data.rows.take(train_rows), data.rows.take(test_rows)
        reader = learn_reader(train, data.log, data.journey, embed is not None)
        learn = reader.read(data.log, train.customer, train.as_of_us, embed)
        asked = reader.read(data.log, test.customer, test.as_of_us, embed)
        forecast = fit_read(train, reader, learn, SEED).forecast(asked)
        blind = fit_read(train, reader, WITHOUT_MARKET(reader, learn), SEED)
        touchpoints = asked.conversion.features[:, reader.column_of["any touchpoint: times ever"]]
        yield Part(test_rows, forecast, blind.forecast(WITHOUT_MARKET(reader, asked)), touchpoints.astype(np.float64))


def main() -> None:
    """Print four tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds the five folders")
    parser.add_argument("--only", nargs="+", choices=DATA_SETS, default=DATA_SETS, help="some of them")
    arguments = parser.parse_args()
    tables = (
        _table("Rates within their intervals, bins of equal count", "data", "bins", "that agree", "mean width"),
        _table(f"Plausible stages, {COVERAGE:.0%} wanted", "data", "stage", "rows", "covered", "size", "naive", "size"),
        _table("Doubt", "data", "reliability", "rows", "base rate", "log loss", "of the rate", "skill"),
        _table(
            f"At most {LITTLE} touchpoints", "data", "rows", "base rate", "log loss", "without market", "of the rate"
        ),
    )
    for name in arguments.only:
        console.print(f"{name} …")
        data = DataSet.read(arguments.data / name)
        parts = list(forecast_parts(data, embed_of(data.log, "minilm")))
        rows = np.concatenate([part.rows for part in parts])
        for table, found in zip(tables, _found(data, parts, rows), strict=True):
            for cells in found:
                table.add_row(name, *cells)
            table.add_section()
    for table in tables:
        console.print(table)


def _found(data: DataSet, parts: list[Part], rows: Int64s) -> Iterator[Iterator[list[str]]]:
    converted = data.rows.converted[rows, -1]
    known = converted >= 0
    yes = converted[known] == 1
    if parts[0].forecast.conversion is not None:
        forecast, low, high, blind = (
            np.concatenate(of_parts)[known, -1]
            for of_parts in zip(
                *((p.forecast.conversion, p.forecast.low, p.forecast.high, p.without_market.conversion) for p in parts),
                strict=True,
            )
        )
        codes = np.array([str(code) for part in parts for code in part.forecast.reliability])[known]
        little = np.concatenate([part.touchpoints for part in parts])[known] <= LITTLE
        yield _interval_cells(low, high, forecast, yes)
        yield _stage_cells(data, parts, rows)
        yield _doubt_cells(codes.tolist(), forecast, yes)
        yield _little_cells(little, forecast, blind, yes)


def _interval_cells(low: Floats, high: Floats, forecast: Floats, converted: Bools) -> Iterator[list[str]]:
    bins = interval_bins(low, high, forecast, converted)
    yield [f"{len(bins)}", f"{np.mean([of.holds for of in bins]):.0%}", f"{(high - low).mean():.3f}"]


def _stage_cells(data: DataSet, parts: list[Part], rows: Int64s) -> Iterator[list[str]]:
    if any(part.forecast.stage is None for part in parts):
        return
    stage = data.rows.stage[rows].astype(np.int64)
    plausible = np.concatenate([part.forecast.plausible for part in parts])
    naive = naive_sets(np.concatenate([part.forecast.stage for part in parts]), COVERAGE)
    for name, chosen in [("all", stage >= 0), *((name, stage == k) for k, name in enumerate(data.journey.stages))]:
        if chosen.any():
            ours, theirs = (set_coverage(sets[chosen], stage[chosen]) for sets in (plausible, naive))
            sizes = [f"{share:.3f}" for of in (ours, theirs) for share in (of.covered, of.mean_size)]
            yield [name, f"{ours.n:,}", *sizes]


def _doubt_cells(codes: list[str], forecast: Floats, converted: Bools) -> Iterator[list[str]]:
    for code, of in doubts(codes, forecast, converted).items():
        figures = (of.base_rate, of.log_loss, of.log_loss_of_rate)
        yield [code, f"{of.n:,}", *(f"{figure:.3f}" for figure in figures), f"{of.skill:+.1%}"]


def _little_cells(little: Bools, forecast: Floats, blind: Floats, converted: Bools) -> Iterator[list[str]]:
    if little.any():
        codes = ["little"] * int(little.sum())
        ours, theirs = (doubts(codes, of[little], converted[little])["all"] for of in (forecast, blind))
        figures = (ours.base_rate, ours.log_loss, theirs.log_loss, ours.log_loss_of_rate)
        yield [f"{ours.n:,}", *(f"{figure:.3f}" for figure in figures)]


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


if __name__ == "__main__":
    main()
