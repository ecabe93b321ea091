"""Forecasts of the five real data sets on their own splits, beside prevalence and recency, in one table.

Person-wise folds are predicted one by one and pooled; where the labels say train and test, one model is fitted. One
configuration serves all sets. Each distinct message is embedded once on a machine: the vectors stay in the cache.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from features.aggregate import Float32s
from features.embedder import Embedder
from features.event_log import EventLog, Int64s
from features.journey import Journey, conversion_column, load_journey
from features.labels_file import Labels, read_labels
from features.rows import Embed
from features.touchpoints import read_touchpoints
from models.journey_model import Asked, Reader
from training.embedder_export import exported_embedder
from training.evaluate import MODEL, PREVALENCE, RECENCY, Forecasts, forecast_rows, gains_over_recency, judge
from training.fit import fit_read, learn_reader
from training.labels import LabelledRows, rows_by_labels
from training.metrics import ConversionVerdict, Estimate
from training.verdict_table import verdict_table

DATA_SETS = ("bank_loans", "grocery_coupons", "donations", "pizza_requests", "lean_community")
EXAMPLES = Path(__file__).parents[1] / "examples"
SEED = 0

Seen = Callable[[Reader, Asked], Asked]

console = Console(width=None if sys.stdout.isatty() else 150)  # in a file, no figure is cut


@dataclass(frozen=True, eq=False)
class DataSet:
    """A real data set in the contract's shape: its journey, log, labelled rows and the split of each row."""

    journey: Journey
    log: EventLog
    rows: LabelledRows
    split: list[str]

    @classmethod
    def read(cls, folder: Path) -> DataSet:
        """Read `touchpoints.parquet` and `labels.parquet` of a folder, with the journey in examples/."""
        journey = load_journey(EXAMPLES / f"{folder.name}.toml")
        log = EventLog.from_frame(read_touchpoints(folder / "touchpoints.parquet").frame)
        labels = read_labels(folder / "labels.parquet")
        if not isinstance(labels, Labels):
            raise TypeError(f"{folder}: labels with customer_id and as_of expected")
        split = labels.frame.unique(["customer_id", "as_of"], keep="first", maintain_order=True)["split"].to_list()
        return cls(journey, log, rows_by_labels(journey, log, labels.frame), split)

    def parts(self) -> Iterator[tuple[Int64s, Int64s]]:
        """Rows to fit and to forecast: train and test, or each fold against the others."""
        split = np.array(self.split)
        for name in ["test"] if "test" in self.split else sorted(set(self.split)):
            yield np.flatnonzero(split != name), np.flatnonzero(split == name)


def pooled_forecasts(
    data: DataSet, embed: Embed | None, seen: Seen = lambda _, asked: asked
) -> tuple[Int64s, Forecasts]:
    """Forecast each part by a model fitted on the others: the rows forecast, and what was said of them.

    `seen` says what of the rows that a reader has read is shown to the model.
    """
    asked_rows, forecasts = [], []
    for train_rows, test_rows in data.parts():
        train, test = data.rows.take(train_rows), data.rows.take(test_rows)
        reader = learn_reader(train, data.log, data.journey, embed is not None)
        shown = seen(reader, reader.read(data.log, train.customer, train.as_of_us, embed))
        model = fit_read(train, reader, shown, SEED)
        asked = seen(reader, reader.read(data.log, test.customer, test.as_of_us, embed))
        forecasts.append(forecast_rows(model, asked))
        asked_rows.append(test_rows)
    return np.concatenate(asked_rows), Forecasts(
        stage=_pool([of_part.stage for of_part in forecasts]),
        conversion=_pool([of_part.conversion for of_part in forecasts]),
        days_since_own_last=np.concatenate([of_part.days_since_own_last for of_part in forecasts]),
        decided=_pool([of_part.decided for of_part in forecasts]),
    )


def _pool(parts: list[Any]) -> Any:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def main() -> None:
    """Print the table of all five sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds the five folders")
    parser.add_argument("--only", nargs="+", choices=DATA_SETS, default=DATA_SETS, help="some of them")
    parser.add_argument(
        "--embedder", default="minilm", help="as in journeycast train: minilm, static, a folder or none"
    )
    arguments = parser.parse_args()
    summary = Table(title="Conversion: this program beside recency and prevalence (95 % intervals by person)")
    for heading in ("data", "n", "base rate", "by", "ROC AUC", "average precision", "log loss", "Brier", "ECE"):
        summary.add_column(heading, justify="right")
    gain = Table(title="What this program gains over recency, both measured in each resample of the persons")
    for heading in ("data", "ROC AUC", "average precision", "log loss"):
        gain.add_column(heading, justify="right")
    for name in arguments.only:
        started = time.perf_counter()
        data = DataSet.read(arguments.data / name)
        rows, forecasts = pooled_forecasts(data, embed_of(data.log, arguments.embedder))
        judgement = judge(forecasts, data.rows.take(rows), data.rows.horizons_days, data.journey, SEED)
        for target, verdicts in judgement.conversion.items():
            for contender in (MODEL, RECENCY, PREVALENCE):
                summary.add_row(f"{name} {target}", *_cells(contender, verdicts[contender]))
        for h, horizon in enumerate(data.rows.horizons_days):
            differences = gains_over_recency(forecasts, data.rows.take(rows), h, SEED)
            gain.add_row(f"{name} {conversion_column(horizon)}", *map(_signed, differences))
        summary.add_section()
        console.print(verdict_table(judgement), f"{name}: {time.perf_counter() - started:.0f} s\n")
    console.print(summary)
    console.print(gain)


def _cells(contender: str, verdict: ConversionVerdict) -> Iterator[str]:
    yield from (f"{verdict.n:,}", f"{verdict.base_rate:.3f}", contender)
    for figure in (verdict.roc_auc, verdict.average_precision, verdict.log_loss, verdict.brier, verdict.ece):
        yield _interval(figure)


def _interval(figure: Estimate) -> str:
    return f"{figure.value:.3f} [dim]{figure.low:.3f}–{figure.high:.3f}[/]"


def _signed(figure: Estimate) -> str:
    return f"{figure.value:+.3f} [dim]{figure.low:+.3f} to {figure.high:+.3f}[/]"


def embed_of(log: EventLog, source: str) -> Embed | None:
    if source == "none" or not log.texts:
        return None
    embedder = Embedder.with_cache(exported_embedder(source), threads=2)

    def embed(texts: Sequence[str]) -> Float32s:
        with Progress(console=console, transient=True) as bars:
            task = bars.add_task("Embedding messages")
            return embedder.embed(texts, lambda done, total: bars.update(task, completed=done, total=total))

    return embed


if __name__ == "__main__":
    main()
