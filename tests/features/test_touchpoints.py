from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.errors import BadData, BadUsage
from features.touchpoints import TOUCHPOINT_TYPES, Touchpoints, drop_duplicates, known_by, read_touchpoints

CSV = """customer_id,occurred_at,channel,action,event_id,recorded_at,actor,value,campaign,variant,conversation_id,text
c2,2024-01-02T11:00:00+01:00,email,opened,e1,2024-01-02T10:00:05Z,customer,,spring,B,,
c1,2024-01-01T10:00:00.123456789Z,chat,asked,e2,,,1.50,,,v1,"=1+1, she said ""hi""
and left"
10,2024-01-03 00:00:00+00:00,web,viewed,,,customer,-2,,,,
c2,2024-01-01T09:00Z,email,sent,e3,2024-02-01T00:00:00Z,company,,spring,B,,"Café, 5 €"
c1,2024-01-01T10:00:00Z,web,viewed,,,,0.0,,,,
c2,2024-01-02T11:00:00+01:00,email,opened,e1,2024-01-02T10:00:05Z,customer,,spring,B,,
"""

JSON_LINES = r"""{"customer_id":"c2","occurred_at":"2024-01-02T11:00:00+01:00","channel":"email","action":"opened","event_id":"e1","recorded_at":"2024-01-02T10:00:05Z","actor":"customer","value":null,"campaign":"spring","variant":"B"}
{"customer_id":"c1","occurred_at":"2024-01-01T10:00:00.123456789Z","channel":"chat","action":"asked","event_id":"e2","value":1.50,"conversation_id":"v1","text":"=1+1, she said \"hi\"\nand left"}
{"customer_id":10,"occurred_at":"2024-01-03 00:00:00+00:00","channel":"web","action":"viewed","actor":"customer","value":"-2"}
{"action":"sent","customer_id":"c2","occurred_at":"2024-01-01T09:00Z","channel":"email","event_id":"e3","recorded_at":"2024-02-01T00:00:00Z","actor":"company","campaign":"spring","variant":"B","text":"Caf\u00e9, 5 €"}
{"customer_id":"c1","occurred_at":"2024-01-01T10:00:00Z","channel":"web","action":"viewed","value":0.0,"text":""}
{"customer_id":"c2","occurred_at":"2024-01-02T11:00:00+01:00","channel":"email","action":"opened","event_id":"e1","recorded_at":"2024-01-02T10:00:05Z","actor":"customer","value":null,"campaign":"spring","variant":"B"}
"""  # noqa: E501


def at(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=UTC)


# The six rows' five touchpoints, in the contract's columns and order.
ASKED = (
    *("c1", at(2024, 1, 1, 10, 0, 0, 123456), "chat", "asked", "e2", None, "customer", 1.5),
    *(None, None, "v1", '=1+1, she said "hi"\nand left'),
)
SENT = (
    *("c2", at(2024, 1, 1, 9), "email", "sent", "e3", at(2024, 2, 1), "company", None),
    *("spring", "B", None, "Café, 5 €"),
)
OPENED = (
    *("c2", at(2024, 1, 2, 10), "email", "opened", "e1", at(2024, 1, 2, 10, 0, 5), "customer", None),
    *("spring", "B", None, None),
)
VIEWED_10 = ("10", at(2024, 1, 3), "web", "viewed", None, None, "customer", -2.0, None, None, None, None)
VIEWED_C1 = ("c1", at(2024, 1, 1, 10), "web", "viewed", None, None, "customer", 0.0, None, None, None, None)
TOUCHPOINTS = [VIEWED_10, VIEWED_C1, ASKED, SENT, OPENED]
SIX = pl.DataFrame([OPENED, ASKED, VIEWED_10, SENT, VIEWED_C1, OPENED], schema=TOUCHPOINT_TYPES, orient="row")

HEADER = "customer_id,occurred_at,channel,action,event_id,recorded_at,actor,value"
GOOD = "c1,2024-01-01T00:00:00Z,web,viewed,,,,"


