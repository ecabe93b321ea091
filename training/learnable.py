"""What can be learnt of some rows, where there is too little for all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from features.journey import conversion_column
from training.fit_conversion import LEAST_OF_EACH
from training.labels import UNKNOWN, LabelledRows

Codes = npt.NDArray[np.int8]
LEAST_STAGES: Final = 2


def learnable(rows: LabelledRows) -> tuple[LabelledRows, dict[str, str]]:
    """The rows with the horizons that can be learnt, and why each other one cannot, by score column.

    A horizon needs 20 rows with a conversion and 20 without, and of the rows that had not converted by the last shorter
    one that is learnt, some that did in between and some that did not. Where none can be learnt, the horizons stay, to
    be refused, unless nobody's outcome is known, or labels or a CRM gave at least two stages 20 rows each: then the
    stage alone is learnt.
    """
    kept: list[int] = []
    why: dict[str, str] = {}
    for h, horizon in enumerate(rows.horizons_days):
        reason = _too_few(rows.converted[:, h]) or _all_alike(rows, kept[-1:], h)
        if reason:
            why[conversion_column(horizon)] = reason
        else:
            kept.append(h)
    if not why or not (kept or _is_stage_enough(rows)):
        return rows, {}
    return replace(
        rows, horizons_days=tuple(rows.horizons_days[h] for h in kept), converted=rows.converted[:, kept]
    ), why


def _too_few(converted: Codes) -> str:
    yes, no = int((converted == 1).sum()), int((converted == 0).sum())
    if min(yes, no) >= LEAST_OF_EACH:
        return ""
    return f"found {yes} rows with a conversion and {no} without, expected at least {LEAST_OF_EACH} of each"


def _all_alike(rows: LabelledRows, shorter: list[int], h: int) -> str:
    for s in shorter:
        later = rows.converted[rows.converted[:, s] == 0, h]
        if not {0, 1} <= set(later.tolist()):
            return f"of the rows that had not converted within {rows.horizons_days[s]} days, all or none did later"
    return ""


def _is_stage_enough(rows: LabelledRows) -> bool:
    """Rules know a stage of everybody, whatever was to be learnt: they do not stand in for what was asked."""
    of_each = np.bincount(rows.stage[rows.stage > UNKNOWN])
    return not rows.stage_by_rule and int((of_each >= LEAST_OF_EACH).sum()) >= LEAST_STAGES
