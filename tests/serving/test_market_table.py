"""A market in words: every share with its counts."""

from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import numpy as np
from rich.console import Console

from features.event_log import EventLog, to_us
from models.bundle import load_bundle
from serving.market_table import market_table
from serving.schemas import Touchpoint


def on(month: int, action: str) -> Touchpoint:
    return Touchpoint(datetime(2026, month, 10, tzinfo=UTC), "web", action)


def words(plain_bundle: Path, log: EventLog) -> list[list[str]]:
    reader = load_bundle(plain_bundle).model.reader
    moment = np.array([to_us(datetime(2026, 4, 20, tzinfo=UTC))], dtype=np.int64)
    printed = StringIO()
    Console(width=200, file=printed).print(market_table(reader, reader.survey(log, moment)))
    lines = printed.getvalue().splitlines()
    assert lines[0].strip() == "The market at 2026-04-20T00:00:00Z"
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


def test_a_market_in_words(plain_bundle: Path) -> None:
    log = EventLog.from_records(
        [
            ("a", [on(1, "visited"), on(2, "visited"), on(4, "purchase")]),
            ("b", [on(2, "visited"), on(3, "asked")]),
            ("c", [on(4, "visited")]),
        ]
    )
    assert words(plain_bundle, log) == [
        ["customers seen", "3", "2"],
        ["touchpoints", "6", "2 (×4.06 a day)"],
        ["newcomers", "3", "1 (×4.06 a day)"],
        ["converted", "1 of 3 (33.3%)", "1 of 3 (×12.17 a day)"],
        ["channel web", "6 of 6 (100.0%)", ""],
        ["action visited", "4 of 6 (66.7%)", ""],
        ["action (other)", "1 of 6 (16.7%)", ""],
        ["action asked", "1 of 6 (16.7%)", ""],
        ["stage new", "2 of 3 (66.7%)", ""],
        ["stage active", "1 of 3 (33.3%)", ""],
    ]


def test_an_empty_market_has_no_shares(plain_bundle: Path) -> None:
    assert words(plain_bundle, EventLog.from_records([])) == [
        ["customers seen", "0", "0"],
        ["touchpoints", "0", "0"],
        ["newcomers", "0", "0"],
        ["converted", "0 of 0", "0 of 0"],
        ["stage new", "0 of 0", ""],
        ["stage active", "0 of 0", ""],
    ]
