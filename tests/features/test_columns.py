from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.columns import UTC_US, match_columns, read_columns
from features.errors import BadData

PATH = Path("table.csv")
KNOWN = ["customer_id", "occurred_at", "recorded_at", "text"]
REQUIRED = ["customer_id", "occurred_at"]


def read(values: list[Any], wanted: pl.DataType, found: Any = pl.String) -> list[tuple[Any, ...]]:
    return read_columns(PATH, pl.DataFrame({"x": pl.Series(values, dtype=found)}), {"x": wanted}).rows()


def at(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-01-01T10:00:00Z", at(2024, 1, 1, 10)),
        ("2024-01-01t10:00:00z", at(2024, 1, 1, 10)),
        (" 2024-01-01 10:00:00 UTC ", at(2024, 1, 1, 10)),
        ("2024-01-01T10:00Z", at(2024, 1, 1, 10)),
        ("2024-01-01 10:00 UTC", at(2024, 1, 1, 10)),
        ("2024-01-01T10:00+02:00", at(2024, 1, 1, 8)),
        ("2024-01-01T10:00:00+02:00", at(2024, 1, 1, 8)),
        ("2024-01-01 10:00:00 -0230", at(2024, 1, 1, 12, 30)),
        ("2024-01-01 10:00:00+02", at(2024, 1, 1, 8)),
        ("2024-01-01T10:00:00.5Z", at(2024, 1, 1, 10, 0, 0, 500_000)),
        ("2024-01-01T10:00:00.1234567890123Z", at(2024, 1, 1, 10, 0, 0, 123_456)),
        ("1969-12-31T23:59:59.9999999Z", at(1969, 12, 31, 23, 59, 59, 999_999)),
        ("0001-01-01T00:00:00Z", at(1, 1, 1)),
        ("9999-12-31T23:59:59.999999Z", at(9999, 12, 31, 23, 59, 59, 999_999)),
    ],
)
def test_times_with_a_zone_are_read_as_utc_microseconds(text: str, time: datetime) -> None:
    assert read([text], UTC_US) == [(time, None)]


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01T10:00:00",
        "2024-01-01",
        "20240101T100000Z",
        "2024-01-01T24:00:00Z",
        "2024-02-30T10:00:00Z",
        "2024-01-01T10:00:00+25:00",
        "2024-01-01T10:00:00−02:00",
        "\N{FULLWIDTH DIGIT TWO}024-01-01T10:00:00Z",
        "12024-01-01T10:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2024-01-01T10:00:00,5Z",
        "2024-01-01T10:00:00 CET",
        "01/02/2024 10:00:00Z",
        "1704067200",
        "now",
    ],
)
def test_times_without_a_zone_or_without_sense_are_unread(text: str) -> None:
    assert read([text], UTC_US) == [(None, text)]


@given(
    time=st.datetimes(timezones=st.just(UTC)),
    offset_hours=st.integers(-14, 14),
    separator=st.sampled_from("T "),
)
def test_every_offset_names_the_same_time(time: datetime, offset_hours: int, separator: str) -> None:
    local = pl.Series([time]).dt.offset_by(f"{offset_hours}h").dt.to_string(f"%Y-%m-%d{separator}%H:%M:%S%.6f")[0]
    text = f"{local}{offset_hours:+03d}:00"
    assert read([text], UTC_US) == [(time, None) if len(local) == 26 and local[:4] >= "0001" else (None, text)]


@pytest.mark.parametrize("unit", ["ms", "us"])
@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
def test_a_moment_beyond_the_calendar_cannot_be_read(unit: str, value: int) -> None:
    moments = pl.Series([value, None, 0]).cast(pl.Datetime(unit, "UTC"))
    rows = read_columns(PATH, pl.DataFrame({"x": moments}), {"x": UTC_US}).rows()
    assert rows == [(None, "out of range"), (None, None), (at(1970, 1, 1), None)]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_clock_times_of_any_unit_and_zone_are_read(unit: str, zone: str) -> None:
    assert read([at(2024, 1, 1, 10), None], UTC_US, pl.Datetime(unit, zone)) == [
        (at(2024, 1, 1, 10), None),
        (None, None),
    ]


def test_nanoseconds_are_cut_and_not_rounded() -> None:
    frame = pl.DataFrame({"x": pl.Series([1999, -1]).cast(pl.Datetime("ns", "UTC"))})
    assert read_columns(PATH, frame, {"x": UTC_US})["x"].to_physical().to_list() == [1, -1]


