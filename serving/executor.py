"""What each of Spark's tasks does with its batches of rows. Spark itself does not occur here: only Arrow batches."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import polars as pl
import pyarrow as pa

from features.checked_table import CheckedTable, Row, check_files, check_rows
from features.embedder import Embedder, normalise_text
from features.errors import BadEnvironment, Fault
from features.event_log import EventLog
from features.raw_table import BROKEN_ROWS, RawTable
from features.snapshots_file import SnapshotRow
from features.stage_history_file import StageHistoryRow, as_touchpoints
from features.touchpoints import REQUIRED, TOUCHPOINT_TYPES, TouchpointRow, drop_duplicates
from features.vector_cache import text_hash
from models.bundle import load_bundle
from serving.batch import score_log, texts_to_embed
from serving.feature_rows import SCORERS, Seen
from serving.mixed_rows import Kind, counted, fault_row, from_batch, mixed_rows, to_batches
from serving.score_file import as_text, with_times_as_text
from serving.score_frame import UTC_US
from serving.scorer import Scorer
from serving.shipment import check_code

MOST_ROWS, MOST_BYTES = 100_000, 64 * 10**6  # worked on at once, but for a customer who alone has more

Batches = Iterator[pa.RecordBatch]
Names = Mapping[str, tuple[int, str]]
"""For a file's path, its place among all files, and the name by which it is shown."""


class Contract(NamedTuple):
    """A kind of table that is read: what a row must keep, and what becomes of the rows that do."""

    schema: type[Row]
    required: Sequence[str]
    rows: Callable[[pl.DataFrame], pl.DataFrame]


def _touchpoints(frame: pl.DataFrame) -> pl.DataFrame:
    return mixed_rows(frame.with_columns(pl.col("actor").fill_null("customer")), Kind.TOUCHPOINT)


CONTRACTS = {
    "touchpoints": Contract(TouchpointRow, REQUIRED, _touchpoints),
    "stage history": Contract(
        StageHistoryRow,
        ["customer_id", "stage", "since"],
        lambda frame: mixed_rows(as_touchpoints(frame), Kind.TOUCHPOINT),
    ),
    "snapshots": Contract(SnapshotRow, ["customer_id", "as_of"], lambda frame: mixed_rows(frame, Kind.ASKED)),
}


@dataclass(frozen=True)
class Asked:
    """How the customers of a list are to be scored: everybody at `as_of_us`, or the pairs among the rows."""

    as_of_us: int | None
    reasons: bool
    ending: str


@dataclass(frozen=True)
class Shipped:
    """Where in an executor's folder things are that came with the job, what they must be, and what is to be answered:
    scores, or the features that are `seen_by` a model."""

    code_sha256: str
    bundle: str
    version: str
    has_market: bool
    seen_by: Seen | None = None
    vectors: str | None = None


# Reading


def check_files_of(batches: Batches, contract: str, names: Names) -> Batches:
    """Check whole files with the reader of lists on one machine: batches of `file_path` (plain) and `content`.

    `content` is null for a file that is to be opened at its path.
    """
    for batch in batches:
        for file in from_batch(batch).iter_rows(named=True):
            place, shown = names[plain_path(file["file_path"])]
            with _at_hand(file["file_path"], file["content"]) as path:
                try:
                    yield from _checked_files(path, place, CONTRACTS[contract])
                except Fault as fault:
                    lines = [line.replace(str(path), shown) for line in fault.faults]
                    yield from to_batches(fault_row(type(fault)(fault.code, lines)))


def check_batches_of(batches: Batches, contract: str, names: Names) -> Batches:
    """Check rows that Spark has read: the contract's columns, `file_path` (as Spark encodes it) and `row` (1-based)."""
    for batch in batches:
        for part in from_batch(batch).partition_by("file_path", maintain_order=True):
            place, shown = names[plain_path(unquote(part["file_path"][0]))]
            raw = RawTable(part.drop("file_path"), pl.DataFrame(schema=BROKEN_ROWS), ())
            try:
                table = check_rows(Path(shown), raw, CONTRACTS[contract].schema)
            except Fault as fault:
                yield from to_batches(fault_row(fault))
            else:
                yield from _told(table, place, raw.frame["row"], CONTRACTS[contract])


