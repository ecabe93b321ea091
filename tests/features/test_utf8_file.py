from __future__ import annotations

from pathlib import Path

import pytest

from features import utf8_file
from features.errors import BadData
from features.utf8_file import ends_in_newline, let_go, line_number, utf8_bytes

STATUS = Path("/proc/self/status")


def write(folder: Path, content: bytes) -> Path:
    path = folder / "text"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 5, 100])
def test_characters_may_straddle_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    monkeypatch.setattr(utf8_file, "CHUNK_BYTES", chunk_bytes)
    assert bytes(utf8_bytes(write(tmp_path, "é😀ü\n€".encode()))) == "é😀ü\n€".encode()
    for broken in ("é\n😀".encode() + b"\xe9", "é\n😀".encode()[:-1], "é\n".encode() + b"\xffx"):
        with pytest.raises(BadData, match="is not UTF-8 at line 2;"):
            utf8_bytes(write(tmp_path, broken))


def test_the_line_is_that_of_the_first_bad_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utf8_file, "CHUNK_BYTES", 2)
    with pytest.raises(BadData, match="is not UTF-8 at line 1;"):
        utf8_bytes(write(tmp_path, "€".encode() + b"\xff\n"))


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    assert bytes(utf8_bytes(write(tmp_path, b"\xef\xbb\xbfa"))) == b"a"
    assert bytes(utf8_bytes(write(tmp_path, b"\xef\xbb\xbf"))) == b""


def test_lines_are_counted_from_one(tmp_path: Path) -> None:
    data = utf8_bytes(write(tmp_path, b"a\nb\nc"))
    assert [line_number(data, position) for position in range(5)] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(("content", "closed"), [(b"a\n", True), (b"a", False), (b"\xef\xbb\xbf", False)])
def test_whether_the_last_line_is_closed(tmp_path: Path, content: bytes, closed: bool) -> None:
    assert ends_in_newline(utf8_bytes(write(tmp_path, content))) is closed


@pytest.mark.skipif(not STATUS.exists(), reason="this system does not tell how much of a file is held")
def test_what_has_been_read_of_a_file_is_not_held(tmp_path: Path) -> None:
    before = held_kb()
    data = utf8_bytes(write(tmp_path, b"a\n" * 20_000_000))
    assert held_kb() - before < 8_000
    assert int(data[1:].sum()) == 20_000_000 * (ord("a") + ord("\n")) - ord("a")
    assert held_kb() - before > 35_000
    let_go(data[1:])
    assert held_kb() - before < 8_000
    assert bytes(data[:4]) == b"a\na\n"


def held_kb() -> int:
    """How much of the files that this process has mapped is in its memory."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("RssFile:"))
    return int(line.split()[1])
