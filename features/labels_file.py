"""Labels that a user brings: a table of labels, or the history of stages that a CRM keeps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import dataframely as dy
import polars as pl

from features.checked_table import MAX_REJECT_SHARE, Agreement, Row, is_given, read_checked, unread, unread_time, word
from features.errors import BadData
from features.stage_history_file import StageHistory, read_stage_history
from features.table_files import Source, column_names, find_files


class LabelRow(Row):
    """One row of a labels file as read; each rule is a reason code."""

    customer_id = word(nullable=False)
    as_of = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    as_of_unread = unread_time()
    stage = word(nullable=True)
    converted = dy.Bool(nullable=True)
    converted_unread = unread()
    horizon_days = dy.Int32(nullable=True, check={"not_positive": lambda days: days > 0})
    horizon_days_unread = unread()
    split = word(nullable=True)

    @dy.rule()
    def as_of_missing(cls) -> pl.Expr:
        return is_given("as_of")


AGREEMENTS = (
    Agreement("converted", ("customer_id", "as_of", "horizon_days")),
    Agreement("stage", ("customer_id", "as_of")),
)


@dataclass(frozen=True)
class Labels:
    """Labels as given, in the files' order.

    `frame`: customer_id, as_of (UTC µs), stage (null = unknown), converted (null = not known), horizon_days (null = in
    the end), split (null = none). `rejects` has `file`, `row` (1-based data row in that file) and `codes`, no values.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    rows_read: int
    ignored_columns: tuple[str, ...]


def read_labels(
    source: Source, max_reject_share: float = MAX_REJECT_SHARE, reject_file: str | Path | None = None
) -> Labels | StageHistory:
    """Read labels from Parquet, CSV or JSON Lines; files with `since` and no `as_of` are a stage history.

    Two labels of one customer and as_of (for `converted`, of one horizon too) that contradict each other are both
    rejected.

    Raises what `read_touchpoints` raises, and BadData for a labels file with neither `stage` nor `converted`.
    """
    files = find_files(source)
    found = column_names(files[0])
    if "since" in found and "as_of" not in found:
        return read_stage_history(source, max_reject_share, reject_file)
    if "as_of" in found and not {"stage", "converted"} & set(found):
        raise BadData("bad_columns", f"{files[0]}: found neither 'stage' nor 'converted', expected one of them or both")
    table = read_checked(files, LabelRow, ["customer_id", "as_of"], max_reject_share, reject_file, AGREEMENTS)
    return Labels(table.frame, table.rejects, table.rows_read, table.ignored_columns)
