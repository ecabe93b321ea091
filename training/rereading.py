"""Rows read a second time, from another view of the same touchpoints: what may not change them must not, to the bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from features.event_log import NEVER, EventLog, Int64s, from_us, is_known
from features.market import Market
from features.phrases import PhraseRows
from features.rows import Embed, FeatureRows
from features.stage_records import stage_records
from features.stage_rules import evidence_rows
from models.journey_model import Asked, Reader

POOLS: Final = "the pooled messages"
PHRASES: Final = "the phrases"
MARKET: Final = "the market"


@dataclass(frozen=True)
class Sample:
    """Some rows: (customer, as_of) of a log, and what was read of them among all the others."""

    log: EventLog
    customer: Int64s
    as_of_us: Int64s
    read: Asked

    @classmethod
    def draw(cls, log: EventLog, customer: Int64s, as_of_us: Int64s, read: Asked, rows: int, seed: int) -> Sample:
        """At most so many of the rows, drawn without replacement."""
        size = min(rows, len(customer))
        chosen = np.sort(np.random.default_rng(seed).choice(len(customer), size, replace=False)).astype(np.int64)
        return cls(log, customer[chosen], as_of_us[chosen], Asked(*(take(part, chosen) for part in _parts(read))))


@dataclass(frozen=True)
class _Touchpoint:
    """A row of the log as a caller of the endpoint sends it; its place is its event_id, so that ties keep their order.

    Rows of equal times are ordered by channel and action first, as in the log, and then by event_id.
    """

    occurred_at: datetime
    channel: str
    action: str
    event_id: str
    recorded_at: datetime
    actor: str
    value: float | None
    campaign: str | None
    variant: None
    conversation_id: str | None
    text: str | None


def changed_without_future(sample: Sample, reader: Reader, embed: Embed | None) -> list[str]:
    """What of the rows is different when all that became known after each row's as_of is taken away.

    The market is surveyed anew as well, at the last of its moments that half of the rows lie after.
    """
    past = sample.log.histories(sample.customer, sample.as_of_us)
    again = reader.read(past, _places(sample), sample.as_of_us, embed)
    return [*_changed(sample.read, again, reader), *_market_changed(sample, reader)]


def changed_without_evidence(sample: Sample, reader: Reader, embed: Embed | None) -> list[str]:
    """What of the rows is different when the evidence that defines the labels is taken away instead of hidden."""
    journey, log = reader.journey, sample.log.histories(sample.customer, sample.as_of_us)
    always = evidence_rows(journey.hidden_evidence(labels_by_rule=False), log)
    of_stage = evidence_rows(journey.hidden_evidence(labels_by_rule=reader.stage_by_rule), log)
    if reader.stage_by_record:
        of_stage |= stage_records(log, journey.stages)
    unseen = (log.of_rows(~hidden) for hidden in (always, of_stage))
    conversion, stage = (reader.read(part, _places(sample), sample.as_of_us, embed) for part in unseen)
    # The market features of the stage never count what defines it; those of the conversion are the stage's.
    return _changed(sample.read, Asked(conversion.conversion, stage.stage), reader)


def changed_alone(sample: Sample, reader: Reader, embed: Embed | None) -> list[str]:
    """What of the rows is different when each customer is sent alone, as to the endpoint."""
    changed: dict[str, None] = {}
    log = sample.log.histories(sample.customer, sample.as_of_us)
    for row in range(len(sample.customer)):
        alone = EventLog.from_records([("alone", list(_touchpoints(log, row)))])
        again = reader.read(alone, np.zeros(1, dtype=np.int64), sample.as_of_us[row : row + 1], embed)
        place = np.array([row], dtype=np.int64)
        before = Asked(*(take(part, place) for part in _parts(sample.read)))
        changed |= dict.fromkeys(_changed(before, again, reader))
    return list(changed)


def take(rows: FeatureRows, chosen: Int64s) -> FeatureRows:
    """Some of the rows, by index."""
    pools = None if rows.pools is None else rows.pools[chosen]
    return FeatureRows(rows.features[chosen], pools, None, rows.phrases and _take_phrases(rows.phrases, chosen))


def _take_phrases(rows: PhraseRows, chosen: Int64s) -> PhraseRows:
    spans = [np.arange(rows.offsets[row], rows.offsets[row + 1]) for row in chosen]
    entries = np.concatenate([np.zeros(0, dtype=np.int64), *spans])
    offsets = np.cumsum([0, *map(len, spans)], dtype=np.int64)
    return PhraseRows(offsets, rows.column[entries], rows.value[entries], rows.width)


def _parts(asked: Asked) -> tuple[FeatureRows, FeatureRows]:
    return asked.conversion, asked.stage


def _places(sample: Sample) -> Int64s:
    return np.arange(len(sample.customer), dtype=np.int64)


def _changed(before: Asked, after: Asked, reader: Reader) -> list[str]:
    names = [feature.name for feature in reader.catalog]
    pairs = zip(_parts(before), _parts(after), strict=True)
    return list(dict.fromkeys(name for one, other in pairs for name in _differences(one, other, names)))


def _differences(one: FeatureRows, other: FeatureRows, names: Sequence[str]) -> Iterator[str]:
    differs = one.features.view(np.uint32) != other.features.view(np.uint32)
    differs &= ~(np.isnan(one.features) & np.isnan(other.features))
    yield from (names[column] for column in np.flatnonzero(differs.any(axis=0)).tolist())
    if not _equal([one.pools], [other.pools]):
        yield POOLS
    if not _equal(_columns(one.phrases), _columns(other.phrases)):
        yield PHRASES


def _columns(rows: PhraseRows | None) -> list[Any]:
    return [] if rows is None else [rows.offsets, rows.column, rows.value]


def _equal(some: Iterable[Any], others: Iterable[Any]) -> bool:
    pairs = zip(some, others, strict=True)
    return all(one is other or np.asarray(one).tobytes() == np.asarray(other).tobytes() for one, other in pairs)


def _market_changed(sample: Sample, reader: Reader) -> list[str]:
    moments_us, half_us = reader.market.moments_us, np.median(sample.as_of_us) if len(sample.as_of_us) else -1
    place = int(np.searchsorted(moments_us, half_us, side="right")) - 1
    if place < 0:
        return []
    moment_us = moments_us[place : place + 1]
    past = sample.log.of_rows(is_known(sample.log.known_us, moment_us[0]))
    again = reader.survey(past, moment_us)
    figures = [field.name for field in fields(Market)]
    before, after = ([getattr(market, name) for name in figures] for market in (_at(reader.market, place), again))
    return [] if _equal(before, after) else [MARKET]


def _at(market: Market, place: int) -> Market:
    one = {field.name: getattr(market, field.name)[place : place + 1] for field in fields(Market)}
    return replace(market, **one)


def _touchpoints(log: EventLog, customer: int) -> Iterator[_Touchpoint]:
    for row in range(log.offsets[customer], log.offsets[customer + 1]):
        yield _Touchpoint(
            occurred_at=from_us(log.occurred_us[row]),
            channel=log.channels[log.channel[row]],
            action=log.actions[log.action[row]],
            event_id=f"{row:012d}",
            recorded_at=from_us(log.known_us[row]),
            actor="company" if log.is_company[row] else "customer",
            value=None if np.isnan(log.value[row]) else float(log.value[row]),
            campaign=_name(log.campaigns, log.campaign[row]),
            variant=None,
            conversation_id=_name(log.conversations, log.conversation[row]),
            text=_name(log.texts, log.text[row]),
        )


def _name(names: Sequence[str], code: int) -> str | None:
    return None if code == NEVER else names[code]
