"""What each part of the features earns: forecasts from touchpoints, text or market alone, from two, and from all.

Rows, folds and settings are those of `benchmarks.quality`; what is left out is unknown in training and forecast alike.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.quality import DATA_SETS, SEED, DataSet, Seen, embed_of, pooled_forecasts
from features.catalog import touchpoint_features
from features.event_log import Bools
from features.market_features import MARKET_FEATURES
from features.rows import FeatureRows
from models.journey_model import Asked, Reader
from training.evaluate import MODEL, judge

PARTS = ("touchpoints", "text", "market")

console = Console(width=None if sys.stdout.isatty() else 150)  # in a file, no figure is cut


def only(parts: tuple[str, ...]) -> Seen:
    """Rows in which nothing is known but these parts."""

    def seen(reader: Reader, asked: Asked) -> Asked:
        touchpoints, market = len(touchpoint_features(reader.vocabulary)), len(MARKET_FEATURES)
        text = len(reader.catalog) - touchpoints - market
        left_out = ~np.isin(np.repeat(PARTS, [touchpoints, text, market]), parts)
        return Asked(_without(asked.conversion, left_out, parts), _without(asked.stage, left_out, parts))

    return seen


def _without(rows: FeatureRows, left_out: Bools, parts: tuple[str, ...]) -> FeatureRows:
    read = rows if "text" in parts else replace(rows, pools=None, phrases=None)
    return replace(read, features=np.where(left_out, np.float32(np.nan), rows.features))


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds the five folders")
    parser.add_argument("--only", nargs="+", choices=DATA_SETS, default=DATA_SETS, help="some of them")
    arguments = parser.parse_args()
    table = Table(title="Forecast from parts of the features")
    for heading in ("data", "from", "ROC AUC", "average precision", "log loss", "stage macro-F1"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in arguments.only:
        console.print(f"{name} …")
        data = DataSet.read(arguments.data / name)
        embed = embed_of(data.log, "minilm")
        for parts in (*((part,) for part in PARTS if part != "text" or embed), ("touchpoints", "text"), PARTS):
            rows, forecasts = pooled_forecasts(data, embed, only(parts))
            judgement = judge(forecasts, data.rows.take(rows), data.rows.horizons_days, data.journey, SEED)
            for verdicts in judgement.conversion.values():
                verdict = verdicts[MODEL]
                figures = (verdict.roc_auc, verdict.average_precision, verdict.log_loss)
                stage = f"{judgement.stage[MODEL].macro_f1.value:.3f}" if judgement.stage else ""
                table.add_row(name, " + ".join(parts), *(f"{figure.value:.3f}" for figure in figures), stage)
        table.add_section()
    console.print(table)


if __name__ == "__main__":
    main()
