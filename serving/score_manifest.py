"""What stands beside a file of scores: from what it was made and how, without a word of a customer's data."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serving.partitions import Partitioned
from serving.scored_parts import Part

FORMAT = 1


def manifest_path(out: Path) -> Path:
    """Where the manifest of these scores stands."""
    return out.with_name(f"{out.name}.manifest.json")


def manifest_of(
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    read: Partitioned,
    parts: Sequence[Part],
    out: Path,
    draft: Path,
) -> dict[str, Any]:
    """Counts, hashes (SHA-256) and settings of the scores in `draft`, which will stand at `out`. JSON-ready."""
    reliability = sum((Counter(part.reliability) for part in parts), Counter[str]())
    return {
        "format": FORMAT,
        **settings,
        "inputs": [{"file": file, "sha256": sha256} for file, sha256 in inputs.items()],
        "output": {"file": out.name, "bytes": draft.stat().st_size, "sha256": file_sha256(draft)},
        "rows": sum(part.rows for part in parts),
        "reliability": dict(sorted(reliability.items())),
        "touchpoints": {
            "rows_read": read.rows_read,
            "touchpoints": sum(part.touchpoints for part in parts),
            "duplicates_dropped": sum(part.duplicates_dropped for part in parts),
            "rejected": read.rejected,
            "reject_codes": dict(sorted(read.reject_codes.items())),
            "ignored_columns": list(read.ignored_columns),
        },
    }


def read_manifest(out: Path) -> dict[str, Any]:
    """The manifest beside these scores."""
    found: dict[str, Any] = json.loads(manifest_path(out).read_bytes())
    return found


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
