"""What moves the forecasts most: the reasons of many rows, summed up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from features.aggregate import RECORD_MEASURES
from features.catalog import KIND_CUT, kind_words, touchpoint_features
from features.event_log import EventLog, Floats, Int64s
from features.market_features import MARKET_FEATURES
from features.rows import Embed
from features.vocabulary import Family
from models.journey_model import JourneyModel, Reader
from models.reasons import WORDS, effects_by_column
from training.labels import LabelledRows

MOST_ROWS: Final = 500  # exact contributions take milliseconds a row
CONVERSATION, MARKET, RECORD, ACTIONS = "conversation", "market", "stages recorded by the CRM", "actions"
RHYTHM: Final = "amount and rhythm"
GROUP_OF: Final[dict[Family, str]] = {
    "any": RHYTHM,
    "actor": RHYTHM,
    "channel": "channels",
    "action": ACTIONS,
    "channel and action": ACTIONS,
    "campaign": "campaigns",
    "message": CONVERSATION,
}


class Effect(NamedTuple):
    """Something known of a customer, and the mean size of its effect on the log-odds."""

    name: str
    size: float


@dataclass(frozen=True, eq=False)
class Influence:
    """Mean sizes of the effects on the first horizon's log-odds, the greatest first.

    `groups` sum the effects of a row within each group before taking their size, `kinds` within each kind of touchpoint
    and for every other feature alone, `columns` (catalog,) not at all.
    """

    rows: int
    horizon_days: int | None
    groups: list[Effect]
    kinds: list[Effect]
    columns: Floats


def measure_influence(model: JourneyModel, log: EventLog, rows: LabelledRows, embed: Embed | None) -> Influence | None:
    """Explain the rows, 500 of them at most, evenly spread; None where the model forecasts no conversion."""
    if model.conversion is None or not len(rows):
        return None
    some = rows.take(np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(np.int64)))
    asked = model.reader.read(log, some.customer, some.as_of_us, embed)
    effects, said = effects_by_column(model, asked, log, embed)
    names = [feature.name for feature in model.reader.catalog]
    return Influence(
        rows=len(some),
        horizon_days=model.conversion.horizons_days[0],
        groups=summed_effects(effects, said, groups_of(model.reader), CONVERSATION),
        kinds=summed_effects(effects, said, [name.partition(KIND_CUT)[0] for name in names], WORDS),
        columns=np.abs(effects).mean(axis=0),
    )


def summed_effects(effects: Floats, said: Floats, group: list[str], group_of_words: str) -> list[Effect]:
    """Mean |sum of a row's effects| within each group of columns; `said` (rows,) belongs to `group_of_words`.

    `effects` has the shape (rows, columns), `group` one name a column; groups without any effect are left out.
    """
    names = list(dict.fromkeys([*group, group_of_words]))
    columns: dict[str, Int64s] = {name: np.flatnonzero(np.array(group) == name) for name in names}
    total = {name: effects[:, columns[name]].sum(axis=1) for name in names}
    total[group_of_words] = total[group_of_words] + said
    sizes = [Effect(name, float(np.abs(effect).mean())) for name, effect in total.items()]
    return sorted((effect for effect in sizes if effect.size > 0), key=lambda effect: -effect.size)


def groups_of(reader: Reader) -> list[str]:
    """The group of each column of the catalog."""
    family = {kind_words(kind): GROUP_OF[kind.family] for kind in reader.vocabulary.kinds}
    touchpoints = [feature.name for feature in touchpoint_features(reader.vocabulary)]
    groups = [family.get(name.partition(KIND_CUT)[0], RHYTHM) for name in touchpoints]
    recorded = len(RECORD_MEASURES) if reader.vocabulary.stages_recorded else 0
    steps = len(reader.vocabulary.transitions)
    end = len(groups) - recorded
    groups[end - steps :] = [ACTIONS] * steps + [RECORD] * recorded
    said = len(reader.catalog) - len(groups) - len(MARKET_FEATURES)
    return [*groups, *[CONVERSATION] * said, *[MARKET] * len(MARKET_FEATURES)]