def plain_path(address: str) -> str:
    """One spelling of a file's address; Spark writes file:/a, file:///a or /a."""
    return re.sub("^file:/+", "/", address)


def _checked_files(path: Path, place: int, contract: Contract) -> Batches:
    before, ignored = 0, dict[str, None]()
    for table in check_files([path], contract.schema, contract.required):
        yield from _told(table, place, pl.int_range(before + 1, before + table.rows_read + 1, eager=True), contract)
        before += table.rows_read
        ignored |= dict.fromkeys(table.ignored_columns)
    yield from to_batches(mixed_rows(pl.DataFrame({"codes": list(ignored)}, {"codes": pl.String}), Kind.IGNORED))


def _told(table: CheckedTable, place: int, rows: pl.Series, contract: Contract) -> Batches:
    sound, of_file = contract.rows(table.frame), pl.lit(place, pl.Int32).alias("file")
    if contract.schema is SnapshotRow:
        # Which rows are sound matters only where all are: one that is not ends it all.
        sound = sound.with_columns(of_file, row=rows[: sound.height])
    rejects = mixed_rows(table.rejects.with_columns(of_file), Kind.REJECT)
    yield from to_batches(pl.concat([sound, rejects, counted(Kind.READ, table.rows_read, place)]))


@contextmanager
def _at_hand(path: str, content: bytes | None) -> Iterator[Path]:
    if content is None:
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"file{Path(path).suffix}"
        copy.write_bytes(content)
        yield copy


# Whole customers


def whole_customers(batches: Batches) -> Iterator[pl.DataFrame]:
    """Rows sorted by customer_id, some at a time, but all of one customer's together; those of nobody come apart.

    What is held does not grow with the partition, only with the largest customer.
    """
    waiting: list[pl.DataFrame] = []
    rows = size = 0
    for batch in batches:
        frame = from_batch(batch)
        if frame["customer_id"].null_count():
            yield frame.filter(pl.col("customer_id").is_null())
            frame = frame.filter(pl.col("customer_id").is_not_null())
        if not frame.height:
            continue
        waiting.append(frame)
        rows, size = rows + frame.height, size + int(frame.estimated_size())
        last = frame["customer_id"][-1]
        if (rows >= MOST_ROWS or size >= MOST_BYTES) and last != waiting[0]["customer_id"][0]:
            together = pl.concat(waiting)
            complete = int((together["customer_id"] != last).sum())
            yield together[:complete]
            waiting = [together[complete:]]
            rows, size = waiting[0].height, int(waiting[0].estimated_size())
    if waiting:
        yield pl.concat(waiting)


def deduplicate(batches: Batches) -> Batches:
    """Each touchpoint once, in the one order, for rows sorted by customer; other rows stay."""
    for frame in whole_customers(batches):
        touchpoints = frame.filter(pl.col("kind") == Kind.TOUCHPOINT)
        others = frame.filter(pl.col("kind") != Kind.TOUCHPOINT)
        known = mixed_rows(drop_duplicates(touchpoints), Kind.TOUCHPOINT)
        rows = pl.concat([known, others])
        if known.height and others.height:
            rows = rows.sort("customer_id", maintain_order=True)
        yield from to_batches(rows)
        if touchpoints.height > known.height:
            yield from to_batches(counted(Kind.DUPLICATES, touchpoints.height - known.height))
        if known.height:
            yield from to_batches(counted(Kind.CUSTOMERS, known["customer_id"].n_unique()))


