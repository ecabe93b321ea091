"""How a list is divided so that scoring it stays under a memory ceiling."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from features.errors import BadUsage

USUAL_BYTES = 2 * 10**9
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
THREADS = 2
# Set so that the peaks of benchmarks/lists.py stay under the ceiling; bytes over what the program held before.
LEAST_PARTITION_BYTES = 5 * 10**6
READING_BYTES = 350 * 10**6  # batches of touchpoints, read ahead, checked and divided
SCORING_BYTES = 250 * 10**6  # a thread's rows of features, whatever its partition holds
TIMES_FRAME = 8.0  # a partition while it is sorted and read into a log, over its size as a frame
ASKED_BYTES = 150  # each asked pair: id, moment, place, and where its scores are
COMPARED_BYTES = 700  # each asked pair when two lists are compared: 520 with a million, and more with fewer


@dataclass(frozen=True)
class MemoryPlan:
    """`partition_bytes` is the most touchpoints, as a frame in memory, that one thread works on at once."""

    threads: int
    partition_bytes: int


def read_memory(words: str) -> int:
    """Bytes from words such as 2GB, 500MB or 1.5GiB. Raises BadUsage for any other."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B|)\s*", words, re.IGNORECASE)
    if found is None:
        raise BadUsage("bad_memory", f"--memory {words} is no amount of memory; write for example 2GB")
    return int(float(found[1]) * UNITS[found[2].upper()])


def usual_memory(held_bytes: int | None = None) -> int:
    """The ceiling where none is given: 2 GB, or whole GB that leave one to a list in a process that is large already.

    Whole ones, so that a run that is taken up has the same ceiling.
    """
    held = resident_bytes() if held_bytes is None else held_bytes
    return max(USUAL_BYTES, 10**9 * -(-(held + 10**9) // 10**9))


def plan_memory(
    ceiling_bytes: int, asked_pairs: int, held_bytes: int | None = None, is_compared: bool = False
) -> MemoryPlan:
    """Divide what the ceiling leaves over what the program holds now (`held_bytes`, measured if not given).

    Raises BadUsage, naming the least possible, for a ceiling under which nothing can be done; `is_compared` says that
    the scores will be compared with older ones.
    """
    held = resident_bytes() if held_bytes is None else held_bytes
    fixed = held + asked_pairs * ASKED_BYTES
    comparing = asked_pairs * COMPARED_BYTES if is_compared else 0
    least = fixed + max(READING_BYTES, SCORING_BYTES + int(TIMES_FRAME * LEAST_PARTITION_BYTES), comparing)
    if ceiling_bytes < least:
        raise BadUsage(
            "memory_too_small",
            f"--memory {ceiling_bytes / 1e6:,.0f}MB is too small for this list in a process that holds"
            f" {held / 1e6:,.0f}MB already; give at least {least / 1e6:,.0f}MB",
        )
    free = ceiling_bytes - fixed
    threads = THREADS if free >= THREADS * (SCORING_BYTES + TIMES_FRAME * LEAST_PARTITION_BYTES) else 1
    return MemoryPlan(threads, int((free / threads - SCORING_BYTES) / TIMES_FRAME))


def resident_bytes() -> int:
    """The memory that this process holds now."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1])  # type: ignore[index]
    import resource  # macOS tells the peak only, in bytes

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
