"""The calendar grid and who is on it: moments read off a calendar, and the edges of having been seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import BadData
from features.event_log import EventLog, from_us, to_us
from features.journey import DEFAULT_JOURNEY, Journey
from features.touchpoints import TOUCHPOINT_TYPES, drop_duplicates
from training.settings import Snapshots
from training.snapshots import calendar_grid, choose_snapshots, snapshots

ONE_US = timedelta(microseconds=1)
YEAR = timedelta(days=365)
MIDNIGHT = datetime(2024, 6, 1, tzinfo=UTC)

moments = st.datetimes(datetime(2015, 1, 1), datetime(2024, 12, 31), timezones=st.just(UTC))


def day(month: int, number: int, hour: int = 0, year: int = 2024) -> datetime:
    return datetime(year, month, number, hour, tzinfo=UTC)


def log_of(*seen: tuple[str, datetime] | tuple[str, datetime, datetime]) -> EventLog:
    rows = [
        {
            "customer_id": customer_id,
            "occurred_at": occurred_at,
            "channel": "web",
            "action": "visited",
            "recorded_at": recorded_at[0] if recorded_at else None,
            "actor": "customer",
        }
        for customer_id, occurred_at, *recorded_at in seen
    ]
    return EventLog.from_frame(drop_duplicates(pl.DataFrame(rows, schema=TOUCHPOINT_TYPES)))


def grid(*moments: datetime) -> list[datetime]:
    return [from_us(moment_us) for moment_us in calendar_grid(log_of(*(("ada", moment) for moment in moments)))]


def asked(log: EventLog, moments: Sequence[datetime]) -> list[tuple[str, datetime]]:
    customer, as_of_us = snapshots(log, np.array([to_us(moment) for moment in moments], dtype=np.int64))
    return [(log.customer_ids[c], from_us(moment_us)) for c, moment_us in zip(customer, as_of_us, strict=True)]


def test_half_a_year_is_asked_by_the_month() -> None:
    assert grid(day(1, 15, 13), day(7, 20)) == [day(month, 1) for month in (2, 3, 4, 5, 6, 7)]


def test_months_go_on_over_the_year_and_its_leap_day() -> None:
    assert grid(day(10, 31, year=2023), day(4, 1)) == [
        day(11, 1, year=2023),
        day(12, 1, year=2023),
        *(day(month, 1) for month in (1, 2, 3, 4)),
    ]


def test_less_than_six_month_starts_are_asked_by_the_week() -> None:
    weeks = grid(day(1, 15, 13), day(6, 30))

    assert (weeks[0], weeks[-1], len(weeks)) == (day(1, 22), day(6, 24), 23)
    assert {moment.weekday() for moment in weeks} == {0}


def test_six_mondays_are_weeks_and_five_are_days() -> None:
    assert grid(day(1, 3), day(2, 12)) == [day(1, 8), day(1, 15), day(1, 22), day(1, 29), day(2, 5), day(2, 12)]
    days = grid(day(1, 3), day(2, 12) - ONE_US)
    assert (days[0], days[-1], len(days)) == (day(1, 4), day(2, 11), 39)


def test_a_few_days_are_asked_by_the_day() -> None:
    assert grid(day(1, 3, 10), day(1, 6, 10)) == [day(1, 4), day(1, 5), day(1, 6)]


def test_a_moment_must_lie_after_the_first_touchpoint_and_not_after_the_last() -> None:
    assert grid(day(1, 3), day(1, 5)) == [day(1, 4), day(1, 5)]
    assert grid(day(1, 3), day(1, 5) - ONE_US) == [day(1, 4)]
    assert grid(day(1, 4) - ONE_US, day(1, 4)) == [day(1, 4)]


def test_of_a_long_record_the_last_ten_years_are_asked() -> None:
    months = grid(day(1, 1, year=1970), day(6, 30))

    assert (months[0], months[-1], len(months)) == (day(7, 1, year=2014), day(6, 1), 120)


def test_a_date_at_the_end_of_time_is_no_error() -> None:
    months = grid(day(1, 1), day(12, 31, year=9999))

    assert (months[0], months[-1], len(months)) == (day(1, 1, year=9990), day(12, 1, year=9999), 120)


@pytest.mark.parametrize("seen", [[], [day(1, 3, 10)], [day(1, 3), day(1, 3, 23)]])
def test_a_record_within_a_day_has_no_moment(seen: list[datetime]) -> None:
    found = calendar_grid(log_of(*(("ada", moment) for moment in seen)))

    assert (found.shape, found.dtype) == ((0,), np.int64)


def test_the_record_goes_on_until_the_last_was_known() -> None:
    late = log_of(("ada", day(1, 3)), ("ada", day(1, 4, 6), day(1, 6, 6)))

    assert [from_us(moment_us) for moment_us in calendar_grid(late)] == [day(1, 4), day(1, 5), day(1, 6)]


@given(st.lists(moments, min_size=1, max_size=4))
def test_any_grid_rises_through_the_record_from_midnight_to_midnight(seen: list[datetime]) -> None:
    found = grid(*seen)

    assert found == sorted(set(found))
    assert all(min(seen) < moment <= max(seen) for moment in found)
    assert all(moment.time() == day(1, 1).time() for moment in found)


def test_rows_come_by_customer_and_time() -> None:
    log = log_of(("bob", day(1, 1)), ("ada", day(2, 2)), ("cyd", day(9, 9)))

    assert asked(log, [day(1, 5), day(2, 5), day(3, 5)]) == [
        ("ada", day(2, 5)),
        ("ada", day(3, 5)),
        ("bob", day(1, 5)),
        ("bob", day(2, 5)),
        ("bob", day(3, 5)),
    ]


@pytest.mark.parametrize(
    ("seen", "is_asked"),
    [
        (MIDNIGHT, True),
        (MIDNIGHT + ONE_US, False),
        (MIDNIGHT - YEAR, False),
        (MIDNIGHT - YEAR + ONE_US, True),
    ],
)
def test_who_was_seen_within_a_year_is_asked(seen: datetime, is_asked: bool) -> None:
    assert asked(log_of(("ada", seen)), [MIDNIGHT]) == ([("ada", MIDNIGHT)] if is_asked else [])


def test_who_is_known_of_later_is_asked_later() -> None:
    log = log_of(("ada", MIDNIGHT - timedelta(days=9), MIDNIGHT + timedelta(days=9)))

    assert asked(log, [MIDNIGHT, MIDNIGHT + timedelta(days=10)]) == [("ada", MIDNIGHT + timedelta(days=10))]


def test_who_comes_back_is_asked_again() -> None:
    log = log_of(("ada", day(1, 1, year=2022)), ("ada", day(1, 1)))
    summers = [day(7, 1, year=year) for year in (2022, 2023, 2024, 2025)]

    assert asked(log, summers) == [("ada", summers[0]), ("ada", summers[2])]


def test_without_moments_or_customers_there_are_no_rows() -> None:
    assert asked(log_of(("ada", MIDNIGHT)), []) == []
    assert asked(log_of(), [MIDNIGHT]) == []


# Chosen moments and cohorts


def chosen(log: EventLog, **asked: object) -> tuple[list[tuple[str, str]], dict[str, int]]:
    journey = Journey.from_dict({"name": "buying", "stages": ["new", "old"], "conversion": {"actions": ["visited"]}})
    customer, as_of_us, left_out = choose_snapshots(log, journey, Snapshots.model_validate(asked))
    rows = zip(customer, as_of_us, strict=True)
    return [(log.customer_ids[c], f"{from_us(moment_us):%m-%d %H}") for c, moment_us in rows], left_out


SIX = log_of(
    ("ada", day(1, 2, 10)),
    ("ada", day(1, 3, 9)),
    ("ada", day(1, 4, 9), day(1, 5, 8)),
    ("bob", day(1, 4)),
    ("bob", day(1, 4, 1)),
    ("cyd", day(1, 5, 12)),
)


def test_a_grid_that_is_asked_for_is_taken_even_where_it_is_short() -> None:
    assert chosen(SIX, every="day") == ([
        ("ada", "01-03 00"), ("ada", "01-04 00"), ("ada", "01-05 00"), ("bob", "01-04 00"), ("bob", "01-05 00"),
    ], {})  # fmt: skip
    assert chosen(SIX, every="week")[0] == []
    whole_year = log_of(("ada", day(1, 15)), ("ada", day(12, 15)))
    assert [moment for _, moment in chosen(whole_year, every="month")[0]] == [f"{m:02}-01 00" for m in range(2, 13)]


def test_events_are_moments_at_which_one_became_known() -> None:
    assert chosen(SIX, every="event", actions=["visited"])[0] == [
        ("ada", "01-02 10"), ("ada", "01-03 09"), ("ada", "01-05 08"), ("bob", "01-04 00"), ("bob", "01-04 01"),
        ("cyd", "01-05 12"),
    ]  # fmt: skip
    with pytest.raises(BadData, match=r"no touchpoint has the action visit of \[snapshots\]; did you mean visited"):
        chosen(SIX, every="event", actions=["visit"])


def test_a_cohort_is_narrowed_and_what_is_left_out_is_counted_once() -> None:
    assert chosen(SIX, every="day", seen_within_days=1)[0] == [
        ("ada", "01-03 00"), ("ada", "01-04 00"), ("bob", "01-04 00"), ("bob", "01-05 00"),
    ]  # fmt: skip
    assert chosen(SIX, every="day", known_for_days=1, at_least_touchpoints=2) == (
        [("ada", "01-04 00"), ("ada", "01-05 00"), ("bob", "01-05 00")],
        {"snapshots of customers known for less than 1 days": 2},
    )
    assert chosen(SIX, every="day", at_least_touchpoints=2) == (
        [("ada", "01-04 00"), ("ada", "01-05 00"), ("bob", "01-05 00")],
        {"snapshots of customers with fewer than 2 touchpoints": 2},
    )
    assert chosen(SIX, every="day", not_yet_converted=True) == ([], {"snapshots of customers who had converted": 5})


def test_by_default_the_rows_are_those_of_the_grid() -> None:
    rows = snapshots(SIX, calendar_grid(SIX))
    customer, as_of_us, left_out = choose_snapshots(SIX, DEFAULT_JOURNEY)
    assert (customer.tolist(), as_of_us.tolist(), left_out) == (rows[0].tolist(), rows[1].tolist(), {})