def write_csv(folder: Path) -> Path:
    path = folder / "six.csv"
    path.write_text(CSV, encoding="utf-8")
    return path


def write_excel_csv(folder: Path) -> Path:
    """With a byte order mark and CRLF, as spreadsheets write it; the newline inside the quotes stays as it is."""
    rows = CSV.replace('"hi""\nand', '"hi""\0and').replace("\n", "\r\n").replace("\0", "\n")
    path = folder / "six_excel.csv"
    path.write_bytes(b"\xef\xbb\xbf" + rows.encode())
    return path


def write_json_lines(folder: Path) -> Path:
    path = folder / "six.jsonl"
    path.write_text(JSON_LINES, encoding="utf-8")
    return path


def write_parquet(folder: Path) -> Path:
    path = folder / "six.parquet"
    SIX.select(reversed(SIX.columns)).write_parquet(path)
    return path


def write_foreign_parquet(folder: Path) -> Path:
    """As other programs type it: nanoseconds, another zone, dictionaries, the actor absent where it is the customer."""
    path = folder / "six_foreign.parquet"
    berlin = pl.col("occurred_at", "recorded_at").cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone("Europe/Berlin")
    actor = pl.col("actor").replace({"customer": None}).cast(pl.Categorical)
    SIX.with_columns(berlin, actor, pl.col("value").cast(pl.Decimal(10, 2))).write_parquet(path)
    return path


def write_folder(folder: Path) -> Path:
    parts = folder / "parts"
    parts.mkdir()
    SIX.head(2).write_parquet(parts / "part-1.parquet")
    SIX.tail(4).write_parquet(parts / "part-0.parquet")
    (parts / "_SUCCESS").touch()
    return parts


@pytest.mark.parametrize(
    "write", [write_csv, write_excel_csv, write_json_lines, write_parquet, write_foreign_parquet, write_folder]
)
def test_six_rows_are_the_same_five_touchpoints_in_every_format(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    read = read_touchpoints(write(tmp_path))
    assert read.frame.rows() == TOUCHPOINTS
    assert read.frame.schema == TOUCHPOINT_TYPES
    assert (read.rows_read, read.duplicates_dropped, read.rejects.height) == (6, 1, 0)
    assert read.ignored_columns == ()


def test_the_contract_has_these_columns_and_types() -> None:
    time = pl.Datetime("us", "UTC")
    assert dict(TOUCHPOINT_TYPES) == {
        "customer_id": pl.String,
        "occurred_at": time,
        "channel": pl.String,
        "action": pl.String,
        "event_id": pl.String,
        "recorded_at": time,
        "actor": pl.String,
        "value": pl.Float64,
        "campaign": pl.String,
        "variant": pl.String,
        "conversation_id": pl.String,
        "text": pl.String,
    }


def test_several_sources_and_a_glob_are_read_together(tmp_path: Path) -> None:
    write_csv(tmp_path)
    write_parquet(tmp_path)
    glob, both = tmp_path / "six.*", [tmp_path / "six.csv", tmp_path / "six.parquet"]
    for source in (str(glob), glob, both, [*both, glob]):
        read = read_touchpoints(source)
        assert read.frame.rows() == TOUCHPOINTS
        assert (read.rows_read, read.duplicates_dropped) == (12, 7)


def read_csv_rows(folder: Path, *rows: str, max_reject_share: float = 1.0) -> Touchpoints:
    path = folder / "touchpoints.csv"
    path.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
    return read_touchpoints(path, max_reject_share)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (",2024-01-01T00:00:00Z,web,viewed,,,,", "customer_id_missing"),
        ('"",2024-01-01T00:00:00Z,web,viewed,,,,', "customer_id_missing"),
        ("c\0,2024-01-01T00:00:00Z,web,viewed,,,,", "customer_id_has_nul"),
        ("c1,,web,viewed,,,,", "occurred_at_missing"),
        ("c1,2024-01-01T00:00:00,web,viewed,,,,", "occurred_at_naive"),
        ("c1,2024-01-01,web,viewed,,,,", "occurred_at_naive"),
        ("c1,yesterday,web,viewed,,,,", "occurred_at_unreadable"),
        ("c1,2024-02-30T00:00:00Z,web,viewed,,,,", "occurred_at_unreadable"),
        ("c1,1704067200,web,viewed,,,,", "occurred_at_unreadable"),
        ("c1,2024-01-01T00:00:00Z,,viewed,,,,", "channel_missing"),
        ("c1,2024-01-01T00:00:00Z,web,,,,,", "action_missing"),
        ("c1,2024-01-01T00:00:00Z,web,viewed,e\0,,,", "event_id_has_nul"),
        ("c1,2024-01-01T00:00:00Z,web,viewed,,2024-01-01 00:00,,", "recorded_at_naive"),
        ("c1,2024-01-01T00:00:00Z,web,viewed,,soon,,", "recorded_at_unreadable"),
        ("c1,2024-01-01T00:00:00Z,web,viewed,,,robot,", "actor_unknown"),
        ("c1,2024-01-01T00:00:00Z,web,viewed,,,,abc", "value_unreadable"),
        ("c1,2024-01-01T00:00:00Z,web,viewed,,,,nan", "value_not_finite"),
        ("c1,2024-01-01T00:00:00Z,web,viewed,,,,1e999", "value_not_finite"),
        ("c1,2024-01-01T00:00:00Z,web", "row_wrong_width"),
        ("c1,2024-01-01T00:00:00Z,web,viewed,,,,,", "row_wrong_width"),
    ],
)
def test_each_bad_row_is_rejected_with_its_code(tmp_path: Path, row: str, code: str) -> None:
    read = read_csv_rows(tmp_path, GOOD, row)
    assert read.frame["customer_id"].to_list() == ["c1"]
    assert read.rejects.rows() == [(str(tmp_path / "touchpoints.csv"), 2, code)]
    assert read.rows_read == 2


