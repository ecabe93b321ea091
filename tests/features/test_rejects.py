from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from features.errors import BadData, BadEnvironment, BadUsage
from features.rejects import (
    REJECTS,
    check_reject_options,
    count_codes,
    reason_code,
    refuse_above_share,
    write_rejects,
)

SIX = pl.DataFrame(
    [
        ("a.csv", 1, "occurred_at_naive"),
        ("a.csv", 2, "actor_unknown;occurred_at_naive"),
        ("a.csv", 9, "occurred_at_naive;value_unreadable"),
        ("b.csv", 1, "actor_unknown"),
        ("b.csv", 2, "row_wrong_width"),
        ("b.csv", 3, "occurred_at_naive"),
    ],
    schema=REJECTS,
    orient="row",
)


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("customer_id|nullability", "customer_id_missing"),
        ("customer_id|check__has_nul", "customer_id_has_nul"),
        ("occurred_at_unread|check__naive", "occurred_at_naive"),
        ("value|inf", "value_not_finite"),
        ("value|nan", "value_not_finite"),
        ("occurred_at_missing", "occurred_at_missing"),
    ],
)
def test_reason_codes_name_the_column_and_the_fault(rule: str, code: str) -> None:
    assert reason_code(rule) == code


def test_a_row_counts_for_each_of_its_codes() -> None:
    counts = list(count_codes(SIX).items())
    assert counts == [("occurred_at_naive", 4), ("actor_unknown", 2), ("row_wrong_width", 1), ("value_unreadable", 1)]


@pytest.mark.parametrize(("rows_read", "share"), [(6, 1.0), (12, 0.5), (120, 0.05)])
def test_up_to_the_share_nothing_is_refused(rows_read: int, share: float) -> None:
    refuse_above_share(SIX, rows_read, share, None)
    with pytest.raises(BadData):
        refuse_above_share(SIX, rows_read - 1, share, None)


def test_nothing_read_is_nothing_refused() -> None:
    refuse_above_share(SIX.clear(), 0, 0.0, None)
    with pytest.raises(BadData):
        refuse_above_share(SIX.head(1), 1, 0.0, None)


def test_above_the_share_the_message_says_what_and_where() -> None:
    counts = "occurred_at_naive 4, actor_unknown 2, row_wrong_width 1, value_unreadable 1"
    for reject_file, where in ((None, "the first is row 1 of a.csv"), ("bad.csv", "see bad.csv")):
        with pytest.raises(BadData) as raised:
            refuse_above_share(SIX, 11, 0.5, reject_file)
        assert str(raised.value) == (
            f"rejected 6 of 11 rows (54.5%), expected at most 50.0%: {counts}; {where}."
            " Mend them or allow more with --max-reject-share"
        )


def test_rejects_are_written_as_csv(tmp_path: Path) -> None:
    write_rejects(SIX.head(2), tmp_path / "rejects.csv")
    assert (tmp_path / "rejects.csv").read_text() == (
        "file,row,codes\na.csv,1,occurred_at_naive\na.csv,2,actor_unknown;occurred_at_naive\n"
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "rejects.csv"]


def test_rejects_are_written_as_parquet_and_json_lines(tmp_path: Path) -> None:
    write_rejects(SIX, tmp_path / "rejects.parquet")
    write_rejects(SIX, tmp_path / "rejects.jsonl")
    assert pl.read_parquet(tmp_path / "rejects.parquet").equals(SIX)
    assert pl.read_ndjson(tmp_path / "rejects.jsonl").equals(SIX)


def test_another_ending_is_usage_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match=r"ends in '\.xlsx'; expected \.csv, \.parquet, \.jsonl, \.ndjson"):
        write_rejects(SIX, tmp_path / "rejects.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_options_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    table, link = tmp_path / "table.csv", tmp_path / "link.csv"
    table.touch()
    link.symlink_to(table)
    check_reject_options(0.0, None, [table])
    check_reject_options(1.0, tmp_path / "rejects.csv", [table])
    for share, reject_file, message in (
        (1.5, None, r"the reject share is 1\.5; expected a number from 0 to 1"),
        (float("nan"), None, "the reject share is nan"),
        (0.5, "rejects.txt", r"ends in '\.txt'"),
        (0.5, link, "is one of the files to read"),
    ):
        with pytest.raises(BadUsage, match=message):
            check_reject_options(share, reject_file, [table])


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "rejects.csv").mkdir()
    with pytest.raises(BadEnvironment, match=r"rejects\.csv cannot be written: Is a directory"):
        write_rejects(SIX, tmp_path / "rejects.csv")
    assert list(tmp_path.iterdir()) == [tmp_path / "rejects.csv"]


def test_a_folder_that_is_not_there_is_the_environment(tmp_path: Path) -> None:
    with pytest.raises(BadEnvironment, match="cannot be written"):
        write_rejects(SIX, tmp_path / "gone" / "rejects.csv")
    assert list(tmp_path.iterdir()) == []
