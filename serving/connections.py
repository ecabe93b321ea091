"""How many connections each worker holds, for all workers to see: whoever holds fewest takes the next caller."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

_SLOT_BYTES = 4  # one worker's count; written whole, so that nobody reads half of one


class Board:
    """One count for each worker, in a file that all of them map."""

    def __init__(self, path: Path, workers: int) -> None:
        if not path.exists():
            path.write_bytes(bytes(_SLOT_BYTES * workers))
        with path.open("r+b") as file:
            self._counts = memoryview(mmap.mmap(file.fileno(), 0)).cast("i")

    def write(self, worker: int, connections: int) -> None:
        """Show that `worker` holds so many connections."""
        self._counts[worker] = connections

    def fewest(self) -> int:
        """The least that any worker holds."""
        return min(self._counts)


class Counted(set[Any]):
    """A server's open connections, their number on the board. `coming` were accepted and are not open yet."""

    def __init__(self, board: Board, worker: int) -> None:
        super().__init__()
        self._board = board
        self._worker = worker
        self.coming = 0

    def add(self, connection: Any) -> None:
        super().add(connection)
        self.show()

    def discard(self, connection: Any) -> None:
        super().discard(connection)
        self.show()

    def show(self) -> None:
        """Put the present number on the board."""
        self._board.write(self._worker, len(self) + self.coming)

    @property
    def is_fewest(self) -> bool:
        """Whether no other worker holds fewer."""
        return len(self) + self.coming <= self._board.fewest()
