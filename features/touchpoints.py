"""Touchpoints: the contract's one input, read, checked, without duplicates and in the one order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dataframely as dy
import polars as pl

from features.checked_table import (
    MAX_REJECT_SHARE,
    Row,
    contract_types,
    is_given,
    read_checked,
    unread,
    unread_time,
    word,
)
from features.table_files import Source, find_files

ACTORS = ["customer", "company"]
REQUIRED = ["customer_id", "occurred_at", "channel", "action"]


class TouchpointRow(Row):
    """One row of a touchpoints file as read, before the actor's default; each rule is a reason code."""

    customer_id = word(nullable=False)
    occurred_at = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    occurred_at_unread = unread_time()
    channel = word(nullable=False)
    action = word(nullable=False)
    event_id = word(nullable=True)
    recorded_at = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    recorded_at_unread = unread_time()
    actor = dy.String(nullable=True, check={"unknown": lambda actor: actor.is_in(ACTORS)})
    value = dy.Float64(nullable=True)
    value_unread = unread()
    campaign = word(nullable=True)
    variant = word(nullable=True)
    conversation_id = word(nullable=True)
    text = word(nullable=True)

    @dy.rule()
    def occurred_at_missing(cls) -> pl.Expr:
        return is_given("occurred_at")


TOUCHPOINT_TYPES = pl.Schema(contract_types(TouchpointRow))
"""The contract's twelve columns, in its order, and their Polars types."""


@dataclass(frozen=True)
class Touchpoints:
    """Touchpoints that keep the contract, and what was left out.

    `frame` has the columns of `TOUCHPOINT_TYPES`, times in UTC µs, as `drop_duplicates` leaves them. `rejects` has
    `file`, `row` (1-based data row in that file) and `codes` (joined by ';'), no values. `rows_read` =
    `frame.height` + `duplicates_dropped` + `rejects.height`. `ignored_columns` are no part of the contract.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    rows_read: int
    duplicates_dropped: int
    ignored_columns: tuple[str, ...]


def read_touchpoints(
    source: Source, max_reject_share: float = MAX_REJECT_SHARE, reject_file: str | Path | None = None
) -> Touchpoints:
    """Read touchpoints from Parquet, CSV or JSON Lines: a file, a folder, a glob, or several of these.

    Times need a zone and are stored as UTC µs. An empty text is null; an actor that is not given is the customer.
    A row that breaks the contract is rejected with all its reason codes; where there are any, `reject_file` (CSV,
    Parquet or JSON Lines by its ending) is written, if one is named.

    Raises BadUsage for a source that is not there; BadData when a file cannot be read or lacks a required column (all
    faults of all files), or when more than `max_reject_share` of the rows are rejected (0 to 1, 0.05 = one in twenty);
    BadEnvironment where the system refuses to read or write.
    """
    table = read_checked(find_files(source), TouchpointRow, REQUIRED, max_reject_share, reject_file)
    frame = drop_duplicates(table.frame.with_columns(pl.col("actor").fill_null("customer")))
    return Touchpoints(
        frame=frame,
        rejects=table.rejects,
        rows_read=table.rows_read,
        duplicates_dropped=table.frame.height - frame.height,
        ignored_columns=table.ignored_columns,
    )


def known_by(frame: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """Touchpoints that had occurred and been recorded by an aware moment, inclusive: the cut of `is_known`."""
    return frame.filter(pl.max_horizontal("occurred_at", "recorded_at") <= moment)


def drop_duplicates(frame: pl.DataFrame) -> pl.DataFrame:
    """Each touchpoint once, sorted; the order of the input never matters.

    Rows with the same customer_id and event_id are one touchpoint: the version known first stays (the later of
    occurred_at and recorded_at is the earliest), and of several, the first in the order below. Rows without event_id
    are one touchpoint only when all their columns are equal. Customers are merged upstream, by writing one customer_id
    for both: what both held under one event_id is then one touchpoint, and under two ids it is two.

    The order is customer_id, occurred_at, then the other columns of the contract from left to right, nulls first,
    strings by their UTF-8 bytes (as Python sorts them).
    """
    # -0.0 equals 0.0, and which of the two came first must not matter.
    unsigned = pl.when(pl.col("value") != 0.0).then("value").when(pl.col("value") == 0.0).then(0.0)
    rows = frame.select(*TOUCHPOINT_TYPES).with_columns(value=unsigned).sort(pl.all(), nulls_last=False)
    rows = rows.filter(~pl.all_horizontal(pl.all().eq_missing(pl.all().shift()))).with_row_index("place")
    known_at, place = pl.max_horizontal("occurred_at", "recorded_at"), pl.col("place")
    anonymous, touchpoint = pl.col("event_id").is_null(), ["customer_id", "event_id"]
    rows = rows.filter(anonymous | (known_at == known_at.min().over(touchpoint)))
    return rows.filter(anonymous | (place == place.min().over(touchpoint))).drop("place")
