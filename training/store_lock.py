"""One process at a time makes a fresh store: two at once break each other's migrations."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

SQLITE: Final = "sqlite:///"


@contextmanager
def store_lock(address: str) -> Iterator[None]:
    """Hold the folder of a SQLite store for as long as the block runs; a server looks after its own store.

    The folder itself is locked, so that no file stays behind. A file system without such locks goes without.
    """
    folder = Path(address.removeprefix(SQLITE)).parent
    if not address.startswith(SQLITE) or not folder.is_dir():
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