def test_all_faults_of_all_rows_are_reported_together(tmp_path: Path) -> None:
    read = read_csv_rows(
        tmp_path, ",now,,,,later,robot,many", GOOD, "c1,2024-01-01T00:00:00Z,web", ",,web,viewed,,,,inf"
    )
    assert read.rejects["row"].to_list() == [1, 3, 4]
    assert read.rejects["codes"].to_list() == [
        "customer_id_missing;occurred_at_unreadable;channel_missing;action_missing;recorded_at_unreadable"
        ";actor_unknown;value_unreadable",
        "row_wrong_width",
        "occurred_at_missing;customer_id_missing;value_not_finite",
    ]


def test_recorded_before_it_occurred_is_allowed(tmp_path: Path) -> None:
    read = read_csv_rows(tmp_path, "c1,2024-01-02T00:00:00Z,web,viewed,,2024-01-01T00:00:00Z,,")
    assert read.frame["recorded_at"].to_list() == [at(2024, 1, 1)]


def test_up_to_one_row_in_twenty_may_be_bad(tmp_path: Path) -> None:
    good = [f"c{n},2024-01-01T00:00:00Z,web,viewed,,,," for n in range(19)]
    path = tmp_path / "touchpoints.csv"
    path.write_text("\n".join([HEADER, *good, "bad", ""]))
    assert read_touchpoints(path).frame.height == 19
    path.write_text("\n".join([HEADER, *good[1:], "bad", ""]))
    with pytest.raises(BadData, match=r"rejected 1 of 19 rows \(5\.3%\), expected at most 5\.0%: row_wrong_width 1"):
        read_touchpoints(path)


def test_above_the_share_the_counts_and_the_reject_file_are_named(tmp_path: Path) -> None:
    path, reject_file = tmp_path / "touchpoints.csv", tmp_path / "rejects.csv"
    path.write_text("\n".join([HEADER, "c1,2024-01-01,web,,,,,", GOOD, "c1,2024-01-01,web,viewed,,,,", ""]))
    with pytest.raises(BadData) as raised:
        read_touchpoints(path, 0.5, reject_file)
    assert raised.value.code == "too_many_rejects"
    assert "2 of 3 rows" in str(raised.value)
    assert f"occurred_at_naive 2, action_missing 1; see {reject_file}" in str(raised.value)
    assert reject_file.read_text() == (
        f"file,row,codes\n{path},1,occurred_at_naive;action_missing\n{path},3,occurred_at_naive\n"
    )


