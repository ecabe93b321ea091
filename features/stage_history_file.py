"""A CRM's stage history: read, checked, and turned into rows of the touchpoint table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dataframely as dy
import polars as pl

from features.checked_table import MAX_REJECT_SHARE, Row, is_given, read_checked, unread_time, word
from features.stage_records import ACTOR, CHANNEL, stage_action
from features.table_files import Source, find_files
from features.touchpoints import TOUCHPOINT_TYPES


class StageHistoryRow(Row):
    """One row of a stage history as read; each rule is a reason code."""

    customer_id = word(nullable=False)
    stage = word(nullable=False)
    since = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    since_unread = unread_time()
    recorded_at = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    recorded_at_unread = unread_time()

    @dy.rule()
    def since_missing(cls) -> pl.Expr:
        return is_given("since")


@dataclass(frozen=True)
class StageHistory:
    """The stages that customers entered, as a CRM recorded them, in the files' order.

    `frame`: customer_id, stage, since (UTC µs: when the stage began), recorded_at (UTC µs: when it was known; null =
    then). `rejects` has `file`, `row` (1-based data row in that file) and `codes`, no values.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    rows_read: int
    ignored_columns: tuple[str, ...]


def read_stage_history(
    source: Source, max_reject_share: float = MAX_REJECT_SHARE, reject_file: str | Path | None = None
) -> StageHistory:
    """Read a stage history from Parquet, CSV or JSON Lines. Raises what `read_touchpoints` raises."""
    required = ["customer_id", "stage", "since"]
    table = read_checked(find_files(source), StageHistoryRow, required, max_reject_share, reject_file)
    return StageHistory(table.frame, table.rejects, table.rows_read, table.ignored_columns)


def as_touchpoints(history: pl.DataFrame) -> pl.DataFrame:
    """The history as rows of the touchpoint table: `since` becomes occurred_at, and the stage a reserved action.

    One cut in time then holds for both, and a caller of the endpoint may send the same rows.
    """
    actions = {stage: stage_action(stage) for stage in history["stage"].unique()}
    rows = history.select(
        "customer_id",
        "recorded_at",
        occurred_at="since",
        channel=pl.lit(CHANNEL),
        action=pl.col("stage").replace_strict(actions, return_dtype=pl.String),
        actor=pl.lit(ACTOR),
    )
    return pl.concat([pl.DataFrame(schema=TOUCHPOINT_TYPES), rows], how="diagonal")


def unknown_stages(history: pl.DataFrame, stages: Sequence[str]) -> list[str]:
    """The stages of the history that a journey of these `stages` does not know, sorted."""
    return sorted(set(history["stage"].unique()) - set(stages))
