"""Rows by what harm could hide in: the customer's main channel and tenure at as_of."""

from __future__ import annotations

import numpy as np

from features.event_log import DAY_US, Bools, EventLog
from training.labels import LabelledRows

TENURE_DAYS = (30, 180)
NONE = -1


def slices_of(log: EventLog, rows: LabelledRows) -> dict[str, Bools]:
    """The rows of each main channel (of most touchpoints known at as_of, ties by name) and span of tenure.

    Tenure counts from the first touchpoint known. Language is no slice: texts do not say theirs, and a guess from a few
    short messages would be wrong too often to block a model by.
    """
    channel, tenure_us = _channel_and_tenure(log, rows)
    slices = {f"channel {name}": channel == code for code, name in enumerate(log.channels)}
    first, second = TENURE_DAYS
    known, days = tenure_us >= 0, tenure_us / DAY_US
    slices[f"customers of up to {first} days"] = known & (days <= first)
    slices[f"customers of {first} to {second} days"] = known & (days > first) & (days <= second)
    slices[f"customers of more than {second} days"] = known & (days > second)
    return {name: inside for name, inside in slices.items() if inside.any()}


def _channel_and_tenure(log: EventLog, rows: LabelledRows) -> tuple[np.ndarray, np.ndarray]:
    channel, tenure_us = np.full(len(rows), NONE), np.full(len(rows), NONE, dtype=np.int64)
    past = log.histories(rows.customer, rows.as_of_us)
    for row in range(len(rows)):
        known = slice(past.offsets[row], past.offsets[row + 1])
        if len(past.channel[known]):
            channel[row] = np.bincount(past.channel[known]).argmax()
            tenure_us[row] = rows.as_of_us[row] - past.occurred_us[known].min()
    return channel, tenure_us
