"""What each part earns: forecasts without one part of the features, by trees alone, by linear models alone, and by all.

Rows, folds and settings are those of `benchmarks.quality`; what is left out is unknown in training and forecast alike.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.quality import DATA_SETS, SEED, DataSet, Seen, embed_of, pooled_forecasts
from features.catalog import touchpoint_features
from features.event_log import Bools, Floats
from features.market_features import MARKET_FEATURES
from features.rows import FeatureRows
from models.journey_model import Asked, Reader
from training import fit_conversion, fit_stage
from training.evaluate import MODEL, Judgement, judge

PARTS = ("touchpoints", "text", "market")
ABLATIONS = {
    "everything": (PARTS, "both"),
    "without text": (("touchpoints", "market"), "both"),
    "without touchpoints": (("text", "market"), "both"),
    "without market": (("touchpoints", "text"), "both"),
    "trees only": (PARTS, "trees"),
    "linear only": (PARTS, "linear"),
}

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


@contextmanager
def learning(models: str) -> Iterator[None]:
    """Training as it is ("both"), without the rank lines ("trees"), or with trees that never grow ("linear")."""
    with ExitStack() as stack:
        for module, line in ((fit_conversion, "learn_logistic_rank_line"), (fit_stage, "learn_rank_line")):
            if models == "trees":
                stack.enter_context(patch.object(module, line, lambda *_: None))
            if models == "linear":
                stack.enter_context(patch.object(module, "out_of_fold", _ungrown))
        yield


def _ungrown(_features: Any, _target: Any, start: Floats, *others: Any) -> Floats:
    """What trees that add nothing say out of fold: the blend then gives them no weight."""
    rounds = others[3]
    return np.repeat(start[None], len(rounds), axis=0)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds the five folders")
    parser.add_argument("--only", nargs="+", choices=DATA_SETS, default=DATA_SETS, help="some of them")
    arguments = parser.parse_args()
    table = Table(title="Forecast from parts")
    for heading in ("data", "", "ROC AUC", "average precision", "log loss", "stage macro-F1", "stage log loss"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in arguments.only:
        console.print(f"{name} …")
        data = DataSet.read(arguments.data / name)
        embed = embed_of(data.log, "minilm")
        for label, (parts, models) in ABLATIONS.items():
            if label == "without text" and embed is None:
                continue
            with learning(models):
                rows, forecasts = pooled_forecasts(data, embed, only(parts))
            judgement = judge(forecasts, data.rows.take(rows), data.rows.horizons_days, data.journey, SEED)
            table.add_row(name, label, *_cells(judgement))
        table.add_section()
    console.print(table)


def _cells(judgement: Judgement) -> Iterator[str]:
    conversion = next(iter(judgement.conversion.values()))[MODEL]
    figures = [conversion.roc_auc, conversion.average_precision, conversion.log_loss]
    stage = judgement.stage.get(MODEL)
    figures += [] if stage is None else [stage.macro_f1, stage.log_loss]
    yield from (f"{figure.value:.4f}" for figure in figures)


if __name__ == "__main__":
    main()
