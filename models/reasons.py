"""Why: signed effects on a conversion's log-odds that sum to the score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.conversations import MOST_MESSAGES, Messages, pool_messages
from features.event_log import EventLog, Floats, Int64s
from features.rows import Embed, FeatureRows, embed_messages
from models.journey_model import Asked, JourneyModel
from models.linear_head import LinearHead

MOST_REASONS = 8
BASE = "(what is usual)"
WORDS = "what was said"
REST = "(everything else)"


@dataclass(frozen=True)
class Reason:
    """One effect on the log-odds of converting within the first horizon; `event_id` names a message that caused it."""

    feature: str
    value: float | None
    effect: float
    event_id: str | None


def explain(model: JourneyModel, asked: Asked, log: EventLog, embed: Embed | None) -> list[list[Reason]]:
    """Reasons of each row, strongest first, then the rest and the base; their effects sum to the log-odds.

    They explain the first horizon of `model.conversion`, which must exist. Effects are TreeSHAP values times the
    calibration's slope.
    """
    conversion = model.conversion
    if conversion is None:
        raise ValueError("this model has no conversion to explain")
    hazard, rows = conversion.hazards[0], asked.conversion
    effects = hazard.trees.contributions(rows.features) * hazard.sigmoid.slope
    silent = 0.0 if conversion.text_head is None else conversion.text_head.silent[0]
    base = effects[:, -1] + float(hazard.sigmoid.log_odds(hazard.start.log_odds(np.array(silent))))
    words = conversion.words(rows) - silent
    said = words * hazard.start.slope * hazard.sigmoid.slope
    moved_by = _moved_by(rows, log, conversion.text_head, embed)
    unknown = model.nothing_known(asked)
    result = []
    for row in range(len(words)):
        if unknown[row]:
            result.append([Reason(BASE, None, float(conversion.base_log_odds[0]), None)])
            continue
        reasons = [
            Reason(model.reader.catalog[column].name, _value(rows.features[row, column]), float(effect), None)
            for column, effect in zip(hazard.trees.columns, effects[row, :-1], strict=True)
            if abs(effect) > 1e-12  # less is the rounding of TreeSHAP
        ]
        if said[row] != 0.0:
            reasons.append(Reason(WORDS, float(words[row]), float(said[row]), moved_by[row]))
        result.append([*_strongest(reasons), Reason(BASE, None, float(base[row]), None)])
    return result


def _strongest(reasons: list[Reason]) -> list[Reason]:
    """The strongest reasons, and one for the sum of the others."""
    ordered = sorted(reasons, key=lambda reason: -abs(reason.effect))
    rest = sum(reason.effect for reason in ordered[MOST_REASONS:])
    return [*ordered[:MOST_REASONS], *([Reason(REST, None, rest, None)] if len(ordered) > MOST_REASONS else [])]


def _value(value: np.float32) -> float | None:
    return None if np.isnan(value) else float(value)


def _moved_by(rows: FeatureRows, log: EventLog, head: LinearHead | None, embed: Embed | None) -> list[str | None]:
    """The message of each row without which the text head would say something most different (leave one out)."""
    if head is None or rows.pools is None or rows.messages is None or embed is None:
        return [None] * len(rows.features)
    said = embed_messages(log, rows.messages, embed)
    whole = head.log_odds(rows.pools)[:, 0]
    most, moved_by = np.zeros(len(whole)), np.full(len(whole), -1, dtype=np.int64)
    for side in ("own", "company"):
        for rank in range(MOST_MESSAGES):
            events: dict[str, Int64s] = {"own": rows.messages.own, "company": rows.messages.company}
            left_out = events[side][:, rank].copy()
            events[side] = np.delete(events[side], rank, axis=1)
            pools = pool_messages(log, Messages(**events), said.texts, said.vectors)
            change: Floats = np.abs(head.log_odds(pools)[:, 0] - whole)
            stronger = (left_out >= 0) & (change > most)
            most[stronger], moved_by[stronger] = change[stronger], left_out[stronger]
    return [log.event_ids[event] if event >= 0 else None for event in moved_by]
