"""The bytes of a text file, known to be UTF-8."""

from __future__ import annotations

import codecs
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from features.errors import BadData

Bytes = npt.NDArray[np.uint8]

CHUNK_BYTES = 1 << 24
NEWLINE, RETURN = ord("\n"), ord("\r")
COMPRESSED = (b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"BZh")


def utf8_bytes(path: Path) -> Bytes:
    """The file's bytes without a byte order mark, as a read-only map of the file.

    Raises BadData for a file that is empty, compressed or not UTF-8.
    """
    if path.stat().st_size == 0:
        raise BadData("file_empty", f"{path} is empty (0 bytes); expected at least a row or a header: export it again")
    data: Bytes = np.memmap(path, np.uint8, "r")
    if bytes(data[:4]).startswith(COMPRESSED):
        raise BadData("file_compressed", f"{path} is compressed; expected plain text: decompress it first")
    _check_utf8(path, data)
    return data[len(codecs.BOM_UTF8) :] if bytes(data[:3]) == codecs.BOM_UTF8 else data


def let_go(data: Bytes) -> None:
    """Free the memory that reading this map has taken; what is asked for again is read again.

    A process is said to hold all pages that it has seen of a file, which may be larger than its memory.
    """
    held: Any = data
    while isinstance(held, np.ndarray):
        held = held.base
    held.madvise(mmap.MADV_DONTNEED)


def line_number(data: Bytes, position: int) -> int:
    """The 1-based line that holds the byte at `position`."""
    return 1 + int(np.count_nonzero(data[:position] == NEWLINE))


def ends_in_newline(data: Bytes) -> bool:
    """Whether the last line is closed, as it is unless writing was cut short or the writer omits the last newline."""
    return data.size > 0 and int(data[-1]) == NEWLINE


def _check_utf8(path: Path, data: Bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, data.size, CHUNK_BYTES):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(data[start : start + CHUNK_BYTES].tobytes(), final=start + CHUNK_BYTES >= data.size)
        except UnicodeDecodeError as error:
            line = line_number(data, start - pending + error.start)
            raise BadData(
                "file_not_utf8",
                f"{path} is not UTF-8 at line {line}; expected UTF-8: if it is Latin-1 or UTF-16, convert it"
                " (iconv -f latin1 -t utf-8)",
            ) from None
        let_go(data)
