"""How the forecasts grow better with the customers to learn from: shares of each set's own training rows.

The rows that are forecast stay the same. The shares are nested, drawn by customer, so that a larger one holds the
smaller. A curve that still falls at its end says that more customers would help; a flat one, that they would not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.quality import DATA_SETS, SEED, DataSet, embed_of
from features.event_log import Bools, Int64s
from features.rows import Embed
from training.evaluate import forecast_rows
from training.fit import fit_read, learn_reader
from training.metrics import judge_conversion

SHARES = (0.25, 0.5, 0.75, 1.0)

console = Console(width=None if sys.stdout.isatty() else 150)


def main() -> None:
    """Print one table: the first horizon's figures by share, the mean of the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds the five folders")
    parser.add_argument("--only", nargs="+", choices=DATA_SETS, default=DATA_SETS, help="some of them")
    parser.add_argument("--seeds", type=int, default=1, help="draw and fit so many times; behind ±: their deviation")
    given = parser.parse_args()
    table = Table(title="Learning from a share of the customers")
    for heading in ("data", "share", "rows", "converted", "ROC AUC", "average precision", "log loss"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in given.only:
        data = DataSet.read(given.data / name)
        embed = embed_of(data.log, "minilm")
        for share in track(SHARES, f"{name} …", console=console, transient=True):
            runs = [_curve_point(data, embed, share, SEED + seed) for seed in range(given.seeds)]
            table.add_row(name, f"{share:.0%}", *_told(np.array(runs)))
        table.add_section()
    console.print(table)


def _curve_point(data: DataSet, embed: Embed | None, share: float, seed: int) -> tuple[float, ...]:
    """Rows and conversions learnt from (a part's mean), ROC AUC, average precision and log loss of all forecast."""
    learnt, chances, converted, persons = [], [], [], []
    for train_rows, test_rows in data.parts():
        train, test = data.rows.take(train_rows), data.rows.take(test_rows)
        train = train.take(np.flatnonzero(_drawn(train.customer_id, share, seed)))
        reader = learn_reader(train, data.log, data.journey, embed is not None)
        shown, asked = (reader.read(data.log, rows.customer, rows.as_of_us, embed) for rows in (train, test))
        forecasts = forecast_rows(fit_read(train, reader, shown, seed), asked)
        known = np.flatnonzero(test.converted[:, 0] >= 0)
        assert forecasts.conversion is not None
        learnt.append((len(train), (train.converted[:, 0] == 1).sum()))
        chances.append(forecasts.conversion[known, 0])
        converted.append(test.converted[known, 0] == 1)
        persons += [test.customer_id[row] for row in known]
    verdict = judge_conversion(np.concatenate(converted), np.concatenate(chances), persons, SEED, 0)
    figures = (verdict.roc_auc.value, verdict.average_precision.value, verdict.log_loss.value)
    return (*np.mean(learnt, axis=0), *figures)


def _drawn(customer_ids: list[str], share: float, seed: int) -> Bools:
    """Rows of the first `share` of the customers, in an order that the seed alone decides."""
    customers = sorted(set(customer_ids))
    order: Int64s = np.random.default_rng(seed).permutation(len(customers))
    chosen = {customers[place] for place in order[: round(share * len(customers))]}
    return np.array([customer_id in chosen for customer_id in customer_ids], dtype=np.bool_)


def _told(runs: np.ndarray) -> Iterator[str]:
    """Each column's mean, and of the figures the deviation."""
    for place, (mean, deviation) in enumerate(zip(runs.mean(axis=0), runs.std(axis=0), strict=True)):
        spread = f" [dim]±{deviation:.4f}[/]" if len(runs) > 1 else ""
        yield f"{mean:,.0f}" if place < 2 else f"{mean:.4f}{spread}"


if __name__ == "__main__":
    main()
