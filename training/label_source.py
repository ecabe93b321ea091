"""Where labels come from: a file of labels, a CRM's stage history, or the journey's rules."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import polars as pl

from features.errors import BadData, BadUsage
from features.event_log import EventLog
from features.inputs import Tell, rejected
from features.journey import Journey
from features.labels_file import read_labels
from features.stage_history_file import StageHistory
from training.labels import LabelledRows, rows_by_labels, rows_by_rule, rows_by_stage_history
from training.settings import Snapshots
from training.snapshots import DEFAULT_SNAPSHOTS


def labelled_rows(
    journey: Journey,
    log: EventLog,
    labels: str | None,
    split: Sequence[str] | None,
    max_reject_share: float,
    reject_file: str,
    tell: Tell,
    snapshots: Snapshots = DEFAULT_SNAPSHOTS,
) -> LabelledRows:
    """The rows of a labels file (of these splits, where any are named) or stage history; without one, by rule.

    Where the labels do not say at which moments customers are looked at, `snapshots` does.

    Raises BadUsage for a split that is not there, BadData for a file without a usable label, and what reading and
    labelling raise.
    """
    if labels is None:
        if split:
            raise BadUsage("split_without_labels", "--split picks rows of a labels file; give --labels too")
        return rows_by_rule(journey, log, snapshots)
    read = read_labels(labels, max_reject_share, reject_file)
    tell(f"{read.rows_read:,} labels read, {rejected(read.rejects.height, reject_file)}")
    if isinstance(read, StageHistory):
        if split:
            raise BadUsage("split_of_stage_history", "a stage history has no split column; leave --split out")
        return rows_by_stage_history(journey, log, read.frame, snapshots)
    if read.frame.is_empty():
        raise BadData("no_labels", f"{labels} holds no label that can be used; expected customer_id, as_of and a label")
    chosen = read.frame.filter(pl.col("split").is_in(split)) if split else read.frame
    if chosen.is_empty():
        splits = sorted(read.frame["split"].drop_nulls().unique())
        found = ", ".join(splits[:10]) + (f" and {len(splits) - 10} more" if len(splits) > 10 else "") or "none"
        raise BadUsage("no_such_split", f"no label has split {' or '.join(split or [])}; the labels hold: {found}")
    return rows_by_labels(journey, log, chosen)


def tell_left_out(journey: Journey, log: EventLog, rows: LabelledRows, tell: Tell) -> None:
    """Tell what was not used, and where no conversion is known of anybody, why that may be."""
    for reason, count in rows.left_out.items():
        if count:
            tell(f"left out: {count:,} {reason}")
    if not rows.horizons_days:
        actions = " or ".join(journey.conversion.actions)
        near = [name for action in journey.conversion.actions for name in get_close_matches(action, log.actions, n=1)]
        tell(f"No touchpoint has the action {actions}, and no label says who converted: only the stage is learnt.")
        tell(f"Did you mean {near[0]}?" if near else "Check [conversion] in the journey file.")
