"""Why: signed effects on a conversion's log-odds that sum to the score."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from features.catalog import KIND_CUT, Feature
from features.event_log import EventLog, Floats, Int64s
from features.rows import Embed, FeatureRows, embed_messages
from models.conversion import ConversionModel, Hazard
from models.journey_model import Asked, JourneyModel
from models.message_effects import message_effects
from models.phrase_head import phrase_effects

MOST_REASONS = 8
LEAST_EFFECT = 1e-12  # less is the rounding of TreeSHAP
BASE = "(what is usual)"
WORDS = "what was said"
REST = "(everything else)"

MessageEffects = tuple[Int64s, Floats]  # touchpoints with text, and what each adds


@dataclass(frozen=True)
class Reason:
    """One effect on the log-odds of converting within the first horizon.

    All that is measured of one kind of touchpoint is one reason, called by the measure that moved the score most and
    with its value: a marketer asks what the visits did, not what their count in 30 days did beside that in 90. All that
    was said is one reason too: `event_id` names the message that moved the score most, `value` is that one's effect.
    """

    feature: str
    value: float | None
    effect: float
    event_id: str | None


@dataclass(frozen=True, eq=False)
class _Effects:
    """Effects of each column of the catalog (rows, columns), of each message, of having spoken, and what is left.

    `messages` holds a row's touchpoints with text and what each adds, one entry a head. `spoken` and `base` have the
    shape (rows,).
    """

    columns: Floats
    messages: list[list[MessageEffects]]
    spoken: Floats
    base: Floats


def explain(model: JourneyModel, asked: Asked, log: EventLog, embed: Embed | None) -> list[list[Reason]]:
    """Reasons of each row, strongest first, then the rest and the base; their effects sum to the log-odds.

    They explain the first horizon of `model.conversion`, which must exist. The trees' effects are TreeSHAP values, the
    rank line's and the text heads' are their terms; each times its weight in the blend.
    """
    conversion = model.conversion
    if conversion is None:
        raise ValueError("this model has no conversion to explain")
    rows, unknown = asked.conversion, model.nothing_known(asked)
    effects = _effects(model, rows, log, embed)
    groups, shift = _groups(model.reader.catalog), model.rate_shifts(conversion)[0]
    result = []
    for row in range(len(rows.features)):
        if unknown[row]:
            result.append([Reason(BASE, None, float(conversion.base_log_odds[0] + shift), None)])
            continue
        reasons = _of_features(model.reader.catalog, groups, rows.features[row], effects.columns[row])
        reasons += _of_messages(effects.messages[row], float(effects.spoken[row]), log)
        result.append([*_strongest(reasons), Reason(BASE, None, float(effects.base[row] + shift), None)])
    return result


def effects_by_column(model: JourneyModel, asked: Asked, log: EventLog, embed: Embed | None) -> tuple[Floats, Floats]:
    """What `explain` sums up: effects of each column of the catalog (rows, columns), and of all that was said (rows,).

    Zero for rows of whom nothing is known.
    """
    effects, known = _effects(model, asked.conversion, log, embed), ~model.nothing_known(asked)
    of_messages = [sum(float(moved.sum()) for _, moved in heads) for heads in effects.messages]
    return effects.columns * known[:, None], (np.array(of_messages) + effects.spoken) * known


def _effects(model: JourneyModel, rows: FeatureRows, log: EventLog, embed: Embed | None) -> _Effects:
    assert model.conversion is not None
    hazard = model.conversion.hazards[0]
    columns, base = _feature_effects(hazard, rows, len(model.reader.catalog))
    base += hazard.blend.intercept + hazard.blend.weights[1] * hazard.words.intercept
    spoken = np.zeros(len(base))
    messages: list[list[MessageEffects]] = [[] for _ in base]
    heads = _head_effects(model.conversion, rows, log, embed)
    for of_head, (of_messages, of_speaking, silent) in zip(hazard.words.weights, heads, strict=True):
        weight = hazard.blend.weights[1] * of_head
        for of_row, (events, effects) in zip(messages, of_messages, strict=True):
            of_row.append((events, weight * effects))
        spoken += weight * of_speaking
        base += weight * silent
    return _Effects(columns, messages, spoken, base)


def _feature_effects(hazard: Hazard, rows: FeatureRows, n_columns: int) -> tuple[Floats, Floats]:
    """What trees and line make of each column, and of none."""
    columns, base = np.zeros((len(rows.features), n_columns)), np.zeros(len(rows.features))
    for part, weight in ((hazard.trees, hazard.blend.weights[0]), (hazard.line, hazard.blend.weights[2])):
        if part is not None:
            contributions = weight * part.contributions(rows.features)
            columns[:, part.columns] += contributions[:, :-1]
            base += contributions[:, -1]
    return columns, base


def _head_effects(
    conversion: ConversionModel, rows: FeatureRows, log: EventLog, embed: Embed | None
) -> list[tuple[list[MessageEffects], Floats, float]]:
    """What each row's messages, having spoken at all, and silence add to each head of `ConversionModel.said`."""
    if rows.messages is None or rows.pools is None or embed is None:
        return []
    found = []
    if conversion.text_head is not None:
        head, said = conversion.text_head, embed_messages(log, rows.messages, embed)
        sides = message_effects(head, 0, rows.pools, log, rows.messages, said)
        events, effects = np.hstack([rows.messages.own, rows.messages.company]), np.hstack(sides)
        of_rows = [(of_row[of_row >= 0], moved[of_row >= 0]) for of_row, moved in zip(events, effects, strict=True)]
        speaking = np.any(rows.pools, axis=1) * (head.intercepts[0] - head.silent[0])
        found.append((of_rows, speaking, float(head.silent[0])))
    if conversion.phrase_head is not None and rows.phrases is not None and rows.viewed is not None:
        of_phrases = conversion.phrase_head
        told = phrase_effects(of_phrases, 0, rows.phrases, rows.viewed)
        slices = [slice(start, stop) for start, stop in pairwise(told.offsets)]
        of_rows = [(told.events[of_row], told.effects[of_row]) for of_row in slices]
        speaking = (np.diff(rows.phrases.offsets) > 0) * (of_phrases.intercepts[0] - of_phrases.silent[0])
        found.append((of_rows, speaking, float(of_phrases.silent[0])))
    return found


