"""The stage that a CRM records, as rows of the log: told apart by a reserved channel and action, and no touchpoints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.event_log import Bools, EventLog

CHANNEL = "crm"
ACTOR = "company"
_RECORDED = "stage: "


def stage_action(stage: str) -> str:
    """The action by which a row of channel `crm` records that a stage began when it occurred."""
    return _RECORDED + stage


def stage_records(log: EventLog, stages: Sequence[str]) -> Bools:
    """Rows of the log that record one of the journey's stages. Shape (rows of the log,).

    They say what the CRM believed, and are touchpoints to nobody: no rule, label or count takes them for one. A row
    that names another stage is a touchpoint like any other.
    """
    if CHANNEL not in log.channels:
        return np.zeros(len(log), dtype=np.bool_)
    reserved = {stage_action(stage) for stage in stages}
    records = np.array([action in reserved for action in log.actions], dtype=np.bool_)
    found: Bools = (log.channel == log.channels.index(CHANNEL)) & records[log.action]
    return found


def without_stage_records(log: EventLog, stages: Sequence[str]) -> EventLog:
    """The log's touchpoints alone, of the same customers."""
    records = stage_records(log, stages)
    return log.of_rows(~records) if records.any() else log
