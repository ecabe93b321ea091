"""Touchpoints as columns, sorted by customer and time: what every feature, rule and label is computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
from numba import njit

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONE_US = timedelta(microseconds=1)
DAY_US = 86_400_000_000
NEVER = -1  # the code of a null in a dictionary-encoded column

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class TouchpointRecord(Protocol):
    """One touchpoint as an object: the contract's names as attributes, times as aware datetimes."""

    @property
    def occurred_at(self) -> datetime: ...
    @property
    def channel(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def event_id(self) -> str | None: ...
    @property
    def recorded_at(self) -> datetime | None: ...
    @property
    def actor(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def campaign(self) -> str | None: ...
    @property
    def variant(self) -> str | None: ...
    @property
    def conversation_id(self) -> str | None: ...
    @property
    def text(self) -> str | None: ...


@dataclass(frozen=True)
class EventLog:
    """Touchpoints of many customers as columns; times are UTC microseconds since the epoch.

    The touchpoints of customer `i` are rows `offsets[i]:offsets[i + 1]`, by `occurred_us` and, at equal times, by their
    content, so that the order of the input never matters. Strings are dictionary-encoded: `channel[row]` indexes
    `channels`; -1 stands for null. `texts` holds one entry for each row with text.
    """

    customer_ids: list[str]
    offsets: Int64s
    occurred_us: Int64s
    known_us: Int64s
    channel: Int32s
    action: Int32s
    campaign: Int32s
    conversation: Int32s
    is_company: Bools
    value: Floats
    text: Int32s
    channels: list[str]
    actions: list[str]
    campaigns: list[str]
    conversations: list[str]
    texts: list[str]
    event_ids: list[str | None]

    def __len__(self) -> int:
        return len(self.occurred_us)

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> EventLog:
        """Build the log from a checked frame of the contract's columns, as `read_touchpoints` returns it.

        The frame is sorted by customer, time and content and holds no duplicates.
        """
        customers = frame["customer_id"].rle().struct.unnest()
        occurred_us = frame["occurred_at"].dt.epoch("us").to_numpy()
        recorded_us = frame["recorded_at"].fill_null(frame["occurred_at"]).dt.epoch("us").to_numpy()
        channel, channels = _encode(frame["channel"])
        action, actions = _encode(frame["action"])
        campaign, campaigns = _encode(frame["campaign"])
        conversation, conversations = _encode(frame["conversation_id"])
        said = frame["text"].is_not_null().to_numpy()
        return cls(
            customer_ids=customers["value"].to_list(),
            offsets=np.concatenate([[0], np.cumsum(customers["len"].to_numpy().astype(np.int64))]).astype(np.int64),
            occurred_us=occurred_us,
            known_us=np.maximum(occurred_us, recorded_us),
            channel=channel,
            action=action,
            campaign=campaign,
            conversation=conversation,
            is_company=(frame["actor"].cast(pl.String) == "company").to_numpy(),
            value=frame["value"].fill_null(float("nan")).to_numpy().astype(np.float64),
            text=np.where(said, np.cumsum(said) - 1, NEVER).astype(np.int32),
            channels=channels,
            actions=actions,
            campaigns=campaigns,
            conversations=conversations,
            texts=frame["text"].drop_nulls().to_list(),
            event_ids=frame["event_id"].to_list(),
        )

    @classmethod
    def from_records(cls, histories: Sequence[tuple[str, Sequence[TouchpointRecord]]]) -> EventLog:
        """Build the log from histories in memory, one customer each, with the same order and duplicate rules.

        Customers keep the order given: history `i` is customer `i`, even when an id comes twice.
        """
        offsets, rows = [0], []
        for _, records in histories:
            rows.extend(_in_order(_without_duplicates(records)))
            offsets.append(len(rows))
        codes: list[dict[str, int]] = [{}, {}, {}, {}]
        channels, actions, campaigns, conversations = codes
        texts: list[str] = []
        occurred_us = np.array([to_us(row.occurred_at) for row in rows], dtype=np.int64)
        recorded_us = np.array([to_us(row.recorded_at or row.occurred_at) for row in rows], dtype=np.int64)
        return cls(
            customer_ids=[customer_id for customer_id, _ in histories],
            offsets=np.array(offsets, dtype=np.int64),
            occurred_us=occurred_us,
            known_us=np.maximum(occurred_us, recorded_us),
            channel=np.array([_code(channels, row.channel) for row in rows], dtype=np.int32),
            action=np.array([_code(actions, row.action) for row in rows], dtype=np.int32),
            campaign=np.array([_code(campaigns, row.campaign) for row in rows], dtype=np.int32),
            conversation=np.array([_code(conversations, row.conversation_id) for row in rows], dtype=np.int32),
            is_company=np.array([row.actor == "company" for row in rows], dtype=np.bool_),
            value=np.array([np.nan if row.value is None else row.value for row in rows], dtype=np.float64),
            text=np.array([_append(texts, row.text) for row in rows], dtype=np.int32),
            channels=list(channels),
            actions=list(actions),
            campaigns=list(campaigns),
            conversations=list(conversations),
            texts=texts,
            event_ids=[row.event_id for row in rows],
        )

    def customer_rows(self, customer_ids: Iterable[str]) -> Int64s:
        """Index of each customer in this log, -1 for one without touchpoints. Shape (n,)."""
        index = {customer_id: i for i, customer_id in enumerate(self.customer_ids)}
        return np.array([index.get(customer_id, NEVER) for customer_id in customer_ids], dtype=np.int64)

    def only(self, customers: Int64s) -> EventLog:
        """The log of some customers alone, by index, in the order given; strings stay encoded as they are."""
        lengths = self.offsets[customers + 1] - self.offsets[customers]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(self.offsets[customers] - offsets[:-1], lengths)
        columns = (
            "occurred_us",
            "known_us",
            "channel",
            "action",
            "campaign",
            "conversation",
            "is_company",
            "value",
            "text",
        )
        return replace(
            self,
            customer_ids=[self.customer_ids[customer] for customer in customers],
            offsets=offsets,
            event_ids=[self.event_ids[row] for row in rows],
            **{column: getattr(self, column)[rows] for column in columns},
        )


@njit(cache=True, inline="always")
def is_known(known_us: Any, as_of_us: Any) -> Any:  # scalars in compiled passes, arrays elsewhere
    """The only cut in time: a touchpoint counts at as_of when it had occurred and been recorded by then, inclusive."""
    return known_us <= as_of_us


def has_known(log: EventLog, touchpoints: Bools, customer: Int64s, as_of_us: Int64s) -> Bools:
    """Whether each customer (-1: not in the log) has one of the marked touchpoints known at as_of. Shape (rows,)."""
    found = np.zeros(len(customer), dtype=np.bool_)
    _has_known(log.offsets, log.known_us, touchpoints, customer, as_of_us, found)
    return found


@njit(cache=True)
def _has_known(offsets, known_us, touchpoints, customer, as_of_us, found):  # type: ignore[no-untyped-def]
    for row in range(len(customer)):
        if customer[row] >= 0:
            for event in range(offsets[customer[row]], offsets[customer[row] + 1]):
                found[row] |= touchpoints[event] and is_known(known_us[event], as_of_us[row])


def to_us(moment: datetime) -> int:
    """UTC microseconds since the epoch of an aware datetime, exact."""
    return (moment - EPOCH) // ONE_US


def from_us(moment_us: int) -> datetime:
    """The aware UTC datetime of microseconds since the epoch, exact."""
    return EPOCH + int(moment_us) * ONE_US


def _encode(column: pl.Series) -> tuple[Int32s, list[str]]:
    names = column.unique().drop_nulls().sort()
    codes = column.cast(pl.Enum(names)).to_physical().cast(pl.Int32).fill_null(NEVER)
    return codes.to_numpy(), names.to_list()


def _code(codes: dict[str, int], name: str | None) -> int:
    return NEVER if name is None else codes.setdefault(name, len(codes))


def _append(texts: list[str], text: str | None) -> int:
    if text is None:
        return NEVER
    texts.append(text)
    return len(texts) - 1


def _without_duplicates(records: Sequence[TouchpointRecord]) -> list[TouchpointRecord]:
    """Drop repeats as `touchpoints.drop_duplicates` does: of one event_id, the version known first stays."""
    kept: dict[object, TouchpointRecord] = {}
    for record in records:
        identity = record.event_id if record.event_id is not None else _content(record)
        earlier = kept.setdefault(identity, record)
        if earlier is not record and _known_first(record) < _known_first(earlier):
            kept[identity] = record
    return list(kept.values())


def _in_order(records: list[TouchpointRecord]) -> list[TouchpointRecord]:
    ordered = sorted(records, key=lambda record: record.occurred_at)
    # Content decides only at equal times: building the full key for every row would double a request's cost.
    if any(earlier.occurred_at == later.occurred_at for earlier, later in pairwise(ordered)):
        ordered.sort(key=_content)
    return ordered


def _known_first(record: TouchpointRecord) -> tuple[Any, ...]:
    return (max(record.occurred_at, record.recorded_at or record.occurred_at), _content(record))


def _content(record: TouchpointRecord) -> tuple[Any, ...]:
    """A touchpoint's columns in the contract's order, nulls first: the sort order at equal times."""
    optional = (record.event_id, record.recorded_at, record.actor, record.value)
    words = (record.campaign, record.variant, record.conversation_id, record.text)
    nulls_first = tuple((column is not None, column) for column in optional + words)
    return (record.occurred_at, record.channel, record.action, *nulls_first)