def _chunks(batches: Batches, asked: Asked) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The touchpoints of some customers, and the pairs asked of them: customer_id, as_of, and `file`, `row` of each."""
    for frame in whole_customers(batches):
        touchpoints = frame.filter(pl.col("kind") == Kind.TOUCHPOINT).select(*TOUCHPOINT_TYPES)
        pairs = frame.filter(pl.col("kind") == Kind.ASKED).select("customer_id", "as_of", "file", "row")
        if asked.as_of_us is not None:
            moment = pl.lit(asked.as_of_us, pl.Int64).cast(UTC_US).alias("as_of")
            everybody = touchpoints.select(pl.col("customer_id").unique(maintain_order=True))
            pairs = everybody.with_columns(moment, file=pl.lit(0, pl.Int32), row=pl.lit(0, pl.Int64))
        if pairs.height:
            yield touchpoints, pairs


# Scoring


def score(batches: Batches, asked: Asked, shipped: Shipped, root: Path) -> Batches:
    """Score the pairs of these customers: the columns of scores, and `file`, `row` of the pair."""
    scorer = open_scorer(shipped, root)
    for touchpoints, pairs in _chunks(batches, asked):
        scores = score_log(scorer, EventLog.from_frame(touchpoints), pairs, asked.reasons)
        yield from to_batches(written(scores, asked.ending).hstack(pairs.select("file", "row")))


def written(scores: pl.DataFrame, ending: str) -> pl.DataFrame:
    """Scores as files of this ending hold them."""
    if ending == ".parquet":
        return scores
    return as_text(scores) if ending == ".csv" else with_times_as_text(scores)


def list_texts(batches: Batches, asked: Asked, shipped: Shipped, root: Path) -> Batches:
    """The messages that scoring these customers embeds: `key` (their hash) and `text` (normalised)."""
    scorer = open_scorer(shipped, root)
    characters = _embedder(shipped, root).max_characters
    for touchpoints, pairs in _chunks(batches, asked):
        needed = texts_to_embed(scorer, EventLog.from_frame(touchpoints), pairs)
        texts = {normalise_text(text, characters) for text in needed}
        said = sorted(texts - {""})
        yield from to_batches(pl.DataFrame({"key": list(map(text_hash, said)), "text": said}, TEXTS))


def embed_texts(batches: Batches, shipped: Shipped, root: Path) -> Batches:
    """Embed messages: `key` and `vector` (float32, little endian)."""
    embedder = _embedder(shipped, root)
    for batch in batches:
        texts = from_batch(batch)
        vectors = [vector.astype("<f4").tobytes() for vector in embedder.embed(texts["text"].to_list())]
        yield from to_batches(pl.DataFrame({"key": texts["key"], "vector": vectors}, VECTORS))


TEXTS = pl.Schema({"key": pl.Binary(), "text": pl.String()})
VECTORS = pl.Schema({"key": pl.Binary(), "vector": pl.Binary()})


@lru_cache(maxsize=2)
def open_scorer(shipped: Shipped, root: Path) -> Scorer:
    """The scorer of what was shipped, opened once by each of Spark's Python processes.

    Raises BadEnvironment where code or bundle are not those that were shipped.
    """
    check_code(shipped.code_sha256)
    folder = root / shipped.bundle
    vectors = None if shipped.vectors is None else root / shipped.vectors
    market = folder / "market" if shipped.has_market else None
    scorer = SCORERS[shipped.seen_by].load(folder / "bundle", market=market, vectors=vectors)
    if scorer.model_version != shipped.version:
        raise BadEnvironment("other_bundle", f"{shipped.bundle} is not the bundle that was sent; start again")
    return scorer


@lru_cache(maxsize=1)
def _embedder(shipped: Shipped, root: Path) -> Embedder:
    bundle = load_bundle(root / shipped.bundle / "bundle")
    if bundle.embedder_folder is None:
        raise ValueError("this bundle reads no text")
    return Embedder.with_cache(bundle.embedder_folder, files=bundle.embedder_files)
