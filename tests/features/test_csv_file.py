from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from features import csv_file
from features.csv_file import csv_column_names, read_csv
from features.errors import BadData
from features.raw_table import RawTable


def joined(batches: Iterable[RawTable]) -> RawTable:
    tables = list(batches)
    frame, broken = (pl.concat([getattr(table, part) for table in tables]) for part in ("frame", "broken"))
    return RawTable(frame, broken, tables[0].ignored_columns)


def read(folder: Path, content: bytes) -> RawTable:
    path = folder / "table.csv"
    path.write_bytes(content)
    return joined(read_csv(path, list))


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"a,b\n1,2\n3,4\n", [("1", "2", 1), ("3", "4", 2)]),
        (b"a,b\n1,2\n3,4", [("1", "2", 1), ("3", "4", 2)]),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n3,4\r\n", [("1", "2", 1), ("3", "4", 2)]),
        (b'\xef\xbb\xbf"a","b"\n1,2\n', [("1", "2", 1)]),
        (b'a,b\n"x\ny, ""z""",2\n3,4\n', [('x\ny, "z"', "2", 1), ("3", "4", 2)]),
        (b"a,b\n\n1,2\n\n3,4\n\n", [("1", "2", 1), ("3", "4", 2)]),
        (b"a,b\r\n\r\n1,2\r\n", [("1", "2", 1)]),
        (b"\n\na,b\n1,2\n", [("1", "2", 1)]),
        (b"a,b\n=1+1,x\0y\n", [("=1+1", "x\0y", 1)]),
        (b"a,b\nNULL,#2\n", [("NULL", "#2", 1)]),
        (b"a,b\n", []),
        (b"a,b", []),
    ],
)
def test_every_spelling_of_rfc_4180_is_read(tmp_path: Path, content: bytes, rows: list[tuple[str, str, int]]) -> None:
    table = read(tmp_path, content)
    assert table.frame.rows() == rows
    assert table.broken.rows() == []


def test_rows_of_a_wrong_width_are_broken_and_counted(tmp_path: Path) -> None:
    table = read(tmp_path, b'a,b\n1,2\n1\n\n"x\ny",4,5\n6,7\n')
    assert table.frame.rows() == [("1", "2", 1), ("6", "7", 4)]
    assert table.broken.rows() == [(2, "row_wrong_width"), (3, "row_wrong_width")]


def test_only_chosen_columns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"a,b,a,c\n1,2,3,4\n")
    table = joined(read_csv(path, lambda names: ["c", "b"] if names == ["a", "b", "a", "c"] else []))
    assert table.frame.columns == ["c", "b", "row"]
    assert table.frame.rows() == [("4", "2", 1)]
    assert table.ignored_columns == ("a", "a")


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"", "file_empty", "empty"),
        (b"\n\n", "header_missing", "no header"),
        (b"a,b\r1,2\r3,4\r", "header_unreadable", "lines ending in LF or CRLF"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "quotes_unbalanced", "at line 3 "),
        (b'a,b\n1,"2\n3,"4"\n', "quotes_unbalanced", "at line 3 "),
        (b'a,b\n1,2"\n3,4\n', "quotes_unbalanced", "at line 2 "),
        (b'a,b\n1,"2"x\n3,4\n', "quotes_unbalanced", "at line 2 "),
        (b'a,b\n1,5" disk\n3,6" disk\n', "quotes_unbalanced", "at line 2 "),
        (b'a,"b\n1,2\n', "quotes_unbalanced", "at line 1 "),
        (b"a;b\n1;2\n", "wrong_separator", "separated by semicolons; export it with commas"),
        (b"a\tb\n1\t2\n", "wrong_separator", "separated by tabs"),
        (b"a,b\n1,2\n1,caf\xe9\n", "file_not_utf8", "at line 3;"),
        (b"a,b\n1,2\n3", "file_cut_off", "in the middle of row 2"),
        ("a,b\n1,2\n".encode("utf-16"), "file_not_utf8", "UTF-16"),
        (b"\x1f\x8b\x08\x00", "file_compressed", "decompress"),
    ],
)
def test_a_file_without_trustworthy_rows_is_refused(tmp_path: Path, content: bytes, code: str, message: str) -> None:
    with pytest.raises(BadData, match=message) as raised:
        read(tmp_path, content)
    assert raised.value.code == code


def test_rows_that_do_not_line_up_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "_fields", lambda *_: pl.DataFrame({"a": ["1"]}))
    with pytest.raises(BadData, match="cannot be told apart"):
        read(tmp_path, b"a\n1\n2\n")


def test_column_names_are_those_of_the_header(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b'\xef\xbb\xbfa,"b ""of"" \nc",a\r\n1,2,3\r\n')
    assert csv_column_names(path) == ["a", 'b "of" \nc', "a"]


def test_a_cell_of_ten_megabytes_is_read(tmp_path: Path) -> None:
    table = read(tmp_path, b'a,b\n1,"' + b"x\n," * 3_500_000 + b'"\n3,4\n')
    assert table.frame["b"].str.len_bytes().to_list() == [10_500_000, 1]


FIELDS = st.text(st.sampled_from('a"é,\n\r 😀=#'), max_size=4)
TABLES = st.lists(st.tuples(FIELDS, FIELDS, FIELDS), max_size=6)


@given(table=TABLES, newline=st.sampled_from(["\n", "\r\n"]), chunk_bytes=st.integers(1, 9), quote_all=st.booleans())
def test_what_python_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[tuple[str, str, str]],
    newline: str,
    chunk_bytes: int,
    quote_all: bool,
) -> None:
    assume(
        quote_all or not any("\r" in field for row in table for field in row)
    )  # Python 3.11 leaves a lone CR unquoted
    text = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    csv.writer(text, lineterminator=newline, quoting=quoting).writerows([("x", "y", "z"), *table])
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    path.write_bytes(text.getvalue().encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_file, "CHUNK_BYTES", chunk_bytes)
        frame = joined(read_csv(path, list)).frame
    assert [tuple(field or "" for field in row) for row in frame.drop("row").rows()] == table
    assert frame["row"].to_list() == list(range(1, len(table) + 1))
