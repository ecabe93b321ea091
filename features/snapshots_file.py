"""Snapshots that a user asks for: each a customer and the time as of which to look at them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dataframely as dy
import polars as pl

from features.checked_table import Row, is_given, read_checked, unread_time, word
from features.errors import BadData
from features.rejects import count_codes
from features.table_files import Source, find_files


class SnapshotRow(Row):
    """One row of a snapshots file as read; each rule is a reason code."""

    customer_id = word(nullable=False)
    as_of = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    as_of_unread = unread_time()

    @dy.rule()
    def as_of_missing(cls) -> pl.Expr:
        return is_given("as_of")


def read_snapshots(source: Source, reject_file: str | Path | None = None) -> pl.DataFrame:
    """Read customer_id and as_of (UTC µs) from Parquet, CSV or JSON Lines: every row, in its order, repeats included.

    Raises what `read_touchpoints` raises; any rejected row is BadData, because each asked row must be answered.
    """
    read = read_checked(find_files(source), SnapshotRow, ["customer_id", "as_of"], 1.0, reject_file)
    where = f"; see {reject_file}" if reject_file else ""
    refuse_unanswerable(read.rejects.height, count_codes(read.rejects), read.rows_read, where)
    if reject_file is not None:
        Path(reject_file).unlink(missing_ok=True)  # an older run's rejects are not this one's
    return read.frame


def refuse_unanswerable(rejected: int, codes: Mapping[str, int], rows_read: int, where: str) -> None:
    """Raise BadData, naming how often each reason code came, where any asked row cannot be read."""
    if rejected:
        counts = ", ".join(f"{code} {count}" for code, count in codes.items())
        raise BadData(
            "bad_snapshots",
            f"rejected {rejected} of {rows_read} rows: {counts}{where}. Each asked pair must be answered: mend them or "
            "leave them out",
        )
