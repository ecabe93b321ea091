"""Vectors that were computed before, by content hash and model: in memory, and in one file for all processes.

The cache may lose anything at any time and must never be wrong: each row carries a checksum, a file that SQLite finds
damaged is set aside and begun anew, and a disk that cannot be used is left alone. It holds hashes and vectors, no text;
vectors still say much about a text, so the file is its owner's only (mode 0600).
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import platformdirs

Vector = npt.NDArray[np.float32]
Result = TypeVar("Result")

CACHE_VARIABLE: Final = "JOURNEYCAST_CACHE"
BUSY_TIMEOUT_S: Final = 1.0
KEYS_PER_QUERY: Final = 500
DAMAGED: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")  # the last: not our table
PASSING: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")
SCHEMA: Final = """
    PRAGMA page_size = 8192;
    PRAGMA journal_mode = WAL;
    CREATE TABLE vectors (id INTEGER PRIMARY KEY, key BLOB UNIQUE, blob BLOB, checksum BLOB);
"""
DELETE_OLDEST_TENTH: Final = """
    DELETE FROM vectors WHERE id <= (SELECT min(id) + (max(id) - min(id)) / 10 FROM vectors)
"""

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where Journeycast keeps what it can make again: $JOURNEYCAST_CACHE, else the user's cache folder."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("journeycast"))


def text_hash(text: str) -> bytes:
    """BLAKE2b-128 of a normalised text."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class VectorCache:
    """float32[dimension] vectors of the model `model_sha256`, by `text_hash`; exact to the bit.

    `path` is a file that any number of models, processes and threads may share (default: `vectors.sqlite` in
    `cache_folder()`). In memory the `memory_entries` last used are kept; from the file the oldest go when it outgrows
    `max_bytes`. Nothing is opened before the first use, and no method raises because of the disk.
    """

    def __init__(
        self,
        path: Path | None,
        dimension: int,
        model_sha256: str,
        memory_entries: int = 20_000,
        max_bytes: int = 1 << 30,
    ) -> None:
        self._file = _VectorFile(path or cache_folder() / "vectors.sqlite", max_bytes)
        self._dimension = dimension
        self._salt = bytes.fromhex(model_sha256)
        self._memory_entries = memory_entries
        self._memory: OrderedDict[bytes, Vector] = OrderedDict()
        self._lock = threading.Lock()

    def get_many(self, hashes: Sequence[bytes]) -> dict[bytes, Vector]:
        """The read-only vectors of those hashes that are known."""
        with self._lock:
            found = {key: self._memory[key] for key in hashes if key in self._memory}
            missing = {self._row_key(key): key for key in hashes if key not in found}
            rows = self._file.read(list(missing)) if missing else {}
            for row_key, blob in rows.items():
                if len(blob) == 4 * self._dimension:
                    found[missing[row_key]] = np.frombuffer(blob, "<f4")
            self._remember(found)
        return found

    def remembers(self, hashes: Iterable[bytes]) -> bool:
        """Whether the vectors of all hashes are in memory."""
        return all(key in self._memory for key in hashes)

    def put_many(self, vectors: Mapping[bytes, Vector]) -> None:
        """Keep these vectors."""
        blobs = {key: vector.astype("<f4").tobytes() for key, vector in vectors.items()}
        with self._lock:
            self._remember({key: np.frombuffer(blob, "<f4") for key, blob in blobs.items()})
            self._file.write({self._row_key(key): blob for key, blob in blobs.items()})

    def close(self) -> None:
        """Let go of the file; a later use opens it again."""
        with self._lock:
            self._file.close()

    def _remember(self, vectors: Mapping[bytes, Vector]) -> None:
        for key, vector in vectors.items():
            self._memory[key] = vector
            self._memory.move_to_end(key)
        while len(self._memory) > self._memory_entries:
            self._memory.popitem(last=False)

    def _row_key(self, text_key: bytes) -> bytes:
        return hashlib.blake2b(text_key, digest_size=16, key=self._salt).digest()


class _VectorFile:
    """Blobs by key in a bounded SQLite file. Every failure ends as "not found" or "not kept"."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._usable = True
        self._inode = 0
        self._connections: dict[int, sqlite3.Connection] = {}  # by process: SQLite's may not cross a fork

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The blobs whose checksum holds."""
        return self._attempt(lambda connection: dict(_sound_rows(connection, keys)), otherwise={})

    def write(self, blobs: Mapping[bytes, bytes]) -> None:
        rows = [(key, blob, _checksum(key, blob)) for key, blob in blobs.items()]
        self._attempt(lambda connection: self._insert(connection, rows), otherwise=None)

    def close(self) -> None:
        connection = self._connections.pop(os.getpid(), None)
        if connection is not None:
            connection.close()

    def _attempt(self, work: Callable[[sqlite3.Connection], Result], otherwise: Result) -> Result:
        if not self._usable:
            return otherwise
        try:
            return work(self._connection())
        except sqlite3.Error as fault:
            name = getattr(fault, "sqlite_errorname", "")
            if name.startswith(DAMAGED):
                self._set_aside()
            elif not name.startswith(PASSING):
                self._give_up(name or type(fault).__name__)
        except OSError as fault:
            self._give_up(fault.strerror or type(fault).__name__)
        return otherwise

    def _insert(self, connection: sqlite3.Connection, rows: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        with connection:
            connection.executemany("INSERT OR REPLACE INTO vectors (key, blob, checksum) VALUES (?, ?, ?)", rows)
            while _used_bytes(connection) > self._max_bytes and connection.execute(DELETE_OLDEST_TENTH).rowcount:
                pass

    def _connection(self) -> sqlite3.Connection:
        process = os.getpid()
        if process not in self._connections:
            if not self._path.exists():
                _create(self._path)
            self._inode = self._path.stat().st_ino
            self._connections[process] = _connect(self._path)
        return self._connections[process]

    def _set_aside(self) -> None:
        """Begin anew, unless another process has done so already."""
        with suppress(sqlite3.Error):
            self.close()
        with suppress(FileNotFoundError):  # another process is just doing it
            if self._path.stat().st_ino == self._inode:
                for suffix in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                self._path.replace(self._path.with_name(self._path.name + ".damaged"))
                _log.warning("%s was damaged; it is set aside as *.damaged and begun anew", self._path)

    def _give_up(self, reason: str) -> None:
        self._usable = False
        _log.warning("%s cannot be used (%s); vectors are kept in memory only", self._path, reason)


def _create(path: Path) -> None:
    """An empty cache appears at `path` whole, unless another process was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    os.close(descriptor)
    try:
        with closing(sqlite3.connect(scratch)) as connection:
            connection.executescript(SCHEMA)
        with suppress(FileExistsError):
            os.link(scratch, path)
    finally:
        Path(scratch).unlink()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    connection.text_factory = bytes  # a damaged row may say that it is text
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _sound_rows(connection: sqlite3.Connection, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for start in range(0, len(keys), KEYS_PER_QUERY):
        some = keys[start : start + KEYS_PER_QUERY]
        marks = ",".join("?" * len(some))
        for key, blob, checksum in connection.execute(
            f"SELECT key, blob, checksum FROM vectors WHERE key IN ({marks})", some
        ):
            if isinstance(key, bytes) and isinstance(blob, bytes) and checksum == _checksum(key, blob):
                yield key, blob


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _checksum(key: bytes, blob: bytes) -> bytes:
    return hashlib.blake2b(blob, digest_size=8, key=key).digest()
