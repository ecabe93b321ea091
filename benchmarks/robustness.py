"""How far the forecasts fall when the data go wrong: noisy labels, a lost channel, a renamed action, half the history.

One part of each set is held out: its test rows, or its last fold. The model is fitted on the others as they are (and
once more on labels of which a tenth is wrong); what goes wrong afterwards goes wrong in the touchpoints it is asked
about. The last rows say what a base rate that has halved costs, and what telling the new rate brings back.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
from rich.console import Console

from benchmarks.quality import SEED
from features.event_log import Bools, EventLog
from features.rows import Embed
from models.journey_model import Forecast, JourneyModel
from models.reliability import Reliability
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


def _forecast(model: JourneyModel, log: EventLog, rows: LabelledRows, embed: Embed | None) -> Forecast:
    customer = log.customer_rows(rows.customer_id)
    return model.forecast(model.reader.read(log, customer, rows.as_of_us, embed))


def _figures(forecast: Forecast, rows: LabelledRows, chosen: Bools) -> list[str]:
    """ROC AUC, log loss and ECE of the last horizon, macro-F1 of the stage, and the share that is not `ok`."""
    cells = ["", "", ""]
    known = chosen & (rows.converted[:, -1] >= 0)
    if forecast.conversion is not None:
        person = [rows.customer_id[row] for row in np.flatnonzero(known)]
        verdict = judge_conversion(rows.converted[known, -1] == 1, forecast.conversion[known, -1], person, SEED, 0)
        cells = [f"{figure.value:.3f}" for figure in (verdict.roc_auc, verdict.log_loss, verdict.ece)]
    staged = chosen & (rows.stage >= 0)
    f1 = ""
    if forecast.stage is not None and forecast.decided is not None and staged.any():
        person = [rows.customer_id[row] for row in np.flatnonzero(staged)]
        named = forecast.decided[staged]
        f1 = f"{judge_stage(rows.stage[staged].astype(np.int64), forecast.stage[staged], person, SEED, named, 0).macro_f1.value:.3f}"
    doubted = np.mean([code is not Reliability.OK for code in forecast.reliability])
    return [f"{int(known.sum()):,}", *cells, f1, f"{doubted:.0%}"]
