"""Where labels come from: a file of labels, a CRM's stage history, or the journey's rules."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
import polars as pl

from features.errors import BadData, BadUsage
from features.event_log import EventLog, has_known
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
    _tell_ends(journey, chosen, tell)
    # One order, whatever that of the file: equal labels are to give equal models.
    in_order = chosen.sort("customer_id", "as_of", "horizon_days", maintain_order=True)
    rows = rows_by_labels(journey, log, in_order)
    _tell_unseen(log, rows, tell)
    return rows


def _tell_unseen(log: EventLog, rows: LabelledRows, tell: Tell) -> None:
    """Tell how many rows have nothing to be told from: an id or a time that is written otherwise looks like that."""
    everything = np.ones(len(log), dtype=np.bool_)
    unseen = int((~has_known(log, everything, rows.customer, rows.as_of_us)).sum())
    if unseen:
        tell(f"{unseen:,} of {len(rows):,} labelled rows have no touchpoint that was known by their as_of: no_data")


def _tell_ends(journey: Journey, labels: pl.DataFrame, tell: Tell) -> None:
    """Tell where the labels name no horizon and the journey does: they are then about something else than is asked."""
    asked, given = journey.conversion.horizons_days, labels.filter(pl.col("converted").is_not_null())
    if asked and given.height and given["horizon_days"].is_null().all():
        tell(
            "the labels have no horizon_days, so their `converted` says who converts in the end; conversion within "
            f"{', '.join(map(str, asked))} days, as the journey asks, is learnt from the touchpoints"
        )


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
