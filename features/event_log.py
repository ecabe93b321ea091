"""Touchpoints as columns, sorted by customer and time: what every feature, rule and label is computed from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cached_property
from itertools import pairwise
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from numba import njit

if TYPE_CHECKING:
    import polars as pl

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
    `channels`; -1 stands for null. `texts` and `event_ids` hold one entry for each row with text.
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

    @cached_property
    def codes_in(self) -> dict[int, tuple[Any, Any]]:
        """What the codes stand for in each vocabulary, by its id: worked out once for a log and its parts."""
        return {}

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
            is_company=(frame["actor"] == "company").to_numpy(),
            value=frame["value"].fill_null(float("nan")).to_numpy().astype(np.float64),
            text=np.where(said, np.cumsum(said) - 1, NEVER).astype(np.int32),
            channels=channels,
            actions=actions,
            campaigns=campaigns,
            conversations=conversations,
            texts=frame["text"].drop_nulls().to_list(),
            event_ids=frame["event_id"].filter(frame["text"].is_not_null()).to_list(),
        )

    @classmethod
    def from_records(cls, histories: Sequence[tuple[str, Sequence[TouchpointRecord]]]) -> EventLog:
        """Build the log from histories in memory, one customer each, with the same order and duplicate rules.

        Customers keep the order given: history `i` is customer `i`, even when an id comes twice.
        """
        offsets, rows = [0], []
        for _, records in histories:
            rows.extend(_in_order(_without_duplicates(map(_at_fixed_offsets, map(_columns, records)))))
            offsets.append(len(rows))
        # Transposed once: reading eleven attributes of each record anew for each column would double a request's cost.
        occurred_at, channel, action, event_id, recorded_at, actor, value, campaign, _, conversation, text = (
            zip(*rows, strict=True) if rows else [()] * 11
        )
        occurred_us = _moments_us(occurred_at)
        channel_codes, channels = _encode_words(channel)
        action_codes, actions = _encode_words(action)
        campaign_codes, campaigns = _encode_words(campaign)
        conversation_codes, conversations = _encode_words(conversation)
        texts = [words for words in text if words is not None]
        said = np.array([words is not None for words in text], dtype=np.bool_)
        return cls(
            customer_ids=[customer_id for customer_id, _ in histories],
            offsets=np.array(offsets, dtype=np.int64),
            occurred_us=occurred_us,
            known_us=_known_us(occurred_us, recorded_at),
            channel=channel_codes,
            action=action_codes,
            campaign=campaign_codes,
            conversation=conversation_codes,
            is_company=np.array([by == "company" for by in actor], dtype=np.bool_),
            value=np.array(value, dtype=np.float64),
            text=np.where(said, np.cumsum(said) - 1, NEVER).astype(np.int32),
            channels=channels,
            actions=actions,
            campaigns=campaigns,
            conversations=conversations,
            texts=texts,
            event_ids=[name for name, words in zip(event_id, text, strict=True) if words is not None],
        )

    def customer_rows(self, customer_ids: Iterable[str]) -> Int64s:
        """Index of each customer in this log, -1 for one without touchpoints. Shape (n,)."""
        index = {customer_id: i for i, customer_id in enumerate(self.customer_ids)}
        return np.array([index.get(customer_id, NEVER) for customer_id in customer_ids], dtype=np.int64)

    def of_customers(self, first: int, stop: int) -> EventLog:
        """The log of the customers `first` to `stop`, that one not included; strings stay encoded as they are."""
        start, end = self.offsets[first], self.offsets[stop]
        return self._taking(slice(start, end), self.offsets[first : stop + 1] - start, self.customer_ids[first:stop])

    def of_rows(self, chosen: Bools) -> EventLog:
        """The log of the chosen rows alone (shape (rows,)), of the same customers; strings stay encoded as they are."""
        offsets = np.concatenate([[0], np.cumsum(chosen)]).astype(np.int64)[self.offsets]
        return self._taking(np.flatnonzero(chosen), offsets, self.customer_ids)

    def histories(self, customer: Int64s, as_of_us: Int64s) -> EventLog:
        """A log of its own for some (customer, as_of): history `i` holds what was known of `customer[i]` by then.

        `customer` indexes this log's customers, -1 for one without touchpoints; strings stay encoded as they are.
        """
        parts = [self._known(*asked) for asked in zip(customer.tolist(), as_of_us.tolist(), strict=True)]
        rows = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        ids = ["" if c < 0 else self.customer_ids[c] for c in customer]
        return self._taking(rows, offsets, ids)

    def _known(self, customer: int, as_of_us: int) -> Int64s:
        if customer < 0:
            return np.zeros(0, dtype=np.int64)
        start, stop = self.offsets[customer], self.offsets[customer + 1]
        known: Int64s = start + np.flatnonzero(is_known(self.known_us[start:stop], as_of_us))
        return known

    def _taking(self, rows: Int64s | slice, offsets: Int64s, customer_ids: list[str]) -> EventLog:
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
        taken = replace(
            self,
            customer_ids=customer_ids,
            offsets=offsets,
            **{column: getattr(self, column)[rows] for column in columns},
        )
        vars(taken)["codes_in"] = self.codes_in
        return taken


@njit(cache=True, inline="always")
def is_known(known_us: Any, as_of_us: Any) -> Any:  # scalars in compiled passes, arrays elsewhere
    """The only cut in time: a touchpoint counts at as_of when it had occurred and been recorded by then, inclusive."""
    return known_us <= as_of_us


def has_known(log: EventLog, touchpoints: Bools, customer: Int64s, as_of_us: Int64s) -> Bools:
    """Whether each customer (-1: not in the log) has one of the marked touchpoints known at as_of. Shape (rows,)."""
    found = np.zeros(len(customer), dtype=np.bool_)
    _has_known(log.offsets, log.known_us, touchpoints, customer, as_of_us, found)
    return found


@njit(cache=True, nogil=True)
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
    import polars as pl  # 26 MB and a tenth of a second, which the endpoint need not pay

    from features.word_codes import word_codes, words_of

    coded = word_codes(column)
    return coded.to_physical().cast(pl.Int32).fill_null(NEVER).to_numpy(), words_of(coded).to_list()


def _moments_us(moments: Sequence[datetime]) -> Int64s:
    return np.array([to_us(moment) for moment in moments], dtype=np.int64)


def _known_us(occurred_us: Int64s, recorded_at: Sequence[datetime | None]) -> Int64s:
    known_us = occurred_us.copy()
    for row, moment in enumerate(recorded_at):
        if moment is not None:
            known_us[row] = max(known_us[row], to_us(moment))
    return known_us


def _encode_words(words: Iterable[str | None]) -> tuple[Int32s, list[str]]:
    codes: dict[str | None, int] = {None: NEVER}
    column = np.array([codes.setdefault(word, len(codes) - 1) for word in words], dtype=np.int32)
    return column, [word for word in codes if word is not None]


_Row = tuple[Any, ...]  # a touchpoint's columns in the contract's order, without the customer
_columns: Callable[[TouchpointRecord], _Row] = attrgetter(
    *("occurred_at", "channel", "action", "event_id", "recorded_at", "actor"),
    *("value", "campaign", "variant", "conversation_id", "text"),
)
_occurred_at, _event_id, _recorded_at = itemgetter(0), itemgetter(3), itemgetter(4)


def _at_fixed_offsets(row: _Row) -> _Row:
    """Of one named zone, Python compares what the clock shows: the hour that it shows twice would be one."""
    occurred_at, recorded_at = row[0], row[4]
    if type(occurred_at.tzinfo) is timezone and (recorded_at is None or type(recorded_at.tzinfo) is timezone):
        return row
    return (occurred_at.astimezone(UTC), *row[1:4], recorded_at and recorded_at.astimezone(UTC), *row[5:])


def _without_duplicates(rows: Iterable[_Row]) -> Iterable[_Row]:
    """Drop repeats as `touchpoints.drop_duplicates` does: of one event_id, the version known first stays."""
    kept: dict[object, _Row] = {}
    for row in rows:
        event_id = _event_id(row)
        earlier = kept.setdefault(row if event_id is None else event_id, row)
        if earlier is not row and event_id is not None and _known_first(row) < _known_first(earlier):
            kept[event_id] = row
    return kept.values()


def _in_order(rows: Iterable[_Row]) -> list[_Row]:
    ordered = sorted(rows, key=_occurred_at)
    # Content decides only at equal times: building the full key for every row would double a request's cost.
    if any(_occurred_at(earlier) == _occurred_at(later) for earlier, later in pairwise(ordered)):
        ordered.sort(key=_content)
    return ordered


def _known_first(row: _Row) -> _Row:
    return (max(_occurred_at(row), _recorded_at(row) or _occurred_at(row)), _content(row))


def _content(row: _Row) -> _Row:
    """The sort order at equal times: `touchpoints.CONTENT` from left to right, nulls first."""
    return (*row[:3], *((column is not None, column) for column in (*row[4:], row[3])))