def test_a_header_alone_is_no_touchpoints(tmp_path: Path) -> None:
    read = read_csv_rows(tmp_path, max_reject_share=0.0)
    assert read.frame.rows() == []
    assert read.frame.schema == TOUCHPOINT_TYPES
    assert read.rows_read == 0


def test_columns_outside_the_contract_are_ignored_and_named(tmp_path: Path) -> None:
    path = tmp_path / "touchpoints.csv"
    path.write_text("mood,action,channel,occurred_at,customer_id,mood\n1,viewed,web,2024-01-01T00:00:00Z,c1,2\n")
    read = read_touchpoints(path)
    assert read.ignored_columns == ("mood",)
    assert read.frame.rows() == [("c1", at(2024, 1, 1), "web", "viewed", *[None] * 2, "customer", *[None] * 5)]


def test_a_source_that_is_not_there_is_usage(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match=r"nothing\.csv is not there"):
        read_touchpoints(tmp_path / "nothing.csv")


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_0_to_1_is_usage(tmp_path: Path, share: float) -> None:
    with pytest.raises(BadUsage, match="expected a number from 0 to 1"):
        read_touchpoints(write_csv(tmp_path), share)


# Duplicates


def touchpoint(event_id: str | None, occurred_day: int, recorded_day: int | None, text: str | None) -> tuple[Any, ...]:
    recorded_at = None if recorded_day is None else at(2024, 1, recorded_day)
    words = (None, None, None, text)
    return ("c1", at(2024, 1, occurred_day), "web", "viewed", event_id, recorded_at, "customer", None, *words)


def frame_of(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TOUCHPOINT_TYPES, orient="row")


def test_of_one_event_the_version_known_first_stays() -> None:
    corrected = touchpoint("e1", 1, 9, "corrected later")
    original = touchpoint("e1", 2, 3, "as first known")
    unrecorded = touchpoint("e2", 5, None, "known when it occurred")
    recorded = touchpoint("e2", 4, 6, "known a day later")
    kept = drop_duplicates(frame_of([corrected, recorded, unrecorded, original]))
    assert kept.rows() == [original, unrecorded]


def test_nothing_is_known_before_it_occurs() -> None:
    announced = touchpoint("e1", 5, 1, "known on day 5, whatever the record says")
    happened = touchpoint("e1", 3, 4, "known on day 4")
    assert drop_duplicates(frame_of([announced, happened])).rows() == [happened]


def test_of_versions_known_at_the_same_time_the_first_in_the_order_stays() -> None:
    rows = [touchpoint("e1", 2, 3, "b"), touchpoint("e1", 2, 3, "a"), touchpoint("e1", 3, None, None)]
    for order in (rows, rows[::-1]):
        assert drop_duplicates(frame_of(order)).rows() == [rows[1]]


def test_without_an_event_id_only_equal_rows_are_duplicates() -> None:
    one, other = touchpoint(None, 1, None, "a"), touchpoint(None, 1, None, "b")
    assert drop_duplicates(frame_of([one, other, one])).rows() == [one, other]


def test_one_event_id_of_two_customers_is_two_touchpoints() -> None:
    one = touchpoint("e1", 1, None, "a")
    other = ("c2", *one[1:])
    assert drop_duplicates(frame_of([other, one])).rows() == [one, other]


def test_zero_has_no_sign() -> None:
    zero, minus_zero = (
        ("c1", at(2024, 1, 1), "web", "viewed", None, None, "customer", v, *[None] * 4) for v in (0.0, -0.0)
    )
    kept = drop_duplicates(frame_of([minus_zero, zero]))
    assert str(kept["value"].to_list()) == "[0.0]"


