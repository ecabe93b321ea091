"""Touchpoints: the contract's one input, read, checked, without duplicates and in the one order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dataframely as dy
import numpy as np
import numpy.typing as npt
import polars as pl
from numba import njit

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
from features.word_codes import word_codes

Int64s = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint32]

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
    strings by their UTF-8 bytes (as Python sorts them). Words may come as an Enum whose categories are in that order.
    """
    # -0.0 equals 0.0, and which of the two came first must not matter.
    unsigned = pl.when(pl.col("value") != 0.0).then("value").when(pl.col("value") == 0.0).then(0.0)
    rows = frame.select(*TOUCHPOINT_TYPES).with_columns(value=unsigned).rechunk()  # of many chunks, taking is slow
    customer = word_codes(rows["customer_id"]).to_physical().to_numpy()
    occurred_us = rows["occurred_at"].to_physical().to_numpy()
    order = _by_content(rows, _by_customer_and_time(customer, occurred_us), customer, occurred_us)
    return rows[_known_first(rows, order, customer)]


@njit(cache=True, nogil=True)
def _by_customer_and_time(customer, occurred_us):  # type: ignore[no-untyped-def]
    """Rows by customer and time; of equals, in the order they have. Counted, not compared: there are few customers."""
    first = np.zeros(int(customer.max()) + 2 if len(customer) else 1, dtype=np.int64)
    for row in range(len(customer)):
        first[customer[row] + 1] += 1
    first = np.cumsum(first)
    order, place = np.empty(len(customer), dtype=np.int64), first.copy()
    for row in range(len(customer)):
        order[place[customer[row]]] = row
        place[customer[row]] += 1
    for one in range(len(first) - 1):
        rows = order[first[one] : first[one + 1]]
        order[first[one] : first[one + 1]] = rows[np.argsort(occurred_us[rows], kind="mergesort")]
    return order


def _by_content(rows: pl.DataFrame, order: Int64s, customer: Codes, occurred_us: Int64s) -> Int64s:
    """The order where rows of one customer and time stand by their content, and of equal ones only the first."""
    as_before = np.zeros(len(order) + 1, dtype=np.bool_)
    as_before[1:-1] = (np.diff(customer[order]) == 0) & (np.diff(occurred_us[order]) == 0)
    tied = np.flatnonzero(as_before[1:] | as_before[:-1])
    if not len(tied):
        return order
    content = pl.exclude("place")
    among = rows[order[tied]].with_row_index("place").sort(content, nulls_last=False)
    repeats = among.select(pl.all_horizontal(content.eq_missing(content.shift())))  # the first has none before it
    order[tied] = order[tied][among["place"].to_numpy()]
    return np.delete(order, tied[repeats.to_series().to_numpy()])


def _known_first(rows: pl.DataFrame, order: Int64s, customer: Codes) -> Int64s:
    """The order without those rows of a customer and an event_id that are known later than another."""
    # Hashes first: where they differ, as nearly everywhere, no name needs to be compared.
    named = rows["event_id"].is_not_null().to_numpy()
    doubtful = np.flatnonzero(_repeated(rows["event_id"].hash(0).to_numpy(), customer, order) & named[order])
    known_at = pl.max_horizontal("occurred_at", "recorded_at")
    among = rows[order[doubtful]].select("customer_id", "event_id", known_at=known_at).with_row_index("place")
    kept = among.sort("known_at", "place").unique(["customer_id", "event_id"], keep="first")["place"].to_numpy()
    return np.delete(order, np.delete(doubtful, kept))


@njit(cache=True, nogil=True)
def _repeated(key, customer, order):  # type: ignore[no-untyped-def]
    """Whether each row of the order has a key that another row of its customer has."""
    repeated = np.zeros(len(order), dtype=np.bool_)
    start = 0
    for stop in range(1, len(order) + 1):
        if stop < len(order) and customer[order[stop]] == customer[order[start]]:
            continue
        keys = key[order[start:stop]]
        by_key = np.argsort(keys, kind="mergesort")
        for place in range(1, stop - start):
            if keys[by_key[place]] == keys[by_key[place - 1]]:
                repeated[start + by_key[place]] = repeated[start + by_key[place - 1]] = True
        start = stop
    return repeated
