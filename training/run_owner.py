"""Which process a recorded run belongs to, so that a later one can tell whether it still lives."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from typing import Final

import psutil

MACHINE_ID: Final = Path("/etc/machine-id")  # hosts of one name differ in it
PROCESS_NUMBERS: Final = Path("/proc/self/ns/pid")  # containers of one machine number their processes anew
CLOCK_STEP_S: Final = 2.0  # the system tells when a process began from its clock, which may be set meanwhile


def this_process() -> str:
    """This process in one line: its machine, its number, and when it began (s since the epoch)."""
    own = psutil.Process()
    return f"{machine()} {own.pid} {own.create_time():.0f}"


def machine() -> str:
    """The name of this machine, and a hash of what tells it from others of that name."""
    known = MACHINE_ID.read_bytes() if MACHINE_ID.is_file() else b""
    numbers = str(PROCESS_NUMBERS.stat().st_ino).encode() if PROCESS_NUMBERS.exists() else b""
    return f"{socket.gethostname()}/{hashlib.blake2b(known + numbers, digest_size=4).hexdigest()}"


def has_ended(process: str) -> bool:
    """Whether the process that a line of `this_process` names is no more; False for those of other machines."""
    where, number, began_s = process.rsplit(" ", 2)
    if where != machine():
        return False
    try:
        lives = psutil.Process(int(number))
        is_same = abs(lives.create_time() - float(began_s)) <= CLOCK_STEP_S
        return not is_same or lives.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
