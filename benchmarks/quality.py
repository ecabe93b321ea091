"""Forecasts of the five real data sets on their own splits, beside recency, prevalence and the peers, in one run.

Person-wise folds are predicted one by one and pooled; where the labels say train and test, one model is fitted. One
configuration serves all sets. Each distinct message is embedded once on a machine: the vectors stay in the cache.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.quality_peers import PEERS, Figures
from features.aggregate import Float32s
from features.embedder import Embedder
from features.event_log import EventLog, Int64s
from features.journey import Journey, conversion_column, load_journey
from features.labels_file import Labels, read_labels
from features.rows import Embed
from features.touchpoints import read_touchpoints
from models.journey_model import Asked, Reader
from training.embedder_export import exported_embedder
from training.evaluate import MODEL, Forecasts, Judgement, forecast_rows, gains_over_recency, judge
from training.fit import fit_read, learn_reader
from training.labels import LabelledRows, rows_by_labels
from training.metrics import Estimate, judge_conversion
from training.verdict_table import verdict_table

DATA_SETS = ("bank_loans", "grocery_coupons", "donations", "pizza_requests", "lean_community")
EXAMPLES = Path(__file__).parents[1] / "examples"
SEED = 0
DRAWS = 100

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
    rows, (forecasts,) = seeded_forecasts(data, embed, (SEED,), seen)
    return rows, forecasts


def seeded_forecasts(
    data: DataSet, embed: Embed | None, seeds: Sequence[int], seen: Seen = lambda _, asked: asked
) -> tuple[Int64s, list[Forecasts]]:
    """`pooled_forecasts` of one model a seed; the parts are the same for all."""
    asked_rows: list[Int64s] = []
    of_parts: list[list[Forecasts]] = []
    for train_rows, test_rows in data.parts():
        train, test = data.rows.take(train_rows), data.rows.take(test_rows)
        reader = learn_reader(train, data.log, data.journey, embed is not None)
        shown = seen(reader, reader.read(data.log, train.customer, train.as_of_us, embed))
        asked = seen(reader, reader.read(data.log, test.customer, test.as_of_us, embed))
        of_parts.append([forecast_rows(fit_read(train, reader, shown, seed), asked) for seed in seeds])
        asked_rows.append(test_rows)
    return np.concatenate(asked_rows), [_together(of_seed) for of_seed in zip(*of_parts, strict=True)]


def _together(parts: Sequence[Forecasts]) -> Forecasts:
    return Forecasts(
        stage=_pool([of_part.stage for of_part in parts]),
        conversion=_pool([of_part.conversion for of_part in parts]),
        days_since_own_last=np.concatenate([of_part.days_since_own_last for of_part in parts]),
        decided=_pool([of_part.decided for of_part in parts]),
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
    parser.add_argument("--seeds", type=int, default=1, help="fit so many times and give the mean")
    arguments = parser.parse_args()
    seeds = range(SEED, SEED + arguments.seeds)
    summary = Table(title=f"Mean of {len(seeds)} seeds, one configuration; behind ±: the deviation between the seeds")
    for heading in ("data", "by", *(field.name.replace("_", " ") for field in fields(Figures)), "ECE by chance"):
        summary.add_column(heading, justify="right", no_wrap=heading in ("data", "by"))
    gain = Table(
        title=f"What this program gains over recency, seed {SEED}, both measured in each resample of the persons"
    )
    for heading in ("data", "ROC AUC", "average precision", "log loss"):
        gain.add_column(heading, justify="right")
    for name in arguments.only:
        started = time.perf_counter()
        data = DataSet.read(arguments.data / name)
        rows, forecasts = seeded_forecasts(data, embed_of(data.log, arguments.embedder), seeds)
        asked = data.rows.take(rows)
        judgements = [judge(of_seed, asked, asked.horizons_days, data.journey, SEED) for of_seed in forecasts]
        summary.add_row(
            name, MODEL, *_measured([_figures(judgement) for judgement in judgements]), _by_chance(asked, forecasts[0])
        )
        for peer, figures in PEERS[name].items():
            summary.add_row("", peer, *(("" if value is None else f"{value:.3f}") for value in astuple(figures)))
        summary.add_section()
        for h, horizon in enumerate(asked.horizons_days):
            differences = gains_over_recency(forecasts[0], asked, h, SEED)
            gain.add_row(f"{name} {conversion_column(horizon)}", *map(_signed, differences))
        console.print(verdict_table(judgements[0]), f"{name}: {time.perf_counter() - started:.0f} s\n")
    console.print(summary)
    console.print(gain)


def _figures(judgement: Judgement) -> Figures:
    """What this program reached, for the first horizon."""
    conversion = next(iter(judgement.conversion.values()))[MODEL]
    of_conversion = (conversion.roc_auc, conversion.average_precision, conversion.log_loss, conversion.ece)
    stage = judgement.stage.get(MODEL)
    of_stage = () if stage is None else (stage.macro_f1, stage.log_loss)
    return Figures(*(figure.value for figure in (*of_conversion, *of_stage)))


def _measured(figures: list[Figures]) -> Iterator[str]:
    for of_seeds in zip(*map(astuple, figures), strict=True):
        known = [value for value in of_seeds if value is not None]
        yield f"{np.mean(known):.4f} [dim]±{np.std(known):.4f}[/]" if known else ""


def _by_chance(rows: LabelledRows, forecasts: Forecasts) -> str:
    """The ECE that the same probabilities would have if they were true, on average."""
    known = rows.converted[:, 0] >= 0
    chances = forecasts.conversion[known, 0] if forecasts.conversion is not None else np.zeros(0)
    random, nobody = np.random.default_rng(SEED), [""] * len(chances)
    draws = [judge_conversion(random.random(len(chances)) < chances, chances, nobody, SEED, 0) for _ in range(DRAWS)]
    return f"{np.mean([drawn.ece.value for drawn in draws]):.4f}"


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