MAYBE_WORD = st.sampled_from([None, "a", "B", "é", "ﬀ", "😀"])  # UTF-16 orders the last two otherwise
MAYBE_TIME = st.none() | st.integers(0, 2).map(lambda days: at(2024, 1, 1) + timedelta(days=days))
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["c1", "c10", "c2", "é"]),
        MAYBE_TIME.filter(bool),
        st.sampled_from(["web", "email"]),
        st.sampled_from(["viewed", "asked"]),
        st.sampled_from([None, "e1", "e2"]),
        MAYBE_TIME,
        st.sampled_from(["customer", "company"]),
        st.sampled_from([None, -1.5, -0.0, 0.0, 2.0]),
        *[MAYBE_WORD] * 4,
    ),
    max_size=12,
)


def python_order(row: tuple[Any, ...]) -> list[tuple[bool, Any]]:
    return [(column is not None, column) for column in (*row[:4], *row[5:], row[4])]  # event_id last


@given(rows=ROWS)
def test_the_order_is_that_of_python_with_nulls_first(rows: list[tuple[Any, ...]]) -> None:
    kept = drop_duplicates(frame_of(rows)).rows()
    assert kept == sorted(kept, key=python_order)
    assert len(kept) == len(set(kept))


@given(rows=ROWS, seed=st.integers(0, 1000))
def test_neither_the_order_of_rows_nor_repeating_them_matters(rows: list[tuple[Any, ...]], seed: int) -> None:
    shuffler = random.Random(seed)
    repeated = rows + shuffler.choices(rows, k=5) if rows else rows
    shuffler.shuffle(repeated)
    assert_frame_equal(drop_duplicates(frame_of(repeated)), drop_duplicates(frame_of(rows)))


@given(rows=ROWS)
def test_dropping_duplicates_twice_changes_nothing(rows: list[tuple[Any, ...]]) -> None:
    once = drop_duplicates(frame_of(rows))
    assert_frame_equal(drop_duplicates(once), once)


@given(rows=ROWS)
def test_each_event_known_stays_once(rows: list[tuple[Any, ...]]) -> None:
    kept = drop_duplicates(frame_of(rows)).rows()
    with_id = [(row[0], row[4]) for row in kept if row[4] is not None]
    assert sorted(with_id) == sorted({(row[0], row[4]) for row in rows if row[4] is not None})


# Real data


@pytest.mark.parametrize(
    ("name", "count"),
    [("bank_loans", 214_377), ("donations", 12_376), ("pizza_requests", 32_985), ("airline_voices", 14_532)],
)
def test_real_touchpoints_keep_the_contract(real_data: Path, name: str, count: int) -> None:
    read = read_touchpoints(real_data / name / "touchpoints.parquet", max_reject_share=0.0)
    assert read.frame.height == count
    assert read.rows_read == count


def test_real_touchpoints_survive_csv_and_json_lines(real_data: Path, tmp_path: Path) -> None:
    read = read_touchpoints(real_data / "donations" / "touchpoints.parquet")
    text = read.frame.with_columns(pl.col("occurred_at", "recorded_at").dt.to_string("iso:strict"))
    text.write_csv(tmp_path / "donations.csv")
    text.write_ndjson(tmp_path / "donations.jsonl")
    for name in ("donations.csv", "donations.jsonl"):
        assert_frame_equal(read_touchpoints(tmp_path / name).frame, read.frame)


def test_known_by_cuts_on_the_later_of_both_times_inclusive() -> None:
    at = datetime(2024, 6, 1, tzinfo=UTC)
    late = timedelta(microseconds=1)
    rows = [
        ("on time", at, None),
        ("late", at - late, at + late),
        ("told at once", at - late, at),
        ("planned", at + late, None),
    ]
    frame = pl.DataFrame(
        [
            {
                "customer_id": name,
                "occurred_at": occurred_at,
                "recorded_at": recorded_at,
                "channel": "web",
                "action": "x",
            }
            for name, occurred_at, recorded_at in rows
        ],
        schema=TOUCHPOINT_TYPES,
    )

    assert known_by(frame, at)["customer_id"].to_list() == ["on time", "told at once"]
