"""The rows that a retraining keeps from its model, so that the gate can judge it on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from features.errors import BadData
from features.event_log import DAY_US, Bools
from training.labels import LabelledRows
from training.split import held_out_persons

KEPT_SHARE: Final = 0.2  # of the rows whose outcome is known, or of the persons
KEPT_BACK = "rows kept from the model for the gate"
IN_GAP = "rows whose window reaches into the time kept for the gate"
NOT_KNOWN = "rows kept for the gate whose outcome is not known"


@dataclass(frozen=True)
class HeldOut:
    """Rows to learn from, and rows to judge on: later ones, or other persons' where a window never ends."""

    learn: LabelledRows
    judge: LabelledRows


def hold_out(rows: LabelledRows, seed: int) -> HeldOut:
    """Keep the latest fifth of the rows with a known outcome, and learn from those whose windows were over by then.

    Where labels have no horizon, a fifth of the persons is kept, the same ones for a seed in every retraining. What is
    not learnt from is counted in `learn.left_out`. Raises BadData where that leaves nothing on one side.
    """
    known: Bools = np.any(rows.converted >= 0, axis=1) if rows.horizons_days else rows.stage >= 0
    if None in rows.horizons_days:
        kept: Bools = held_out_persons(rows.customer_id, KEPT_SHARE, seed)
        learn: Bools = ~kept
    else:
        kept, learn = _by_time(rows, known)
    judge: Bools = kept & known
    if not (judge.any() and (learn & known).any()):
        raise BadData(
            "nothing_to_hold_out",
            f"of {int(known.sum()):,} rows with a known outcome, a fifth kept for the gate leaves nothing on one side; "
            "give a longer record or more customers, or use journeycast train",
        )
    why = {KEPT_BACK: judge, NOT_KNOWN: kept & ~known, IN_GAP: ~kept & ~learn}
    learnt = rows.take(np.flatnonzero(learn).astype(np.int64))
    left_out = {**rows.left_out, **{reason: int(some.sum()) for reason, some in why.items()}}
    return HeldOut(replace(learnt, left_out=left_out), rows.take(np.flatnonzero(judge).astype(np.int64)))


def _by_time(rows: LabelledRows, known: Bools) -> tuple[Bools, Bools]:
    longest_us = max((days for days in rows.horizons_days if days is not None), default=0) * DAY_US
    moments = np.sort(rows.as_of_us[known])
    cut_us = int(moments[int(len(moments) * (1 - KEPT_SHARE))]) if len(moments) else 0
    # The gate wants a row to begin after all that was learnt is over, so the last window learnt ends before the cut.
    return rows.as_of_us >= cut_us, rows.as_of_us + longest_us < cut_us
