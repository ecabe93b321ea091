"""How far the forecasts fall when the data go wrong: noisy labels, a lost channel, a renamed action, half the history.

One part of each set is held out: its test rows, or its last fold. The model is fitted on the others as they are (and
once more on labels of which a tenth is wrong); what goes wrong afterwards goes wrong in the touchpoints it is asked
about. The last rows say what a base rate that has halved costs, and what telling the new rate brings back.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.quality import DATA_SETS, SEED, DataSet, embed_of
from features.event_log import EventLog, Int64s
from features.rows import Embed
from features.touchpoints import read_touchpoints
from models.base_rates import shift_to
from models.calibration import sigmoid
from models.journey_model import Forecast, JourneyModel
from models.reliability import Reliability
from training.fit import fit
from training.labels import LabelledRows
from training.metrics import judge_conversion, judge_stage

NOISE = 0.1

console = Console(width=None if sys.stdout.isatty() else 150)


def worsened(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """The touchpoints as they are, then with each fault, by what the fault is called."""
    channel, action = (_commonest(frame, column) for column in ("channel", "action"))
    yield "as they are", frame
    if frame["channel"].n_unique() > 1:
        yield f"lost: channel {channel}", frame.filter(pl.col("channel") != channel)
    renamed = pl.when(pl.col("action") == action).then(pl.lit("renamed")).otherwise(pl.col("action"))
    yield f"renamed: action {action}", frame.with_columns(action=renamed)
    place = pl.col("occurred_at").rank("ordinal").over("customer_id")
    yield "half the history", frame.filter(2 * place > pl.len().over("customer_id"))


def _commonest(frame: pl.DataFrame, column: str) -> str:
    counts = frame[column].value_counts(sort=True)
    return str(counts[column][0])


def with_noise(rows: LabelledRows, seed: int) -> LabelledRows:
    """The rows with a tenth of the known labels replaced: conversions turned round, stages by another of those seen."""
    random = np.random.default_rng(seed)
    turned = (random.random(len(rows)) < NOISE)[:, None] & (rows.converted >= 0)
    other = random.permutation(rows.stage)
    wrong = (random.random(len(rows)) < NOISE) & (rows.stage >= 0) & (other >= 0)
    return replace(
        rows,
        converted=np.where(turned, 1 - rows.converted, rows.converted).astype(np.int8),
        stage=np.where(wrong, other, rows.stage).astype(np.int8),
    )


def half_as_many(rows: LabelledRows, seed: int) -> Int64s:
    """Rows of which half of those that convert, by the last horizon, are left out."""
    random = np.random.default_rng(seed)
    return np.flatnonzero((rows.converted[:, -1] != 1) | (random.random(len(rows)) < 0.5))


def corrected(forecast: Forecast, rows: LabelledRows) -> Forecast:
    """The forecast of the last horizon moved to the rows' own rate, as told for `journeycast market --base-rate`."""
    assert forecast.conversion is not None
    known = rows.converted[:, -1] >= 0
    log_odds = np.log(forecast.conversion[:, -1:] / (1 - forecast.conversion[:, -1:]))
    shift = shift_to(float((rows.converted[known, -1] == 1).mean()), log_odds[known], [])
    return replace(forecast, conversion=sigmoid(log_odds + shift))


def part_of(forecast: Forecast, chosen: Int64s) -> Forecast:
    """The forecasts of some rows."""
    arrays = {name: value if value is None else value[chosen] for name, value in vars(forecast).items()
              if name != "reliability"}  # fmt: skip
    return Forecast(**arrays, reliability=[forecast.reliability[row] for row in chosen])


def cells(forecast: Forecast, rows: LabelledRows) -> list[str]:
    """Rows, base rate, ROC AUC, log loss and ECE of the last horizon, macro-F1 of the stage, share that is not `ok`."""
    doubted = np.mean([code is not Reliability.OK for code in forecast.reliability])
    return [*_conversion_cells(forecast, rows), _stage_cell(forecast, rows), f"{doubted:.0%}"]


def _conversion_cells(forecast: Forecast, rows: LabelledRows) -> list[str]:
    known = np.flatnonzero(rows.converted[:, -1] >= 0) if rows.horizons_days else np.zeros(0, dtype=np.int64)
    if forecast.conversion is None or not len(known):
        return [""] * 5
    converted, person = rows.converted[known, -1] == 1, [rows.customer_id[row] for row in known]
    verdict = judge_conversion(converted, forecast.conversion[known, -1], person, SEED, 0)
    figures = (verdict.base_rate, verdict.roc_auc.value, verdict.log_loss.value, verdict.ece.value)
    return [f"{len(known):,}", *(f"{figure:.3f}" for figure in figures)]


def _stage_cell(forecast: Forecast, rows: LabelledRows) -> str:
    known = np.flatnonzero(rows.stage >= 0)
    if forecast.stage is None or forecast.decided is None or not len(known):
        return ""
    stage, person = rows.stage[known].astype(np.int64), [rows.customer_id[row] for row in known]
    return f"{judge_stage(stage, forecast.stage[known], person, SEED, forecast.decided[known], 0).macro_f1.value:.3f}"


def forecast_of(model: JourneyModel, log: EventLog, rows: LabelledRows, embed: Embed | None) -> Forecast:
    """Forecast labelled rows from another log than that of their labels."""
    return model.forecast(model.reader.read(log, log.customer_rows(rows.customer_id), rows.as_of_us, embed))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds the five folders")
    parser.add_argument("--only", nargs="+", choices=DATA_SETS, default=DATA_SETS, help="some of them")
    arguments = parser.parse_args()
    table = Table(title="What becomes of the forecasts when the data go wrong")
    for heading in ("data", "what is wrong", "rows", "base rate", "ROC AUC", "log loss", "ECE", "stage F1", "doubted"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in arguments.only:
        console.print(f"{name} …")
        data = DataSet.read(arguments.data / name)
        frame = read_touchpoints(arguments.data / name / "touchpoints.parquet").frame
        embed = embed_of(data.log, "minilm")
        *_, (train_rows, test_rows) = data.parts()
        learn, asked = data.rows.take(train_rows), data.rows.take(test_rows)
        model = fit(learn, data.log, data.journey, embed, SEED)
        for fault, worse in worsened(frame):
            found = forecast_of(model, EventLog.from_frame(worse), asked, embed)
            table.add_row(name, fault, *cells(found, asked))
        noisy = fit(with_noise(learn, SEED), data.log, data.journey, embed, SEED)
        table.add_row(name, "a tenth of the labels", *cells(forecast_of(noisy, data.log, asked, embed), asked))
        fewer = half_as_many(asked, SEED)
        found, left = part_of(forecast_of(model, data.log, asked, embed), fewer), asked.take(fewer)
        table.add_row(name, "half as many convert", *cells(found, left))
        table.add_row(name, "… and the rate is told", *cells(corrected(found, left), left))
        table.add_section()
    console.print(table)


if __name__ == "__main__":
    main()
