from __future__ import annotations

from pathlib import Path

import dataframely as dy
import polars as pl
import pytest

from features.checked_table import Row, contract_types, is_given, read_checked, unread, unread_time, word
from features.columns import UTC_US
from features.errors import BadData, BadEnvironment

CANARY = "jane@example.org"


class VisitRow(Row):
    who = word(nullable=False)
    at = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    at_unread = unread_time()
    pages = dy.Int32(nullable=True, check={"not_positive": lambda pages: pages > 0})
    pages_unread = unread()

    @dy.rule()
    def at_missing(cls) -> pl.Expr:
        return is_given("at")


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_the_contract_is_what_is_not_there_for_the_check() -> None:
    assert contract_types(VisitRow) == {"who": pl.String(), "at": UTC_US, "pages": pl.Int32()}


def test_rows_of_all_files_are_checked_and_placed(tmp_path: Path) -> None:
    first = write(tmp_path, "1.csv", "who,at,mood\na,2024-01-01T00:00:00Z,x\n,2024-01-01,y\nb\n")
    second = write(tmp_path, "2.jsonl", '{"who":"c","at":"2024-01-02T00:00Z","pages":3}\nno\n{"who":"d","pages":0.5}\n')
    table = read_checked([first, second], VisitRow, ["who", "at"], max_reject_share=1.0)
    assert table.frame["who"].to_list() == ["a", "c"]
    assert table.frame["pages"].to_list() == [None, 3]
    assert table.rejects.rows() == [
        (str(first), 2, "who_missing;at_naive"),
        (str(first), 3, "row_wrong_width"),
        (str(second), 2, "row_not_json"),
        (str(second), 3, "at_missing;pages_unreadable"),
    ]
    assert table.rows_read == 6
    assert table.ignored_columns == ("mood",)


def test_the_faults_of_all_files_are_reported_together(tmp_path: Path) -> None:
    misnamed = write(tmp_path, "1.csv", "Who,at\na,2024-01-01T00:00:00Z\n")
    unbalanced = write(tmp_path, "2.csv", 'who,at\n"a,2024-01-01T00:00:00Z\n')
    good = write(tmp_path, "3.csv", "who,at\na,2024-01-01T00:00:00Z\n")
    with pytest.raises(BadData) as raised:
        read_checked([misnamed, unbalanced, good], VisitRow, ["who", "at"])
    assert raised.value.code == "bad_files"
    assert [fault.split(":")[0] for fault in raised.value.faults] == [str(misnamed), str(unbalanced)]
    with pytest.raises(BadData) as raised:
        read_checked([unbalanced], VisitRow, ["who", "at"])
    assert raised.value.code == "quotes_unbalanced"


def test_a_reject_file_is_written_only_for_rejects(tmp_path: Path) -> None:
    table, reject_file = tmp_path / "1.csv", tmp_path / "rejects.csv"
    write(tmp_path, "1.csv", "who,at\na,2024-01-01T00:00:00Z\n")
    read_checked([table], VisitRow, ["who", "at"], 1.0, reject_file)
    assert not reject_file.exists()
    write(tmp_path, "1.csv", "who,at\na,2024-01-01\n")
    read_checked([table], VisitRow, ["who", "at"], 1.0, reject_file)
    assert reject_file.read_text() == f"file,row,codes\n{table},1,at_naive\n"


def test_a_file_that_cannot_be_opened_is_the_environment(tmp_path: Path) -> None:
    with pytest.raises(BadEnvironment):
        read_checked([tmp_path / "gone.csv"], VisitRow, ["who", "at"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("no_header.csv", f"{CANARY},2024-01-01T00:00:00Z\n{CANARY},2024-01-02T00:00:00Z\n"),
        ("unbalanced.csv", f'who,at\n"{CANARY},2024-01-01T00:00:00Z\n'),
        ("cut.csv", f"who,at\na,2024-01-01T00:00:00Z\n{CANARY}"),
        ("rows.csv", f"who,at,pages\n{CANARY},{CANARY},{CANARY}\n{CANARY}\n"),
        ("no_objects.jsonl", f'["{CANARY}"]\n'),
        ("cut.jsonl", f'{{"who":"a"}}\n{{"who":"{CANARY}'),
        ("rows.jsonl", f'{{"who":"{CANARY}","at":"{CANARY}"}}\n{CANARY}\n'),
        ("not.parquet", CANARY),
    ],
)
def test_no_error_and_no_reject_repeats_a_value(tmp_path: Path, name: str, content: str) -> None:
    reject_file = tmp_path / "rejects.csv"
    with pytest.raises(BadData) as raised:
        read_checked([write(tmp_path, name, content)], VisitRow, ["who", "at"], 0.0, reject_file)
    reported = str(raised.value) + (reject_file.read_text() if reject_file.exists() else "")
    assert CANARY not in reported
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
