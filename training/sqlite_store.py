"""A store in one SQLite file: made by one process at a time, and whole or not at all.

MLflow fills a fresh file step by step; two processes at once, or one that is killed meanwhile, leave one that no later
start can mend.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "sqlite:///"


def sqlite_file(address: str) -> Path | None:
    """The file of a SQLite store; None for a server, another database, or a folder that is not there."""
    file = Path(address.removeprefix(PREFIX).partition("?")[0]).absolute()
    is_file = address.startswith(PREFIX) and file.name not in ("", ":memory:") and file.parent.is_dir()
    return file if is_file else None


@contextmanager
def store_lock(address: str) -> Iterator[None]:
    """Let one process a time into the block, where the store is a SQLite file; a server looks after its own.

    The folder itself is locked, so that no file stays behind. A file system without such locks goes without.
    """
    file = sqlite_file(address)
    if file is None:
        yield
        return
    held = os.open(file.parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def make_store(address: str, fill: Callable[[str], object]) -> None:
    """Where the file is not there yet, have `fill` make a store at another address and put it in its place."""
    file = sqlite_file(address)
    if file is None or (file.exists() and file.stat().st_size):
        return
    begun = file.with_name(f".{file.name}.begun")
    for left in (begun, begun.with_name(f"{begun.name}-journal")):
        left.unlink(missing_ok=True)
    fill(f"{PREFIX}{begun}")
    begun.replace(file)
