"""Touchpoints of any size, in any order, divided by customer on disk: all of one customer's end up in one partition."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from features.checked_table import CheckedBatch, check_files
from features.event_log import EventLog
from features.packed_touchpoints import (
    NOTHING,
    NUMBERED,
    Packed,
    bucket_of,
    customer_keys,
    divide,
    event_log,
    from_bytes,
    join,
    pack,
    to_bytes,
)
from features.rejects import count_codes, refuse_counts_above_share, reject_writer
from features.table_files import rows_told
from features.touchpoints import REQUIRED, TouchpointRow
from features.word_codes import WordNumbers
from serving.block_file import Block, BlockFile, read_blocks

MOST_BUCKETS = 1024
BUCKETS_A_PARTITION = 4  # so that a partition of buckets comes near the size wanted
FRAME_BYTES_A_FILE_BYTE = 6  # Parquet packs touchpoints about so well; text files grow less
FRAME_BYTES_A_ROW = 100  # at least, where a file packs its rows far better
FLUSH_BYTES = 32 * 10**6
BATCHES_AHEAD = 3  # while some are written, others are read
MOST_WORDS = 100_000


@dataclass(frozen=True)
class Partitioned:
    """Where the touchpoints are, and what was read. `blocks` are those of one file, keyed by bucket.

    `seed` is that of the customers' keys.
    """

    seed: int
    buckets: int
    blocks: tuple[Block, ...]
    rows_read: int
    rejected: int
    reject_codes: dict[str, int]
    ignored_columns: tuple[str, ...]


@dataclass(frozen=True)
class Partitions:
    """Touchpoints on disk, and what is needed to read them: the words numbered, and every customer's id, sorted."""

    blocks_file: Path
    read: Partitioned
    words: dict[str, pl.Series]
    customer_ids: pl.Series

    def bucket_bytes(self) -> list[int]:
        """The size of each bucket in memory."""
        return [sum(block.held_bytes for block in blocks) for blocks in self._blocks_of_bucket]

    def bucket_of(self, customer_ids: pl.Series) -> pl.Series:
        """The bucket of each customer."""
        return pl.Series(bucket_of(customer_keys(customer_ids, self.read.seed), self.read.buckets))

    def log(self, buckets: range) -> tuple[EventLog, int]:
        """The touchpoints of these buckets, each once, and how many rows they were before.

        Raises BadEnvironment where the blocks have been damaged.
        """
        chosen = [block for bucket in buckets for block in self._blocks_of_bucket[bucket]]
        packed = join([NOTHING, *map(from_bytes, read_blocks(self.blocks_file, chosen))])
        own = self.customer_ids.filter(in_buckets(self._bucket_of_customer, buckets))
        return event_log(packed, self.words, own, self.read.seed), len(packed.rows)

    @cached_property
    def _blocks_of_bucket(self) -> list[list[Block]]:
        found: list[list[Block]] = [[] for _ in range(self.read.buckets)]
        for block in self.read.blocks:
            found[block.key].append(block)
        return found

    @cached_property
    def _bucket_of_customer(self) -> pl.Series:
        return self.bucket_of(self.customer_ids)


def in_buckets(bucket: pl.Series, buckets: range) -> pl.Series:
    """Which of these are in the range."""
    return bucket.is_between(buckets.start, buckets.stop, closed="left")


def count_buckets(files: Sequence[Path], partition_bytes: int) -> int:
    """How many buckets suit these files, for partitions of at most `partition_bytes` in memory."""
    frame_bytes = sum(
        max(FRAME_BYTES_A_FILE_BYTE * path.stat().st_size, FRAME_BYTES_A_ROW * rows_told(path)) for path in files
    )
    return max(1, min(int(BUCKETS_A_PARTITION * frame_bytes / partition_bytes), MOST_BUCKETS))


