"""Scores for a part of a list: what one thread here and one task on Spark do with some customers' touchpoints."""

from __future__ import annotations

import numpy as np
import polars as pl

from features.event_log import EventLog
from features.touchpoints import TOUCHPOINT_TYPES, drop_duplicates
from serving.scorer import Scorer

ROWS_AT_A_TIME = 5_000  # a row may have a thousand features and more


def score_partition(
    scorer: Scorer, touchpoints: pl.DataFrame, asked: pl.DataFrame, reasons: bool = False
) -> pl.DataFrame:
    """One row of scores for each asked pair, none lost, in the order asked.

    `touchpoints` keeps the contract (columns of `TOUCHPOINT_TYPES`, times in UTC µs) and holds all that is there of the
    asked customers, in any order, duplicates included. `asked` has customer_id and as_of (UTC µs).
    """
    return score_deduplicated(scorer, drop_duplicates(touchpoints), asked, reasons)


def score_deduplicated(
    scorer: Scorer, touchpoints: pl.DataFrame, asked: pl.DataFrame, reasons: bool = False
) -> pl.DataFrame:
    """`score_partition` of touchpoints as `drop_duplicates` leaves them: each once, sorted by customer and time."""
    customers = touchpoints["customer_id"].rle().struct.unnest()
    index = pl.DataFrame({"customer_id": customers["value"]}).with_row_index("customer")
    first_row = np.concatenate([[0], customers["len"].cum_sum().to_numpy()])
    placed = asked.select("customer_id", "as_of").with_row_index("place").join(index, on="customer_id", how="left")
    by_customer = placed.with_columns(pl.col("customer").cast(pl.Int64).fill_null(-1)).sort("customer", "place")
    parts = [
        _score(scorer, touchpoints, first_row, by_customer[start : start + ROWS_AT_A_TIME], reasons)
        for start in range(0, max(asked.height, 1), ROWS_AT_A_TIME)
    ]
    return pl.concat(parts)[by_customer["place"].arg_sort()]


def _score(
    scorer: Scorer, touchpoints: pl.DataFrame, first_row: np.ndarray, asked: pl.DataFrame, reasons: bool
) -> pl.DataFrame:
    """Score pairs sorted by customer. The scorer reads all of the log it is given: that of these customers alone."""
    customer = asked["customer"].to_numpy()
    known = customer[customer >= 0]
    first, last = (int(known[0]), int(known[-1])) if len(known) else (0, -1)
    log = EventLog.from_frame(touchpoints[int(first_row[first]) : int(first_row[last + 1])])
    place = np.where(customer >= 0, customer - first, -1)
    as_of_us = asked["as_of"].dt.epoch("us").to_numpy()
    return scorer.score(log, asked["customer_id"].to_list(), place, as_of_us, reasons).frame()


def no_touchpoints() -> pl.DataFrame:
    """A frame of touchpoints without rows."""
    return pl.DataFrame(schema=TOUCHPOINT_TYPES)
