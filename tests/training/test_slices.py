"""Slices: by what is known of a customer at as_of and nothing else, a language only where it is plain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from features.event_log import EventLog, to_us
from serving.schemas import Touchpoint
from training.labels import LabelledRows
from training.slices import language_of, slices_of

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)
ENGLISH = "We would like to know what it costs, and when we can begin."
GERMAN = "Wir möchten gern wissen, was das kostet und wann wir beginnen können."


def said(days_ago: float, text: str | None, channel: str = "email", actor: str = "customer") -> Touchpoint:
    return Touchpoint(AS_OF - timedelta(days=days_ago), channel, "wrote", text=text, actor=actor)


HISTORIES = [
    ("english", [said(9, ENGLISH)]),
    ("german of late", [said(40, ENGLISH, "chat"), said(-1, GERMAN), said(3, None, "chat")]),
    ("german", [said(200, GERMAN[:34]), said(100, GERMAN[34:])]),
    ("company alone", [said(9, GERMAN, actor="company")]),
    ("short", [said(9, "Danke!")]),
    ("silent", []),
]


def rows(log: EventLog) -> LabelledRows:
    """One row for each customer, of whom nothing but the history is known."""
    moments = np.full(len(HISTORIES), to_us(AS_OF), dtype=np.int64)
    customer = np.where(np.diff(log.offsets) > 0, np.arange(len(HISTORIES)), -1)
    unknown, none = np.full(len(HISTORIES), -1, dtype=np.int8), np.zeros((len(HISTORIES), 0), dtype=np.int8)
    return LabelledRows(log.customer_ids, customer, moments, unknown, (), none, stage_by_rule=False, left_out={})


def test_six_customers_stand_in_the_slices_of_what_was_known() -> None:
    log = EventLog.from_records(HISTORIES)
    found = {name: np.flatnonzero(inside).tolist() for name, inside in slices_of(log, rows(log)).items()}

    assert found == {
        "channel email": [0, 2, 3, 4],
        "channel chat": [1],
        "customers of up to 30 days": [0, 3, 4],
        "customers of 30 to 180 days": [1],
        "customers of more than 180 days": [2],
        "language de": [2],
        "language en": [0, 1],
    }


def test_what_is_said_later_moves_nobody() -> None:
    log = EventLog.from_records(HISTORIES)
    later = replace(rows(log), as_of_us=rows(log).as_of_us + to_us(AS_OF + timedelta(days=2)) - to_us(AS_OF))

    assert np.flatnonzero(slices_of(log, rows(log))["language en"]).tolist() == [0, 1]
    assert np.flatnonzero(slices_of(log, later)["language en"]).tolist() == [0]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("Сколько это стоит и когда мы можем начать работу?", "ru"),
        ("Thanks, bye", "und"),
        ("", "und"),
        ("0123456789 " * 9, "und"),
    ],
)
def test_a_language_is_told_where_it_is_plain(text: str, language: str) -> None:
    assert language_of(text) == language
