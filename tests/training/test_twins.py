"""Twins: one history under two ids is found; short histories, campaigns and rounded times make none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from features.event_log import EventLog
from serving.schemas import Touchpoint
from training.twins import twin_pairs

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(hours: float, action: str = "visited", text: str | None = None, actor: str = "customer") -> Touchpoint:
    return Touchpoint(START + timedelta(hours=hours), "web", action, actor=actor, text=text)


def twins(histories: dict[str, list[Touchpoint]]) -> list[list[str]]:
    log = EventLog.from_records(list(histories.items()))
    pairs = twin_pairs(log, np.arange(len(log.customer_ids)))
    return [[log.customer_ids[customer] for customer in pair] for pair in pairs]


ADA = [at(1), at(7.5, "asked", "How much?"), at(9, "visited")]
OTHERS = {f"other {i}": [at(i / 7), at(3 + i), at(20 + i * 1.5, "asked")] for i in range(20)}


def test_one_history_under_two_ids() -> None:
    assert twins({"ada": ADA, "bob": [at(1), at(8), at(9)], "ada again": ADA}) == [["ada", "ada again"]]


def test_a_twin_may_lack_and_have_a_few_touchpoints() -> None:
    longer = [at(hour + 0.5) for hour in range(8)]
    assert twins({"ada": longer, "eve": [*longer[:7], at(99)], **OTHERS}) == [["ada", "eve"]]
    assert twins({"ada": longer, "eve": [*longer[:5], at(97), at(98), at(99)], **OTHERS}) == []


@pytest.mark.parametrize(
    "other",
    [ADA[:2], [*ADA[:2], at(9, "asked")], [*ADA[:1], at(7.5, "asked", "How many?"), *ADA[2:]]],
    ids=["two touchpoints", "another action", "another text"],
)
def test_two_touchpoints_in_common_make_no_twins(other: list[Touchpoint]) -> None:
    assert twins({"ada": ADA, "eve": other}) == []


def test_three_touchpoints_at_one_moment_make_no_twins() -> None:
    at_once = [at(1), at(1, "asked"), at(1, "clicked")]
    assert twins({"ada": at_once, "eve": at_once}) == []


def test_what_the_company_sent_to_both_makes_no_twins() -> None:
    sent = [at(hour, "mailed", actor="company") for hour in range(5)]
    assert twins({"ada": [*sent, at(1)], "eve": [*sent, at(2)]}) == []


def test_times_rounded_to_the_day_make_no_twins() -> None:
    """Sixty customers who visit on three of ten days: many histories are equal, and nobody is another."""
    random = np.random.default_rng(0)
    days = [sorted(random.choice(10, 3, replace=False)) for _ in range(60)]
    assert len({tuple(day) for day in days}) < 50
    assert twins({f"c{i:02}": [at(24 * int(day)) for day in three] for i, three in enumerate(days)}) == []


def test_customers_not_asked_about_and_not_in_the_log_are_left_out() -> None:
    log = EventLog.from_records([("ada", ADA), ("ada again", ADA), ("ada thrice", ADA)])
    assert twin_pairs(log, np.array([0, -1, 2])).tolist() == [[0, 2]]
    assert twin_pairs(log, np.array([0, 1, 2])).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert twin_pairs(log, np.array([-1])).tolist() == []
