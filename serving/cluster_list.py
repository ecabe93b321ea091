"""A list scored on a cluster: what was asked, what was found while reading, and the manifest of what came of it."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from features.event_log import from_us
from features.rejects import SEPARATOR
from serving.cluster_sources import ClusterRows
from serving.mixed_rows import Kind, raise_faults
from serving.score_manifest import FORMAT

TOUCHPOINTS, STAGE_HISTORY, SNAPSHOTS = "touchpoints", "stage history", "snapshots"


@dataclass(frozen=True)
class ClusterOrder:
    """What is to be scored, and how: everybody at `as_of_us`, or the pairs of `snapshots`. Sources as `read_sources`.

    `max_reject_share` holds for touchpoints and stage history alike.
    """

    touchpoints: Sequence[str]
    as_of_us: int | None
    snapshots: str | None
    stage_history: str | None
    reasons: bool
    max_reject_share: float

    def sources(self) -> dict[str, list[str]]:
        """The sources of each contract."""
        given = {STAGE_HISTORY: self.stage_history, SNAPSHOTS: self.snapshots}
        return {TOUCHPOINTS: list(self.touchpoints)} | {
            contract: [source] for contract, source in given.items() if source
        }


class Texts(NamedTuple):
    """Messages that scoring reads: all, each in as many parts of the list as it is in; distinct; shared by parts."""

    read: int
    distinct: int
    shared: int


@dataclass
class Found:
    """What was read of each contract's sources, and is there to be scored."""

    rows_read: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    reject_codes: dict[str, Counter[str]] = field(default_factory=dict)
    ignored_columns: dict[str, None] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    touchpoints: int = 0
    duplicates: int = 0
    customers: int = 0
    asked: int = 0

    @classmethod
    def of(cls, told: Iterable[Mapping[str, Any]]) -> Found:
        """From counts by kind, contract and codes: `rows` of that kind, and the `sum` of their numbers."""
        found = cls()
        for each in told:
            found._take(Kind(each["kind"]), str(each["contract"]), each["codes"] or "", each["rows"], each["sum"] or 0)
        return found

    def raise_faults(self) -> None:
        """Raise what tasks could not read."""
        raise_faults(self.faults)

    def _take(self, kind: Kind, contract: str, codes: str, rows: int, sum_of: int) -> None:
        if kind is Kind.TOUCHPOINT:
            self.touchpoints += rows
        elif kind is Kind.ASKED:
            self.asked += rows
        elif kind is Kind.DUPLICATES:
            self.duplicates += sum_of
        elif kind is Kind.CUSTOMERS:
            self.customers += sum_of
        elif kind is Kind.READ:
            self.rows_read[contract] += sum_of
        elif kind is Kind.FAULT:
            self.faults.append(codes)
        elif kind is Kind.IGNORED:
            self.ignored_columns[codes] = None
        else:
            self.rejected[contract] += rows
            by_code = self.reject_codes.setdefault(contract, Counter())
            by_code.update({code: rows for code in codes.split(SEPARATOR)})


def manifest_of(
    order: ClusterOrder,
    model_version: str,
    out: str,
    sources: Mapping[str, ClusterRows],
    found: Found,
    reliability: Mapping[str, int],
    texts: Texts | None,
) -> dict[str, Any]:
    """Counts and settings of the scores in the folder `out`. JSON-ready."""
    ignored = [*sources[TOUCHPOINTS].ignored_columns, *sorted(found.ignored_columns)]
    return {
        "format": FORMAT,
        "engine": "spark",
        "model_version": model_version,
        "journeycast": importlib.metadata.version("journeycast"),
        "as_of": None if order.as_of_us is None else from_us(order.as_of_us).isoformat(),
        "reasons": order.reasons,
        "max_reject_share": order.max_reject_share,
        "inputs": [{"file": name} for source in sources.values() for name in source.names],
        "output": {"folder": PurePosixPath(out).name},
        "rows": found.customers if order.snapshots is None else found.asked,
        "reliability": {code: rows for code, rows in sorted(reliability.items()) if code},
        "messages": None if texts is None else texts._asdict(),
        "touchpoints": {
            "rows_read": found.rows_read[TOUCHPOINTS],
            "touchpoints": found.touchpoints,
            "duplicates_dropped": found.duplicates,
            "rejected": found.rejected[TOUCHPOINTS],
            "reject_codes": dict(sorted(found.reject_codes.get(TOUCHPOINTS, {}).items())),
            "ignored_columns": list(dict.fromkeys(ignored)),
        },
    }
