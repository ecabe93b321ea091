"""Scores for a part of a list: what one thread here and one task on Spark do with some customers' touchpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from features.event_log import EventLog, Int64s
from features.touchpoints import drop_duplicates
from serving.score_frame import UTC_US, frame_of
from serving.scorer import Scorer

ROWS_AT_A_TIME = 2_000  # a row may have a thousand features and more


def score_partition(
    scorer: Scorer, touchpoints: pl.DataFrame, asked: pl.DataFrame, reasons: bool = False
) -> pl.DataFrame:
    """One row of scores for each asked pair, none lost, in the order asked.

    `touchpoints` keeps the contract (columns of `TOUCHPOINT_TYPES`, times in UTC µs) and holds all that is there of the
    asked customers, in any order, duplicates included. `asked` has customer_id and as_of (UTC µs).
    """
    return score_log(scorer, EventLog.from_frame(drop_duplicates(touchpoints)), asked, reasons)


def score_log(scorer: Scorer, log: EventLog, asked: pl.DataFrame, reasons: bool = False) -> pl.DataFrame:
    """`score_partition` of touchpoints that are in a log already."""
    by_customer = _by_customer(log, asked)
    scored = [
        frame_of(scorer.score(piece.log, piece.customer_ids, piece.customer, piece.as_of_us, reasons))
        for piece in _pieces(log, by_customer)
    ]
    return pl.concat(scored)[by_customer["place"].arg_sort()]


def no_scores(scorer: Scorer, reasons: bool) -> pl.DataFrame:
    """A frame of scores without rows: the columns that all others have."""
    nobody = pl.DataFrame(schema={"customer_id": pl.String(), "as_of": UTC_US})
    return score_log(scorer, EventLog.from_records([]), nobody, reasons)


def texts_to_embed(scorer: Scorer, log: EventLog, asked: pl.DataFrame) -> list[str]:
    """The messages that `score_log` would embed, in no order; one may come several times."""
    pieces = _pieces(log, _by_customer(log, asked))
    return [text for piece in pieces for text in scorer.texts_to_embed(piece.log, piece.customer, piece.as_of_us)]


class _Piece(NamedTuple):
    log: EventLog
    customer_ids: list[str]
    customer: Int64s
    as_of_us: Int64s


def _by_customer(log: EventLog, asked: pl.DataFrame) -> pl.DataFrame:
    """The asked pairs sorted by `customer`, which counts those of the log, -1 for none; `place` as asked."""
    index = pl.DataFrame({"customer_id": log.customer_ids}, {"customer_id": pl.String}).with_row_index("customer")
    placed = asked.select("customer_id", "as_of").with_row_index("place").join(index, on="customer_id", how="left")
    return placed.with_columns(pl.col("customer").cast(pl.Int64).fill_null(-1)).sort("customer", "place")


def _pieces(log: EventLog, by_customer: pl.DataFrame) -> Iterator[_Piece]:
    """Some pairs at a time, with the log of their customers alone: the scorer reads all of the log it is given."""
    for start in range(0, max(by_customer.height, 1), ROWS_AT_A_TIME):
        asked = by_customer[start : start + ROWS_AT_A_TIME]
        customer = asked["customer"].to_numpy()
        known = customer[customer >= 0]
        first, last = (int(known[0]), int(known[-1])) if len(known) else (0, -1)
        place = np.where(customer >= 0, customer - first, -1)
        as_of_us = asked["as_of"].dt.epoch("us").to_numpy()
        yield _Piece(log.of_customers(first, last + 1), asked["customer_id"].to_list(), place, as_of_us)
