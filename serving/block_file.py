"""A file of blocks: bytes under a number, several to a number, found again without reading the others."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

import polars as pl

from features.errors import BadEnvironment


class Block(NamedTuple):
    """Where one block stands in its file. `held_bytes` is what its content will take in memory."""

    key: int
    offset: int
    length: int
    held_bytes: int
    sha256: str


class BlockFile:
    """Writes blocks one after the other; `blocks` says where they are."""

    def __init__(self, path: Path) -> None:
        self.blocks: list[Block] = []
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> BlockFile:
        self._file = self._path.open("wb")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, key: int, parts: Sequence[bytes | memoryview], held_bytes: int) -> None:
        """Add a block of some parts under a number. Raises OSError where the disk is full."""
        if self._file is None:
            raise ValueError("the file is not open; use it in a with statement")
        offset, sha256 = self._file.tell(), hashlib.sha256()
        for part in parts:
            sha256.update(part)
            self._file.write(part)
        self.blocks.append(Block(key, offset, self._file.tell() - offset, held_bytes, sha256.hexdigest()))

    def write_frame(self, key: int, frame: pl.DataFrame) -> None:
        """Add a frame, as an Arrow stream."""
        stream = io.BytesIO()
        frame.write_ipc_stream(stream, compression="lz4")
        self.write(key, [stream.getbuffer()], int(frame.estimated_size()))


def read_blocks(path: Path, blocks: Sequence[Block]) -> Iterator[bytes]:
    """What these blocks hold. Raises BadEnvironment for one that is not what was written."""
    with path.open("rb") as file:
        for block in blocks:
            file.seek(block.offset)
            content = file.read(block.length)
            if hashlib.sha256(content).hexdigest() != block.sha256:
                raise BadEnvironment("work_damaged", f"{path} is not what was written; run the command again")
            yield content


def read_frames(path: Path, blocks: Sequence[Block]) -> Iterator[pl.DataFrame]:
    """The frames of these blocks. Raises BadEnvironment as `read_blocks` does."""
    for content in read_blocks(path, blocks):
        yield pl.read_ipc_stream(io.BytesIO(content))
