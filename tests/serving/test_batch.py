"""Scores of a part of a list: one row for each asked pair, in the order asked, in frames of the contract's columns."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from features.touchpoints import TOUCHPOINT_TYPES
from serving import batch
from serving.batch import score_partition
from serving.score_frame import REASONS, UTC_US
from serving.scorer import Scorer

AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
NO_TOUCHPOINTS = pl.DataFrame(schema=TOUCHPOINT_TYPES)
SCHEMA = {
    "customer_id": pl.String(),
    "as_of": pl.Datetime("us", "UTC"),
    "stage": pl.String(),
    "stage_new": pl.Float64(),
    "stage_active": pl.Float64(),
    "plausible_stages": pl.List(pl.String()),
    "furthest_stage": pl.String(),
    "conversion": pl.Float64(),
    "conversion_low": pl.Float64(),
    "conversion_high": pl.Float64(),
    "conversion_percentile": pl.Float64(),
    "reliability": pl.String(),
    "model_version": pl.String(),
}
WITH_REASONS = SCHEMA | {"reasons": REASONS}


@pytest.fixture(scope="module")
def scorer(plain_bundle: Path) -> Scorer:
    return Scorer.load(plain_bundle)


def touchpoints(*acts: tuple[str, str, int]) -> pl.DataFrame:
    """Customer, action and day of January."""
    rows = [
        {"customer_id": who, "action": action, "occurred_at": datetime(2026, 1, day, tzinfo=UTC), "channel": "web"}
        for who, action, day in acts
    ]
    return pl.DataFrame(rows, schema=TOUCHPOINT_TYPES).with_columns(actor=pl.lit("customer"))


def pairs(*asked: tuple[str, int]) -> pl.DataFrame:
    """Customers at so many days before AS_OF."""
    as_of = pl.Series([AS_OF - timedelta(days=days) for _, days in asked], dtype=UTC_US)
    return pl.DataFrame({"customer_id": pl.Series([who for who, _ in asked], dtype=pl.String), "as_of": as_of})


SIX = touchpoints(
    ("shy", "asked", 10), ("guest", "visited", 5), ("buyer", "purchase", 15),
    ("shy", "asked", 3), ("buyer", "visited", 9), ("shy", "asked", 19),
)  # fmt: skip
ASKED = pairs(("shy", 0), ("unknown", 0), ("buyer", 0), ("buyer", 10), ("shy", 0), ("guest", 365), ("shy", 5))


@pytest.fixture(scope="module")
def scores(scorer: Scorer) -> pl.DataFrame:
    return score_partition(scorer, SIX, ASKED, True)


def test_each_asked_pair_has_its_row_in_the_order_asked(scores: pl.DataFrame) -> None:
    assert scores.select("customer_id", "as_of").equals(ASKED)
    assert scores["reliability"].to_list()[1] == scores["reliability"].to_list()[5] == "no_data"
    assert [row is None for row in scores["conversion"]] == [False, False, True, False, False, False, False]
    assert scores["furthest_stage"].to_list() == ["active", None, "new", "new", "active", None, "active"]
    assert scores[0].equals(scores[4])
    assert scores[0, "conversion"] != scores[6, "conversion"]


def test_a_customer_without_touchpoints_gets_the_base_rate(scores: pl.DataFrame) -> None:
    for unknown in (scores[1], scores[5]):
        assert unknown[0, "conversion"] == pytest.approx(0.4)
        assert unknown[0, "stage_new"] == pytest.approx(0.75)
        assert unknown[0, "furthest_stage"] is None


@pytest.mark.parametrize("reasons", [False, True])
def test_columns_and_types_are_the_contracts(scorer: Scorer, reasons: bool) -> None:
    scored = score_partition(scorer, SIX, ASKED, reasons)
    assert list(scored.schema.items()) == list((WITH_REASONS if reasons else SCHEMA).items())


def test_columns_and_types_hold_where_nobody_is_asked_for_and_where_all_is_null(scorer: Scorer) -> None:
    nobody = score_partition(scorer, NO_TOUCHPOINTS, pairs(), True)
    assert (nobody.height, nobody.schema) == (0, pl.Schema(WITH_REASONS))
    bought = score_partition(scorer, SIX, pairs(("buyer", 0)), True)
    assert (bought["conversion"].null_count(), bought.schema) == (1, pl.Schema(WITH_REASONS))


def test_where_there_is_no_touchpoint_at_all_everybody_has_a_row(scorer: Scorer) -> None:
    strangers = score_partition(scorer, NO_TOUCHPOINTS, pairs(("b", 0), ("a", 0)))
    assert strangers["customer_id"].to_list() == ["b", "a"]
    assert strangers["reliability"].to_list() == ["no_data", "no_data"]


@pytest.mark.parametrize("rows_at_a_time", [1, 2, 3])
def test_a_long_list_is_scored_in_parts_that_make_no_difference(
    scorer: Scorer, scores: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, rows_at_a_time: int
) -> None:
    monkeypatch.setattr(batch, "ROWS_AT_A_TIME", rows_at_a_time)
    assert score_partition(scorer, SIX, ASKED, True).equals(scores)


@pytest.mark.parametrize(
    "disturbed",
    [lambda rows: rows.reverse(), lambda rows: pl.concat([rows, rows[2:4]]), lambda rows: rows.sort("customer_id")],
)
def test_order_and_duplicates_make_no_difference(
    scorer: Scorer, scores: pl.DataFrame, disturbed: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    assert score_partition(scorer, disturbed(SIX), ASKED, True).equals(scores)
