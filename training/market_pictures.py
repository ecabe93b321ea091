"""Pictures of what moves the forecasts and of what has moved since training."""

from __future__ import annotations

from training.drift import Drift
from training.influence import Effect, Influence
from training.pictures import Picture, rows_and_persons
from training.plot import bars

MOST_BARS = 12


def influence_pictures(influence: Influence, foot: str) -> list[Picture]:
    """What matters most, in groups and one by one; `foot` says what rows were explained."""
    return [
        _effects(
            "influence-groups",
            "What matters most",
            "How far each group moves a forecast, on average; 0.7 on the log-odds doubles or halves the odds.",
            influence.groups,
            foot,
        ),
        _effects(
            "influence-kinds",
            "The strongest single reasons",
            f"The {MOST_BARS} kinds of touchpoints and other features that move forecasts most.",
            influence.kinds[:MOST_BARS],
            foot,
        ),
    ]


def drift_picture(drift: Drift) -> Picture:
    """The greatest shifts from the rows learnt from to the rows judged."""
    shifts = drift.shifts[:MOST_BARS]
    chance = max(shift.by_chance for shift in shifts)
    foot = f"{drift.training_rows:,} rows of training against {rows_and_persons(drift.test_rows, drift.test_persons)}"
    svg = bars(
        [(shift.name, shift.stability_index, f"{shift.stability_index:.2f}") for shift in shifts],
        "fill against",
        foot,
        "Population stability index of the features that moved most.",
        chance,
    )
    return Picture(
        "drift",
        "What has moved since training",
        f"Population stability index of the {len(drift.shifts)} features that matter most, the greatest shifts first. "
        f"Left of the line ({chance:.2f}) chance alone explains a shift; above 0.25 a feature is another than it was.",
        foot,
        svg,
        ("feature", "stability index", "by chance up to"),
        tuple((shift.name, f"{shift.stability_index:.3f}", f"{shift.by_chance:.3f}") for shift in shifts),
    )


def _effects(name: str, title: str, reading: str, effects: list[Effect], foot: str) -> Picture:
    return Picture(
        name,
        title,
        reading,
        foot,
        bars([(effect.name, effect.size, f"{effect.size:.2f}") for effect in effects], "fill model", foot, title),
        ("feature", "mean effect on the log-odds"),
        tuple((effect.name, f"{effect.size:.3f}") for effect in effects),
    )