@pytest.mark.parametrize(
    ("values", "found", "wanted", "read_rows"),
    [
        (["1", " 2.5 ", "+1e3", "-.5"], pl.String, pl.Float64(), [1.0, 2.5, 1000.0, -0.5]),
        (["1,5", "abc", ""], pl.String, pl.Float64(), ["1,5", "abc", None]),
        ([1, None], pl.Int8, pl.Float64(), [1.0, None]),
        (["30", "30.0", "1e2", None], pl.String, pl.Int32(), [30, 30, 100, None]),
        (["30.5", "x", "1e10", "nan"], pl.String, pl.Int32(), ["30.5", "x", "1e10", "nan"]),
        ([30.0, 30.5, None], pl.Float32, pl.Int32(), [30, "30.5", None]),
        (["true", "False", " 1", "0"], pl.String, pl.Boolean(), [True, False, True, False]),
        (["yes", "2", "nan", ""], pl.String, pl.Boolean(), ["yes", "2", "nan", None]),
        ([1, 0, 2, None], pl.UInt8, pl.Boolean(), [True, False, "2", None]),
        ([True, False, None], pl.Boolean, pl.Boolean(), [True, False, None]),
        (["a", ""], pl.Categorical, pl.String(), ["a", None]),
        ([7, None], pl.Int64, pl.String(), ["7", None]),
        ([None], pl.Null, pl.String(), [None]),
        ([None], pl.Null, UTC_US, [None]),
        ([None], pl.Date, UTC_US, [None]),
        ([None], pl.Datetime("us"), UTC_US, [None]),
    ],
)  # fmt: skip
def test_values_are_read_and_the_unreadable_kept_apart(
    values: list[Any], found: Any, wanted: pl.DataType, read_rows: list[Any]
) -> None:
    rows = read(values, wanted, found)
    if wanted == pl.String():
        assert rows == [(value,) for value in read_rows]
    else:
        assert rows == [(None, value) if isinstance(value, str) else (value, None) for value in read_rows]


def test_an_absent_column_is_all_null() -> None:
    frame = read_columns(PATH, pl.DataFrame({"row": [1, 2]}), {"x": UTC_US, "y": pl.String()})
    assert frame.rows() == [(None, None, None)] * 2
    assert frame.schema == {"x": UTC_US, "x_unread": pl.String, "y": pl.String}


@pytest.mark.parametrize(
    ("values", "found", "wanted", "message"),
    [
        (
            [datetime(2024, 1, 1)],
            pl.Datetime("us"),
            UTC_US,
            "'x' has no time zone, expected timestamps with a time zone",
        ),
        ([date(2024, 1, 1)], pl.Date, UTC_US, "'x' has no time zone"),
        ([1704067200], pl.Int64, UTC_US, "'x' is Int64, expected timestamps with a time zone"),
        ([1.5], pl.Float64, pl.String(), "'x' is Float64, expected text or whole numbers"),
        ([b"a"], pl.Binary, pl.String(), "'x' is Binary, expected text or whole numbers"),
        ([[1]], pl.List(pl.Int64), pl.Float64(), r"'x' is List\(Int64\), expected numbers"),
        ([True], pl.Boolean, pl.Float64(), "'x' is Boolean, expected numbers"),
    ],
)
def test_a_column_of_another_type_is_refused(values: list[Any], found: Any, wanted: pl.DataType, message: str) -> None:
    with pytest.raises(BadData, match=message):
        read(values, wanted, found)


def test_columns_of_another_type_are_refused_together() -> None:
    frame = pl.DataFrame({"x": [1.5], "y": [datetime(2024, 1, 1)], "z": ["ok"]})
    with pytest.raises(BadData) as raised:
        read_columns(PATH, frame, {"x": pl.String(), "y": UTC_US, "z": pl.String()})
    assert [fault[:14] for fault in raised.value.faults] == ["table.csv: 'x'", "table.csv: 'y'"]


def test_known_columns_are_found_in_any_order() -> None:
    assert match_columns(PATH, ["text", "mood", "occurred_at", "customer_id"], KNOWN, REQUIRED) == [
        "customer_id",
        "occurred_at",
        "text",
    ]


@pytest.mark.parametrize(
    ("found", "faults"),
    [
        (["customerid", "occurred_at"], ["found 'customerid', expected 'customer_id': name the column so"]),
        (["Customer ID", "occured_at"], [
            "found 'Customer ID', expected 'customer_id': name the column so",
            "found 'occured_at', expected 'occurred_at': name the column so",
        ]),
        (["occurred_at"], ["found none, expected 'customer_id': name the column so"]),
        (["customer_id", "occurred_at", "recordedAt"], [
            "found 'recordedAt', expected 'recorded_at': name the column so",
        ]),
        (["customer_id", "customer_id", "occurred_at"], ["column 'customer_id' comes 2 times"]),
        (["jane@example.org", "2024-01-01"], [
            "found none, expected 'customer_id': name the column so",
            "found none, expected 'occurred_at': name the column so",
        ]),
    ],
)  # fmt: skip
def test_missing_repeated_and_misspelt_columns_are_refused_together(found: list[str], faults: list[str]) -> None:
    with pytest.raises(BadData) as raised:
        match_columns(PATH, found, KNOWN, REQUIRED)
    assert raised.value.code == "bad_columns"
    assert raised.value.faults == tuple(f"table.csv: {fault}" for fault in faults)