def partition_touchpoints(
    files: Sequence[Path],
    blocks_file: Path,
    buckets: int,
    max_reject_share: float,
    reject_draft: Path,
    reject_file: Path,
    report: Callable[[int], None],
    recorded: pl.DataFrame | None = None,
) -> Partitions:
    """Read, check and divide the touchpoints; `recorded`, checked before, go the same way.

    Rejected rows go to `reject_draft`, which replaces `reject_file` at once where they are too many. Raises what
    `read_touchpoints` raises. `report(rows)` counts the rows read so far.
    """
    for seed in itertools.count():
        rows_read, codes, ignored = 0, Counter[str](), dict[str, None]()
        numbers, customers = WordNumbers(NUMBERED, MOST_WORDS), _Customers()
        with BlockFile(blocks_file) as written, reject_writer(reject_draft) as rejects:
            buffer = _Buffer(buckets, written)
            for table in _ahead(check_files(files, TouchpointRow, REQUIRED)):
                is_full = buffer.add(pack(table.frame, numbers, seed))
                customers.add(table.frame["customer_id"])
                rejects.write(table.rejects)
                codes.update(count_codes(table.rejects))
                ignored |= dict.fromkeys(table.ignored_columns)
                rows_read += table.rows_read
                if is_full:
                    buffer.flush()
                    report(rows_read)
            if recorded is not None:
                buffer.add(pack(recorded, numbers, seed))
                customers.add(recorded["customer_id"])
            buffer.flush()
            report(rows_read)
        customer_ids = customers.sorted()
        if len(np.unique(customer_keys(customer_ids, seed))) == len(customer_ids):
            break  # two customers with one key are next to impossible, and would be taken for one
    if rejects.rows > max_reject_share * rows_read:
        reject_draft.replace(reject_file)
    refuse_counts_above_share(rejects.rows, dict(codes), rows_read, max_reject_share, f"see {reject_file}")
    read = Partitioned(seed, buckets, tuple(written.blocks), rows_read, rejects.rows, dict(codes), tuple(ignored))
    return Partitions(blocks_file, read, numbers.words(), customer_ids)


def divide_buckets(bucket_bytes: Sequence[int], partition_bytes: int) -> list[range]:
    """Neighbouring buckets to a partition, as many as fit; a bucket that does not fit is one alone."""
    partitions: list[range] = []
    start = size = 0
    for bucket, more in enumerate(bucket_bytes):
        if bucket > start and size + more > partition_bytes:
            partitions.append(range(start, bucket))
            start, size = bucket, 0
        size += more
    return [*partitions, range(start, len(bucket_bytes))]


def _ahead(tables: Iterator[CheckedBatch]) -> Iterator[CheckedBatch]:
    """The same, the next ones being read and checked while one is worked on; `None` ends them."""
    with ThreadPoolExecutor(1) as pool:
        following = deque(pool.submit(next, tables, None) for _ in range(BATCHES_AHEAD))
        while (table := following.popleft().result()) is not None:
            following.append(pool.submit(next, tables, None))
            yield table


class _Buffer:
    """Batches of touchpoints, divided and written some megabytes at a time: fewer and larger blocks."""

    def __init__(self, buckets: int, file: BlockFile) -> None:
        self._buckets, self._file = buckets, file
        self._waiting: list[Packed] = []

    def add(self, packed: Packed) -> bool:
        """Whether there are enough now to be written."""
        self._waiting.append(packed)
        return sum(map(_held_bytes, self._waiting)) >= FLUSH_BYTES

    def flush(self) -> None:
        for bucket, packed in divide(join([NOTHING, *self._waiting]), self._buckets):
            self._file.write(bucket, to_bytes(packed), _held_bytes(packed))
        self._waiting = []


def _held_bytes(packed: Packed) -> int:
    return packed.rows.nbytes + int(packed.texts.estimated_size())


class _Customers:
    """Distinct ids, from many batches."""

    def __init__(self) -> None:
        self._distinct = pl.Series(dtype=pl.String)
        self._waiting: list[pl.Series] = []

    def add(self, customer_ids: pl.Series) -> None:
        self._waiting.append(customer_ids.unique())
        if sum(map(len, self._waiting)) > len(self._distinct):
            self._settle()

    def sorted(self) -> pl.Series:
        self._settle()
        return self._distinct.sort().alias("customer_id")

    def _settle(self) -> None:
        self._distinct = pl.concat([self._distinct, *self._waiting]).unique()
        self._waiting = []
