"""Stages that a CRM recorded: told apart from touchpoints by channel and action together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from features.event_log import EventLog
from features.stage_records import stage_action, stage_records, without_stage_records

STAGES = ("keen", "won")
START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Touch:
    """A touchpoint in the contract's columns, without its customer."""

    occurred_at: datetime
    channel: str
    action: str
    event_id: str | None = None
    recorded_at: datetime | None = None
    actor: str = "customer"
    value: float | None = None
    campaign: str | None = None
    variant: str | None = None
    conversation_id: str | None = None
    text: str | None = None


def log_of(*histories: Sequence[tuple[str, str]]) -> EventLog:
    """One customer for each list of (channel, action), a touchpoint a day."""
    return EventLog.from_records(
        [
            (f"c{i}", [Touch(START + timedelta(days=day), *what) for day, what in enumerate(history)])
            for i, history in enumerate(histories)
        ]
    )


SIX = log_of(
    [("web", "viewed"), ("crm", "stage: keen"), ("crm", "called"), ("crm", "stage: lost")],
    [("crm", "stage: won")],
    [],
    [("web", "stage: won")],
)


def test_the_action_names_the_stage() -> None:
    assert stage_action("keen") == "stage: keen"


def test_a_record_is_of_the_crms_channel_and_names_a_stage_of_the_journey() -> None:
    assert stage_records(SIX, STAGES).tolist() == [False, True, False, False, True, False]
    assert stage_records(SIX, ()).tolist() == [False] * 6
    assert stage_records(EventLog.from_records([]), STAGES).tolist() == []


def test_without_the_records_the_customers_stay_where_they_are() -> None:
    rest = without_stage_records(SIX, STAGES)

    assert rest.customer_ids == SIX.customer_ids
    assert rest.offsets.tolist() == [0, 3, 3, 3, 4]
    assert [(rest.channels[c], rest.actions[a]) for c, a in zip(rest.channel, rest.action, strict=True)] == [
        ("web", "viewed"),
        ("crm", "called"),
        ("crm", "stage: lost"),
        ("web", "stage: won"),
    ]
    assert len(rest.text) == len(rest.known_us) == 4


def test_a_log_without_records_stays_as_it_is() -> None:
    log = log_of([("web", "viewed")])

    assert without_stage_records(log, STAGES) is log
    assert np.array_equal(log.of_rows(np.array([True])).offsets, log.offsets)
