"""Touchpoints of any size, in any order, divided by customer on disk: all of one customer's end up in one partition.

On disk stand numbers in place of the words that come again and again; the words stand once beside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from features.checked_table import CheckedBatch, check_files
from features.rejects import count_codes, refuse_counts_above_share, reject_writer
from features.table_files import rows_told
from features.touchpoints import REQUIRED, TOUCHPOINT_TYPES, TouchpointRow
from features.word_codes import NumberedWords, WordNumbers
from serving.block_file import Block, BlockFile, read_blocks

MOST_BUCKETS = 1024
BUCKETS_A_PARTITION = 4  # so that a partition of buckets comes near the size wanted
FRAME_BYTES_A_FILE_BYTE = 6  # Parquet packs touchpoints about so well; text files grow less
FRAME_BYTES_A_ROW = 100  # at least, where a file packs its rows far better
FLUSH_BYTES = 64 * 10**6
MOST_WORDS = 100_000
NUMBERED = ("channel", "action", "actor", "campaign", "variant")
NO_TOUCHPOINTS = pl.DataFrame(schema=TOUCHPOINT_TYPES | dict.fromkeys(NUMBERED, pl.UInt32()))


@dataclass(frozen=True)
class Partitioned:
    """Where the touchpoints are, and what was read. `blocks` are those of one file, keyed by bucket."""

    buckets: int
    blocks: tuple[Block, ...]
    rows_read: int
    rejected: int
    reject_codes: dict[str, int]
    ignored_columns: tuple[str, ...]

    def bucket_bytes(self) -> list[int]:
        """The size of each bucket as a frame in memory."""
        sizes = [0] * self.buckets
        for block in self.blocks:
            sizes[block.key] += block.frame_bytes
        return sizes


def bucket_of(buckets: int) -> pl.Expr:
    """The bucket of each customer_id; the same for equal ids, in one version of Polars."""
    return (pl.col("customer_id").hash(0) % buckets).cast(pl.UInt16)


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
) -> tuple[Partitioned, NumberedWords, pl.Series]:
    """Read, check and divide the touchpoints.

    Returns where they are, the words that stand there as numbers, and every customer's id, sorted. Rejected rows go to
    `reject_draft`, which replaces `reject_file` at once where they are too many. Raises what `read_touchpoints` raises.
    `report(rows)` counts the rows read so far. `recorded`, checked before, goes the same way.
    """
    rows_read, codes, ignored = 0, Counter[str](), dict[str, None]()
    numbers, customers = WordNumbers(NUMBERED, MOST_WORDS), _Customers()
    with BlockFile(blocks_file) as written, reject_writer(reject_draft) as rejects:
        for tables in _ahead(_flushes(check_files(files, TouchpointRow, REQUIRED))):
            frame = pl.concat([table.frame for table in tables])
            _write_buckets(frame.with_columns(pl.col("actor").fill_null("customer")), buckets, numbers, written)
            customers.add(frame["customer_id"])
            for table in tables:
                rows_read += table.rows_read
                rejects.write(table.rejects)
                codes.update(count_codes(table.rejects))
                ignored |= dict.fromkeys(table.ignored_columns)
            report(rows_read)
        if recorded is not None:
            _write_buckets(recorded, buckets, numbers, written)
            customers.add(recorded["customer_id"])
    if rejects.rows > max_reject_share * rows_read:
        reject_draft.replace(reject_file)
    refuse_counts_above_share(rejects.rows, dict(codes), rows_read, max_reject_share, f"see {reject_file}")
    partitioned = Partitioned(buckets, tuple(written.blocks), rows_read, rejects.rows, dict(codes), tuple(ignored))
    return partitioned, numbers.words(), customers.sorted()


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


def read_partition(blocks_file: Path, partitioned: Partitioned, words: NumberedWords, buckets: range) -> pl.DataFrame:
    """All touchpoints of these buckets. Raises BadEnvironment where they have been damaged."""
    chosen = [block for block in partitioned.blocks if block.key in buckets]
    return words.name([NO_TOUCHPOINTS, *read_blocks(blocks_file, chosen)])


def _flushes(tables: Iterator[CheckedBatch]) -> Iterator[list[CheckedBatch]]:
    """Batches together, some megabytes at a time: fewer and larger blocks."""
    waiting: list[CheckedBatch] = []
    for table in tables:
        waiting.append(table)
        if sum(each.frame.estimated_size() for each in waiting) >= FLUSH_BYTES:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _ahead(flushes: Iterator[list[CheckedBatch]]) -> Iterator[list[CheckedBatch]]:
    """The same, the next being read and checked while one is worked on."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, flushes, None)
        while (tables := following.result()) is not None:
            following = pool.submit(next, flushes, None)
            yield tables


def _write_buckets(frame: pl.DataFrame, buckets: int, numbers: WordNumbers, file: BlockFile) -> None:
    numbered = numbers.number(frame.with_columns(bucket_of(buckets).alias("bucket")))
    by_bucket = numbered.partition_by("bucket", as_dict=True, include_key=False)
    for (bucket,), part in by_bucket.items():
        file.write(int(bucket), part)


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
