"""The columns of a model's scores, without its reasons: names in the contract's order, and what they hold."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from features.journey import conversion_column
from models.journey_model import JourneyModel


class Column(NamedTuple):
    """What a column holds, and whether a row may leave it empty: who has converted has no probability of it."""

    kind: Literal["string", "datetime", "double"]
    may_be_empty: bool = False


WORDS: Final = Column("string")


def score_columns(model: JourneyModel) -> dict[str, Column]:
    """The columns that every scored row of this model has."""
    columns = {"customer_id": WORDS, "as_of": Column("datetime")}
    if model.stage is not None:
        by_stage = {name: Column("double") for name in model.reader.journey.stage_columns.values()}
        columns |= {"stage": WORDS, **by_stage, "plausible_stages": WORDS}
    columns |= {"furthest_stage": Column("string", may_be_empty=True)}
    if model.conversion is not None:
        names = map(conversion_column, model.conversion.horizons_days)
        forecasts = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
        columns |= {name: Column("double", may_be_empty=True) for name in [*forecasts, "conversion_percentile"]}
    return columns | {"reliability": WORDS, "model_version": WORDS}
