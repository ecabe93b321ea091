"""What went wrong, in words the caller can act on."""

from __future__ import annotations

import traceback
from collections.abc import Iterable


class Fault(Exception):
    """An error the caller can mend.

    `code` is stable and machine-readable. `faults` lists every fault found at once; each says what was found, what was
    expected and what to do, and never repeats a customer's data.
    """

    def __init__(self, code: str, faults: str | Iterable[str]) -> None:
        self.code = code
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))


class BadUsage(Fault):
    """The request itself is wrong: an option, a journey file, a reference. The command line exits with 2."""


class BadData(Fault):
    """The data cannot be used as asked. The command line exits with 3."""


class BadEnvironment(Fault):
    """The machine, a file system or an installation is in the way. The command line exits with 4."""


def whereabouts(error: BaseException) -> str:
    """An exception's type and the last lines of code it passed, without its message."""
    passed = reversed(traceback.extract_tb(error.__traceback__)[-3:])
    return " < ".join([type(error).__name__, *(f"{line.name} ({line.filename}:{line.lineno})" for line in passed)])
