"""Touchpoints: the contract's one input, read, checked, without duplicates and in the one order."""

from __future__ import annotations

from collections.abc import Callable
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
Keys = npt.NDArray[np.uint64]

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

CONTENT = [*(name for name in TOUCHPOINT_TYPES if name != "event_id"), "event_id"]
"""The columns by which touchpoints stand in order, the first first; an event's name, the least telling, last."""

NO_EVENT = 0  # the key of a touchpoint without event_id


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

    The order is customer_id, occurred_at, then the others of `CONTENT` from left to right, nulls first, strings by
    their UTF-8 bytes (as Python sorts them).
    """
    # -0.0 equals 0.0, and which of the two came first must not matter.
    unsigned = pl.when(pl.col("value") != 0.0).then("value").when(pl.col("value") == 0.0).then(0.0)
    rows = frame.select(*TOUCHPOINT_TYPES).with_columns(value=unsigned).rechunk()  # of many chunks, taking is slow
    customer = word_codes(rows["customer_id"]).to_physical().to_numpy(writable=True)
    occurred_us = rows["occurred_at"].to_physical().to_numpy(writable=True)
    known_us = np.maximum(occurred_us, rows["recorded_at"].fill_null(rows["occurred_at"]).to_physical().to_numpy())
    content = rows.select(CONTENT)
    return rows[once_each(customer, occurred_us, known_us, event_keys(rows["event_id"]), content.__getitem__)]


def event_keys(event_ids: pl.Series) -> Keys:
    """A number for each event's name, 64 bits of a hash, and NO_EVENT for none.

    Only within one customer is it taken for the name: of a thousand touchpoints, two have one key by chance in one
    customer of 37 million million.
    """
    return event_ids.hash(0).set(event_ids.is_null(), NO_EVENT).to_numpy(writable=True)


def once_each(
    customer: Codes, occurred_us: Int64s, known_us: Int64s, event: Keys, content: Callable[[Int64s], pl.DataFrame]
) -> Int64s:
    """The rows that `drop_duplicates` keeps, in its order; shape (touchpoints,).

    `customer` counts customers in the order of their ids, `event` holds `event_keys`, and `content(rows)` returns all
    that some rows hold, its columns in the order in which they decide.
    """
    order = _by_content(_by_customer_and_time(customer, occurred_us), customer, occurred_us, content)
    return _known_first(order, customer, known_us, event)


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


def _by_content(
    order: Int64s, customer: Codes, occurred_us: Int64s, content: Callable[[Int64s], pl.DataFrame]
) -> Int64s:
    """The order where rows of one customer and time stand by their content, and of equal ones only the first."""
    as_before = np.zeros(len(order) + 1, dtype=np.bool_)
    as_before[1:-1] = (np.diff(customer[order]) == 0) & (np.diff(occurred_us[order]) == 0)
    tied = np.flatnonzero(as_before[1:] | as_before[:-1])
    if not len(tied):
        return order
    every = pl.exclude("place")
    among = content(order[tied]).with_row_index("place").sort(every, nulls_last=False)
    repeats = among.select(pl.all_horizontal(every.eq_missing(every.shift())))  # the first has none before it
    order[tied] = order[tied][among["place"].to_numpy()]
    return np.delete(order, tied[repeats.to_series().to_numpy()])


def _known_first(order: Int64s, customer: Codes, known_us: Int64s, event: Keys) -> Int64s:
    """The order without those rows of a customer and an event that are known later than another."""
    doubtful = np.flatnonzero(_repeated(event, customer, order))
    rows = order[doubtful]
    among = pl.DataFrame({"customer": customer[rows], "event": event[rows], "known_us": known_us[rows]})
    by_known = among.with_row_index("place").sort("known_us", "place")
    kept = by_known.unique(["customer", "event"], keep="first")["place"].to_numpy()
    return np.delete(order, np.delete(doubtful, kept))


@njit(cache=True, nogil=True)
def _repeated(key, customer, order):  # type: ignore[no-untyped-def]
    """Whether each row of the order has a key, and another row of its customer the same."""
    repeated = np.zeros(len(order), dtype=np.bool_)
    seen = np.empty(0, dtype=np.int64)  # a hash table of one customer's keys: where each was seen first, or -1
    start = stop = 0
    while start < len(order):
        while stop < len(order) and customer[order[stop]] == customer[order[start]]:
            stop += 1
        size = 2
        while size < 2 * (stop - start):
            size *= 2
        if size > len(seen):
            seen = np.empty(size, dtype=np.int64)
        seen[:size] = -1
        last = np.uint64(size - 1)
        for place in range(start, stop):
            own = key[order[place]]
            if own == NO_EVENT:
                continue
            slot = own & last
            while seen[slot] >= 0 and key[order[seen[slot]]] != own:
                slot = (slot + np.uint64(1)) & last
            if seen[slot] < 0:
                seen[slot] = place
            else:
                repeated[place] = repeated[seen[slot]] = True
        start = stop
    return repeated
