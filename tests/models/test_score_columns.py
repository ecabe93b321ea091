"""The columns promised of a model are those that its scores have."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from features.event_log import EventLog
from models.bundle import Bundle, load_bundle
from models.score_columns import Column, score_columns
from serving.score_frame import frame_of
from serving.scorer import Scorer

KINDS = {"string": (pl.String, pl.List(pl.String)), "datetime": (pl.Datetime("us", "UTC"),), "double": (pl.Float64,)}


def of_bundle(bundle: Bundle) -> dict[str, Column]:
    """The columns promised, after a look at those that a customer without touchpoints is given."""
    scorer = Scorer(bundle, None)
    log = EventLog.from_records([("a", [])])
    frame = frame_of(scorer.score(log, ["a"], log.customer_rows(["a"]), log.offsets[:1]))
    promised = score_columns(bundle.model)
    assert frame.columns == list(promised)
    assert all(frame.schema[name] in KINDS[column.kind] for name, column in promised.items())
    assert all(column.may_be_empty for name, column in promised.items() if frame[name].null_count())
    return promised


def test_a_model_of_two_stages_and_one_conversion(plain_bundle: Path) -> None:
    promised = of_bundle(load_bundle(plain_bundle))
    assert list(promised) == [
        "customer_id", "as_of", "stage", "stage_new", "stage_active", "plausible_stages", "furthest_stage",
        "conversion", "conversion_low", "conversion_high", "conversion_percentile", "reliability", "model_version",
    ]  # fmt: skip
    assert [name for name, column in promised.items() if column.may_be_empty] == [
        "furthest_stage", "conversion", "conversion_low", "conversion_high", "conversion_percentile",
    ]  # fmt: skip


@pytest.mark.parametrize("missing", ["stage", "conversion"])
def test_a_model_of_one_of_the_two(plain_bundle: Path, missing: str) -> None:
    bundle = load_bundle(plain_bundle)
    promised = of_bundle(replace(bundle, model=replace(bundle.model, **{missing: None})))
    assert [name for name in promised if name.startswith(missing)] == []
