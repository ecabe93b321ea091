from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import json_lines_file
from features.errors import BadData
from features.json_lines_file import json_lines_column_names, read_json_lines
from features.raw_table import RawTable


def joined(batches: Iterable[RawTable]) -> RawTable:
    tables = list(batches)
    frame, broken = (pl.concat([getattr(table, part) for table in tables]) for part in ("frame", "broken"))
    return RawTable(frame, broken, tables[0].ignored_columns)


def read(folder: Path, content: bytes) -> RawTable:
    path = folder / "table.jsonl"
    path.write_bytes(content)
    return joined(read_json_lines(path, lambda names: [name for name in ("a", "b") if name in names]))


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b'{"a":"1","b":"2"}\n{"b":"4","a":"3"}\n', [(1, "1", "2"), (2, "3", "4")]),
        (b'{"a":1,"b":-2.5}\n{"a":9007199254740993,"b":true}', [(1, "1", "-2.5"), (2, "9007199254740993", "true")]),
        (b'\xef\xbb\xbf{"a":"1","b":null}\r\n{"a":"3"}\r\n', [(1, "1", None), (2, "3", None)]),
        (b'\n{"a":"1","b":"x\\ny"}\n  \n{"a":"3"}\n\n', [(1, "1", "x\ny"), (2, "3", None)]),
        (b'{"a":"\\u00e9","b":"=1"}\n', [(1, "é", "=1")]),
        (b'{"c":"1","b":"2"}\n{"a":"3"}\n', [(1, None, "2"), (2, "3", None)]),
    ],
)
def test_objects_are_read_as_text(tmp_path: Path, content: bytes, rows: list[tuple[int, str, str]]) -> None:
    table = read(tmp_path, content)
    assert table.frame.rows() == rows
    assert table.broken.rows() == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense", "row_not_json"),
        (b'{"a":1', "row_not_json"),
        (b'{"a":1} {"a":2}', "row_not_json"),
        (b'{"a":NaN}', "row_not_json"),
        (b'{"a":1e999}', "row_not_json"),
        (b'{"a":"\\udc00"}', "row_not_json"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "row_not_json"),
        (b'{"a":' + b"9" * 5_000 + b"}", "row_not_json"),
        (b"[1, 2]", "row_not_object"),
        (b'"a"', "row_not_object"),
        (b"null", "row_not_object"),
    ],
)
def test_a_line_without_an_object_is_broken(tmp_path: Path, line: bytes, code: str) -> None:
    table = read(tmp_path, b'{"a":"1","b":"2"}\n\n' + line + b'\n{"a":"3"}\n')
    assert table.frame.select("a", "b", "row").rows() == [("1", "2", 1), ("3", None, 3)]
    assert table.broken.rows() == [(2, code)]


def test_an_emoji_cut_in_half_cannot_pass_for_text(tmp_path: Path) -> None:
    for other_line, rows in ((b'{"a":"3"}\n', [("\0", "2", 1), ("3", None, 2)]), (b"nonsense\n", [("\0", "2", 1)])):
        table = read(tmp_path, b'{"a":"\\ud83d","b":"2"}\n' + other_line)
        assert table.frame.select("a", "b", "row").rows() == rows


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"", "file_empty", "empty"),
        (b'[{"a":1},\n{"a":2}]\n', "no_json_objects", "one object a line"),
        (b'{"a":"1"}\n{"a":"2', "file_cut_off", "in the middle of row 2"),
        (b'{"a":"1"}\n{"a":"\xe9"}\n', "file_not_utf8", "at line 2;"),
        (b"PK\x03\x04", "file_compressed", "decompress"),
    ],
)
def test_a_file_without_trustworthy_rows_is_refused(tmp_path: Path, content: bytes, code: str, message: str) -> None:
    with pytest.raises(BadData, match=message) as raised:
        read(tmp_path, content)
    assert raised.value.code == code


def test_column_names_are_all_keys_in_the_order_met(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"b":1}\nnonsense\n{"a":2,"b":{"c":3}}\n')
    assert json_lines_column_names(path) == ["b", "a"]


LINES = st.one_of(
    st.fixed_dictionaries({"a": st.text(max_size=3)}).map(lambda row: json.dumps(row, ensure_ascii=False)),
    st.sampled_from(["", " ", "[]", "1", "x", '{"a":1e999}']),
)


@given(lines=st.lists(LINES, max_size=40), block_lines=st.integers(1, 9), chunk_bytes=st.integers(1, 99))
def test_every_line_is_read_or_broken(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], block_lines: int, chunk_bytes: int
) -> None:
    lines = ['{"a":"first"}', *lines]
    path = tmp_path_factory.mktemp("json") / "table.jsonl"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lines_file, "BLOCK_LINES", block_lines)
        patch.setattr(json_lines_file, "CHUNK_BYTES", chunk_bytes)
        table = joined(read_json_lines(path, lambda _: ["a"]))
    given_rows = [line for line in lines if line.strip()]
    is_sound = [line.startswith('{"a": ') or line == lines[0] for line in given_rows]
    assert table.frame["row"].to_list() == [row for row, sound in enumerate(is_sound, 1) if sound]
    assert table.broken["row"].to_list() == [row for row, sound in enumerate(is_sound, 1) if not sound]
    assert table.frame["a"].to_list() == [
        json.loads(line)["a"] for line, ok in zip(given_rows, is_sound, strict=True) if ok
    ]
