"""CSV files after RFC 4180: comma-separated, quoted with ", UTF-8, a header; every column read as text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from features.errors import BadData
from features.raw_table import ChooseColumns, RawTable, broken_rows
from features.utf8_file import CHUNK_BYTES, NEWLINE, RETURN, Bytes, ends_in_newline, let_go, line_number, utf8_bytes

COMMA, QUOTE = ord(","), ord('"')
BEFORE_OPENING = np.array([COMMA, NEWLINE, QUOTE], np.uint8)
AFTER_CLOSING = np.array([COMMA, NEWLINE, RETURN, QUOTE], np.uint8)
HEADER_BYTES = 1 << 20

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def csv_column_names(path: Path) -> list[str]:
    """The names in the header. Raises BadData when the file is empty, not UTF-8 or has no readable header."""
    return _header(path, utf8_bytes(path))[0]


def read_csv(path: Path, choose: ChooseColumns) -> Iterator[RawTable]:
    """Batch by batch, the chosen columns as text, an empty field as null or "".

    A row with too few or too many fields is broken (`row_wrong_width`); blank lines are skipped and not counted.

    Raises BadData for what leaves no row trustworthy: text that is not UTF-8, quotes that do not pair up, a last row
    that was cut off, and whatever `choose` refuses.
    """
    data = utf8_bytes(path)
    _check_quotes(path, data)
    names, body = _header(path, data)
    chosen = choose(names)
    ignored = tuple(name for name in names if name not in chosen)
    rows_before = 0
    for piece in _pieces(data, body):
        wrong, blank = _row_faults(piece, len(names))
        rows = rows_before + np.cumsum(~blank, dtype=np.int64)
        if wrong.size and wrong[-1] and not ends_in_newline(piece):
            raise BadData("file_cut_off", f"{path} ends in the middle of row {rows[-1]}: export it again")
        frame = _fields(data[:body], piece, names, chosen)
        if frame.height != rows.size:
            raise BadData("file_unreadable", f"{path}: its rows cannot be told apart; write it as CSV after RFC 4180")
        sound = pl.Series(~wrong & ~blank, dtype=pl.Boolean)
        broken = broken_rows(rows[wrong], "row_wrong_width")
        yield RawTable(frame.with_columns(row=rows).filter(sound), broken, ignored)
        rows_before += int(np.count_nonzero(~blank))
        let_go(data)


def _pieces(data: Bytes, body: int) -> Iterator[Bytes]:
    """Whole rows, some megabytes at a time; at least one piece, so that a file without rows shows its columns."""
    begin = body
    while begin < data.size or begin == body:
        end = _end_of_rows(data, begin)
        yield data[begin:end]
        if end == data.size:
            return
        begin = end


def _end_of_rows(data: Bytes, begin: int) -> int:
    """Where the last row ends that begins within some megabytes of `begin`."""
    n_bytes = CHUNK_BYTES
    while begin + n_bytes < data.size:
        window = data[begin : begin + n_bytes]
        newlines = _outside_quotes(np.flatnonzero(window == NEWLINE), np.flatnonzero(window == QUOTE))
        if newlines.size:
            return begin + int(newlines[-1]) + 1
        n_bytes *= 2
    return data.size


def _fields(header: Bytes, piece: Bytes, names: list[str], chosen: list[str]) -> pl.DataFrame:
    # Columns go by position: Polars renames repeated names. Rows of a wrong width are known from their commas.
    frame = pl.read_csv(
        bytes(header) + bytes(piece),
        columns=[names.index(name) for name in chosen],
        infer_schema=False,
        truncate_ragged_lines=True,
    )
    frame.columns = chosen
    return frame


def _header(path: Path, data: Bytes) -> tuple[list[str], int]:
    """The column names, and where the first data row begins."""
    top = data[:HEADER_BYTES]
    ends = _outside_quotes(np.flatnonzero(top == NEWLINE), np.flatnonzero(top == QUOTE))
    begin = 0
    for end in [*(ends + 1).tolist(), top.size]:
        line = bytes(top[begin:end]).decode(errors="replace").rstrip("\r\n")
        if line:
            return _names(path, line), end
        begin = end
    raise BadData("header_missing", f"{path} holds no header; expected the column names in the first row")


def _names(path: Path, line: str) -> list[str]:
    try:
        names = next(csv.reader([line], strict=True))
    except csv.Error:
        raise BadData(
            "header_unreadable",
            f"{path}: the header cannot be read; expected names separated by commas, lines ending in LF or CRLF",
        ) from None
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and mark in names[0]:
            raise BadData("wrong_separator", f"{path} seems to be separated by {name}; export it with commas")
    return names


def _check_quotes(path: Path, data: Bytes) -> None:
    """Quotes open at the beginning of a field and close at its end; anything else lets one field swallow others."""
    last = -1
    is_open = False
    for start in range(0, data.size, CHUNK_BYTES):
        quotes = start + np.flatnonzero(data[start : start + CHUNK_BYTES] == QUOTE)
        misplaced = _misplaced(data, quotes, is_open)
        if misplaced.size:
            _refuse_quotes(path, data, int(misplaced[0]))
        last = int(quotes[-1]) if quotes.size else last
        is_open ^= bool(quotes.size % 2)
        let_go(data)
    if is_open:
        _refuse_quotes(path, data, last)


def _misplaced(data: Bytes, quotes: Int64s, is_open: bool) -> Int64s:
    opening, closing = quotes[int(is_open) :: 2], quotes[int(not is_open) :: 2]
    opening, closing = opening[opening > 0], closing[closing < data.size - 1]
    bad_opening = opening[~np.isin(data[opening - 1], BEFORE_OPENING)]
    bad_closing = closing[~np.isin(data[closing + 1], AFTER_CLOSING)]
    return np.sort(np.concatenate([bad_opening, bad_closing]))


def _refuse_quotes(path: Path, data: Bytes, position: int) -> None:
    line = line_number(data, position)
    raise BadData(
        "quotes_unbalanced",
        f"{path}: quotes do not pair up, seen at line {line} (the cause may be a quoted field opened before it); "
        'expected fields with quotes to be quoted and the quotes inside doubled ("")',
    )


def _row_faults(data: Bytes, width: int) -> tuple[Bools, Bools]:
    """For each line, quoted newlines apart: whether it has the wrong width, and whether it is blank."""
    ends, commas = _row_ends(data)
    lengths = np.diff(ends, prepend=-1) - 1
    blank = lengths == 0
    short = np.flatnonzero(lengths == 1)
    blank[short] = data[ends[short] - 1] == RETURN
    return (commas != width - 1) & ~blank, blank


def _row_ends(data: Bytes) -> tuple[Int64s, Int64s]:
    """Where each row ends and how many commas it holds, both outside quotes."""
    quotes = np.flatnonzero(data == QUOTE)
    ends = _outside_quotes(np.flatnonzero(data == NEWLINE), quotes)
    commas = _outside_quotes(np.flatnonzero(data == COMMA), quotes)
    if data.size and not ends_in_newline(data):
        ends = np.append(ends, data.size)
    return ends, np.diff(np.searchsorted(commas, ends), prepend=0)


def _outside_quotes(positions: Int64s, quotes: Int64s) -> Int64s:
    if quotes.size == 0:
        return positions
    is_outside: Bools = np.searchsorted(quotes, positions) % 2 == 0
    outside: Int64s = positions[is_outside]
    return outside