def _groups(catalog: list[Feature]) -> list[Int64s]:
    """Columns that make one reason: those of one kind of touchpoint, those of the market, and every other alone."""
    members: dict[str, list[int]] = {}
    for column, feature in enumerate(catalog):
        members.setdefault(feature.name.partition(KIND_CUT)[0], []).append(column)
    return [np.array(columns) for columns in members.values()]


def _of_features(catalog: list[Feature], groups: list[Int64s], values: Floats, effects: Floats) -> list[Reason]:
    reasons = []
    for columns in groups:
        strongest = int(columns[np.abs(effects[columns]).argmax()])
        if abs(effects[strongest]) > LEAST_EFFECT:
            total = float(effects[columns].sum())
            reasons.append(Reason(catalog[strongest].name, _value(values[strongest]), total, None))
    return reasons


def _of_messages(heads: list[MessageEffects], spoken: float, log: EventLog) -> list[Reason]:
    """All that was said is one reason, and the message that moved the score most stands for it."""
    if not any(len(events) for events, _ in heads):
        return []
    events, places = np.unique(np.concatenate([events for events, _ in heads]), return_inverse=True)
    moved = np.bincount(places, np.concatenate([effects for _, effects in heads]))
    strongest, total = int(np.abs(moved).argmax()), float(moved.sum() + spoken)
    if abs(total) <= LEAST_EFFECT:
        return []
    return [Reason(WORDS, float(moved[strongest]), total, log.event_ids[log.text[events[strongest]]])]


def _strongest(reasons: list[Reason]) -> list[Reason]:
    """The strongest reasons, and one for the sum of the others."""
    ordered = sorted(reasons, key=lambda reason: -abs(reason.effect))
    rest = sum(reason.effect for reason in ordered[MOST_REASONS:])
    return [*ordered[:MOST_REASONS], *([Reason(REST, None, rest, None)] if len(ordered) > MOST_REASONS else [])]


def _value(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
