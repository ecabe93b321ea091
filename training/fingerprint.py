"""What data a training saw, by a digest and counts that hold no row of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from features.event_log import EventLog, from_us
from features.journey import Journey, conversion_column
from training.labels import LabelledRows

TOUCHPOINT_TYPES: Final = {
    "customer_id": "string",
    "occurred_at": "datetime",
    "recorded_at": "datetime",
    "channel": "string",
    "action": "string",
    "actor": "string",
    "value": "double",
    "campaign": "string",
    "conversation_id": "string",
    "event_id": "string",
    "text": "string",
}
# Neither byte occurs in UTF-8, so no two lists of strings read alike.
NULL, END = b"\xff", b"\xfe"

Counts = dict[str, int | str]


@dataclass(frozen=True)
class Fingerprint:
    """A data set without its rows: `types` by column, `counts` by what is counted, and ten hexadecimal digits.

    Equal content has equal digits, whatever the order of rows or the kind of file it came in.
    """

    name: str
    digest: str
    types: dict[str, str]
    counts: Counts


def of_touchpoints(log: EventLog) -> Fingerprint:
    """The fingerprint of all touchpoints that a training may see."""
    digest = hashlib.blake2b(digest_size=5)
    for field in fields(log):
        _add(digest, getattr(log, field.name))
    counts: Counts = {"rows": len(log), "customers": len(log.customer_ids), "texts": len(log.texts)}
    return Fingerprint(
        "touchpoints", digest.hexdigest(), TOUCHPOINT_TYPES, counts | _span("occurred_at", log.occurred_us)
    )


def of_labelled_rows(name: str, rows: LabelledRows, journey: Journey) -> Fingerprint:
    """The fingerprint of rows to learn from or to judge on, in whatever order they come."""
    digest = hashlib.blake2b(digest_size=5)
    order = np.lexsort((rows.as_of_us, np.array(rows.customer_id, dtype=object)))
    _add(digest, [rows.customer_id[row] for row in order])
    for values in (rows.as_of_us, rows.stage, rows.converted):
        _add(digest, values[order])
    _add(digest, [*journey.stages, *map(conversion_column, rows.horizons_days)])
    types = {"customer_id": "string", "as_of": "datetime", "stage": "string"}
    counts: Counts = {"rows": len(rows), "customers": len(set(rows.customer_id))}
    counts |= {f"in stage {stage}": int((rows.stage == i).sum()) for i, stage in enumerate(journey.stages)}
    for h, horizon in enumerate(rows.horizons_days):
        column = conversion_column(horizon)
        types[column] = "boolean"
        counts |= {f"{column} known": int((rows.converted[:, h] >= 0).sum())}
        counts |= {f"{column} converted": int((rows.converted[:, h] == 1).sum())}
    return Fingerprint(name, digest.hexdigest(), types, counts | _span("as_of", rows.as_of_us))


def _span(column: str, moments_us: Any) -> Counts:
    if not len(moments_us):
        return {}
    ends = {"first": moments_us.min(), "last": moments_us.max()}
    return {f"{which} {column}": from_us(int(moment)).isoformat() for which, moment in ends.items()}


def _add(digest: hashlib.blake2b, column: Any) -> None:
    if isinstance(column, np.ndarray):
        digest.update(f"{column.dtype.str}{column.shape}".encode())
        digest.update(np.ascontiguousarray(column).tobytes())
    else:
        digest.update(END.join(_encoded(column)) + END + END)


def _encoded(strings: Sequence[str | None]) -> list[bytes]:
    return [NULL if string is None else string.encode() for string in strings]
