"""JSON Lines files: one JSON object a line, UTF-8; every column read as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import polars as pl

from features.errors import BadData
from features.raw_table import BROKEN_ROWS, ChooseColumns, RawTable, broken_rows
from features.utf8_file import CHUNK_BYTES, NEWLINE, Bytes, ends_in_newline, let_go, utf8_bytes

ROWS_FOR_NAMES = 1000
BLOCK_LINES = 10_000


def json_lines_column_names(path: Path) -> list[str]:
    """The keys of the first thousand rows, in the order met.

    Raises BadData when the file is empty or not UTF-8, or when none of those rows is an object.
    """
    utf8_bytes(path)
    return _names(path)


def read_json_lines(path: Path, choose: ChooseColumns) -> Iterator[RawTable]:
    """Batch by batch, the chosen keys as text: an absent key and null as null, numbers and booleans as spelt there.

    A line that is no JSON is broken (`row_not_json`), as is one that holds something else than an object
    (`row_not_object`); blank lines are skipped and not counted.

    Raises BadData for text that is not UTF-8, a last line that was cut off, and whatever `choose` refuses.
    """
    data = utf8_bytes(path)
    names = _names(path)
    chosen = choose(names)
    schema = pl.Schema(dict.fromkeys(chosen, pl.String()))
    ignored = tuple(name for name in names if name not in chosen)
    rows_before = 0
    for piece in _pieces(data):
        frame, broken = _read_piece(path, piece, rows_before, schema)
        yield RawTable(frame, broken, ignored)
        rows_before += frame.height + broken.height
        let_go(data)


def _pieces(data: Bytes) -> Iterator[Bytes]:
    """Whole lines, some megabytes at a time."""
    begin = 0
    while begin < data.size:
        end = begin
        while end < data.size and (end == begin or data[end - 1] != NEWLINE):
            newlines = np.flatnonzero(data[end : end + CHUNK_BYTES] == NEWLINE)
            end = end + int(newlines[-1]) + 1 if newlines.size else min(end + CHUNK_BYTES, data.size)
        yield data[begin:end]
        begin = end


def _read_piece(path: Path, piece: Bytes, rows_before: int, schema: pl.Schema) -> tuple[pl.DataFrame, pl.DataFrame]:
    try:
        frame = pl.read_ndjson(bytes(piece), schema=schema).with_row_index("row", rows_before + 1)
        return frame.with_columns(pl.col("row").cast(pl.Int64)), pl.DataFrame(schema=BROKEN_ROWS)
    except pl.exceptions.ComputeError:
        return _read_sound_lines(path, piece, rows_before, schema)


def _names(path: Path) -> list[str]:
    with path.open("rb") as lines:
        sample = [line.removeprefix(b"\xef\xbb\xbf") for line in islice(lines, ROWS_FOR_NAMES)]
    names = dict.fromkeys(key for line in sample if _fault(line) is None for key in _parse(line))
    if not names:
        raise BadData("no_json_objects", f"{path} does not begin with JSON objects; expected one object a line")
    return list(names)


def _read_sound_lines(
    path: Path, data: Bytes, rows_before: int, schema: pl.Schema
) -> tuple[pl.DataFrame, pl.DataFrame]:
    lines = [line for line in bytes(data).split(b"\n") if line.strip()]
    if not lines:
        return pl.DataFrame(schema={"row": pl.Int64, **schema}), pl.DataFrame(schema=BROKEN_ROWS)
    blocks = [_read_block(lines[at : at + BLOCK_LINES], schema) for at in range(0, len(lines), BLOCK_LINES)]
    faults = [fault for _, block_faults in blocks for fault in block_faults]
    if faults[-1] is not None and not ends_in_newline(data):
        raise BadData("file_cut_off", f"{path} ends in the middle of row {rows_before + len(lines)}: export it again")
    is_sound = np.array([fault is None for fault in faults])
    rows = rows_before + np.arange(1, len(lines) + 1)
    frame = pl.concat([frame for frame, _ in blocks]).insert_column(0, pl.Series("row", rows[is_sound]))
    return frame, broken_rows(rows[~is_sound], [fault for fault in faults if fault is not None])


def _read_block(lines: list[bytes], schema: pl.Schema) -> tuple[pl.DataFrame, list[str | None]]:
    """The sound lines, and each line's fault. Python looks at single lines only where a block has a broken one."""
    try:
        return pl.read_ndjson(b"\n".join(lines), schema=schema), [None] * len(lines)
    except pl.exceptions.ComputeError:
        faults = [_fault(line) for line in lines]
    sound = [at for at, fault in enumerate(faults) if fault is None]
    pieces = _halves([lines[at] for at in sound], schema)
    for at, is_sound in zip(sound, _is_sound(pieces), strict=True):
        faults[at] = None if is_sound else "row_not_json"
    return pl.concat([pl.DataFrame(schema=schema), *(piece for piece in pieces if piece is not None)]), faults


def _fault(line: bytes) -> str | None:
    """Why the line is broken, as far as Python can tell: it lets pass a little more than Polars, never less."""
    try:
        return None if isinstance(_parse(line), dict) else "row_not_object"
    except ValueError:
        return "row_not_json"


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line.decode(), parse_constant=_refuse_constant, parse_int=str, parse_float=str)
    except RecursionError:
        return {}  # Polars nests deeper than Python, and will tell


def _refuse_constant(name: str) -> NoReturn:
    # Polars would refuse them as well, but programs that write NaN write many, and halving is for few.
    raise ValueError(f"{name} is no JSON")


def _halves(lines: list[bytes], schema: pl.Schema) -> list[pl.DataFrame | None]:
    """Frames of the lines in order, None for one line that Polars cannot read though it passed for an object.

    Such lines are few (1e999, numbers of hundreds of digits, nesting without end), so halving finds them soon.
    """
    if not lines:
        return []
    try:
        return [pl.read_ndjson(b"\n".join(lines), schema=schema)]
    except pl.exceptions.ComputeError:
        middle = len(lines) // 2
        return [None] if middle == 0 else _halves(lines[:middle], schema) + _halves(lines[middle:], schema)


def _is_sound(pieces: list[pl.DataFrame | None]) -> list[bool]:
    return [piece is not None for piece in pieces for _ in range(1 if piece is None else piece.height)]
