"""Touchpoints of any number of customers, drawn at once as columns: for measuring, not for learning."""

from __future__ import annotations

import numpy as np

from features.event_log import DAY_US, EventLog

TOUCHPOINTS_EACH = 40
AS_OF_US = 20_000 * DAY_US  # in October 2024
CHANNELS = [f"channel {i}" for i in range(5)]
ACTIONS = [f"action {i}" for i in range(8)]


def simulated_log(customers: int, seed: int) -> EventLog:
    """40 touchpoints for each customer within the year before AS_OF_US; 3 in 10 by the company, 1 in 5 with a value."""
    rng, n = np.random.default_rng(seed), customers * TOUCHPOINTS_EACH
    occurred_us = AS_OF_US - rng.integers(0, 365 * DAY_US, (customers, TOUCHPOINTS_EACH))
    occurred_us.sort(axis=1)
    none = np.full(n, -1, dtype=np.int32)
    return EventLog(
        customer_ids=[""] * customers,
        offsets=np.arange(0, n + 1, TOUCHPOINTS_EACH, dtype=np.int64),
        occurred_us=occurred_us.ravel(),
        known_us=occurred_us.ravel(),
        channel=rng.integers(0, len(CHANNELS), n, dtype=np.int32),
        action=rng.integers(0, len(ACTIONS), n, dtype=np.int32),
        campaign=none,
        conversation=none,
        is_company=rng.random(n) < 0.3,
        value=np.where(rng.random(n) < 0.2, rng.random(n) * 50, np.nan),
        text=none,
        channels=CHANNELS,
        actions=ACTIONS,
        campaigns=[],
        conversations=[],
        texts=[],
        event_ids=[],
    )


def log_bytes(log: EventLog) -> int:
    """How much memory the columns of the log take."""
    columns = (log.offsets, log.occurred_us, log.known_us, log.channel, log.action, log.campaign, log.conversation)
    return sum(column.nbytes for column in (*columns, log.is_company, log.value, log.text))
