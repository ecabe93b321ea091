"""On real data: batch equals endpoint to the last bit, and only what was known at as_of tells."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import polars as pl
import pytest

from features.embedder import Embedder
from features.event_log import EventLog, to_us
from features.journey import load_journey
from features.touchpoints import read_touchpoints
from models.bundle import save_bundle
from serving.app import make_app
from serving.score_list import Order, score_list
from serving.scorer import Scorer
from serving.settings import Settings
from training.embedder_export import exported_embedder
from training.fit import fit
from training.labels import rows_by_labels

EXAMPLES = Path(__file__).parents[1] / "examples"
CUSTOMERS = 500
CONVERTERS = 40  # besides, to learn from: the quietest customers hardly ever convert
AS_OF = {
    "bank_loans": datetime(2012, 1, 15, tzinfo=UTC),
    "lean_community": datetime(2021, 7, 1, tzinfo=UTC),
}

Row = dict[str, Any]


class Market(NamedTuple):
    """500 real customers, a moment in the midst of their record, and a model that was trained on them."""

    touchpoints: pl.DataFrame
    as_of: datetime
    scorer: Scorer


@pytest.fixture(scope="module", params=AS_OF)
def market(request: pytest.FixtureRequest, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Market:
    """The customers with the fewest messages, so that few have to be embedded."""
    labels = pl.read_parquet(real_data / request.param / "labels.parquet")
    every = pl.scan_parquet(real_data / request.param / "touchpoints.parquet")
    messages = every.group_by("customer_id").agg(pl.col("text").count()).sort("text", "customer_id").collect()
    quietest = messages["customer_id"][:CUSTOMERS]
    converted = labels.filter("converted")["customer_id"]
    converters = messages.filter(pl.col("customer_id").is_in(converted.implode()))["customer_id"][:CONVERTERS]
    folder = tmp_path_factory.mktemp(request.param)
    some = pl.col("customer_id").is_in(pl.concat([quietest, converters]).implode())
    every.filter(some).collect().write_parquet(folder / "touchpoints.parquet")
    touchpoints = read_touchpoints(folder / "touchpoints.parquet").frame
    _train(request.param, touchpoints, labels.filter(some), folder / "bundle")
    asked = touchpoints.filter(pl.col("customer_id").is_in(quietest.implode()))
    return Market(asked, AS_OF[request.param], Scorer.load(folder / "bundle"))


def _train(name: str, touchpoints: pl.DataFrame, labels: pl.DataFrame, out: Path) -> None:
    journey, log = load_journey(EXAMPLES / f"{name}.toml"), EventLog.from_frame(touchpoints)
    embedder_folder = exported_embedder("minilm") if log.texts else None
    embed = Embedder.with_cache(embedder_folder).embed if embedder_folder else None
    model = fit(rows_by_labels(journey, log, labels), log, journey, embed, seed=0)
    save_bundle(model, embedder_folder, out)


@pytest.fixture(scope="module")
def scores(market: Market, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return scored(market, market.touchpoints, tmp_path_factory.mktemp("asked"))


def scored(market: Market, touchpoints: pl.DataFrame, folder: Path) -> list[Row]:
    """As a batch scores them: from a file, everybody in it, with reasons."""
    touchpoints.write_parquet(folder / "touchpoints.parquet")
    order = Order([folder / "touchpoints.parquet"], to_us(market.as_of), None, [], True, 0.05, 16 * 10**9)
    score_list(market.scorer, order, folder / "scores.parquet", None, lambda *_: None)
    return pl.read_parquet(folder / "scores.parquet").to_dicts()


def answered(market: Market, customers: list[Row]) -> Row:
    """As the endpoint answers them."""
    question = {"as_of": market.as_of.isoformat(), "customers": customers, "reasons": True}

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(market.scorer, Settings()))
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as caller:
            return await caller.post("/score", json=question)

    response = asyncio.run(post())
    assert response.status_code == 200, response.text
    return dict(json.loads(response.text))


def test_the_sample_is_worth_asking(market: Market, scores: list[Row]) -> None:
    known = known_at(market.as_of)
    assert len(scores) == market.touchpoints["customer_id"].n_unique() == CUSTOMERS
    assert 0.2 < market.touchpoints.filter(known).height / market.touchpoints.height < 0.9
    assert len({row["stage"] for row in scores}) > 1
    assert sum(row["reliability"] != "no_data" for row in scores) > 200
    (conversion,) = (name for name in scores[0] if name in ("conversion", "conversion_180d"))
    assert len({row[conversion] for row in scores}) > 50
    assert any(row[conversion] is None for row in scores)


def test_the_endpoint_and_a_batch_give_500_real_customers_the_same_numbers(market: Market, scores: list[Row]) -> None:
    times = pl.col("occurred_at", "recorded_at").dt.to_string("iso:strict")
    groups = market.touchpoints.with_columns(times).partition_by("customer_id", maintain_order=True)
    customers = [
        {"customer_id": group["customer_id"][0], "touchpoints": group.drop("customer_id").to_dicts()}
        for group in groups
    ]
    moment = market.as_of.isoformat().replace("+00:00", "Z")
    assert answered(market, customers) == {
        "model_version": market.scorer.model_version,
        "as_of": moment,
        "scores": [row | {"as_of": moment} for row in scores],
    }


def test_what_came_to_be_known_after_as_of_changes_no_score(market: Market, scores: list[Row], tmp_path: Path) -> None:
    """Neither what is in the record, nor the past mirrored into the future, nor a past recorded too late."""
    known = market.touchpoints.filter(known_at(market.as_of))
    anew = known.with_columns(event_id=pl.format("later-{}", "event_id"))
    moment = pl.lit(market.as_of).cast(pl.Datetime("us", "UTC"))
    future = anew.with_columns(occurred_at=moment + (moment - pl.col("occurred_at")) + pl.duration(microseconds=1))
    late = anew.with_columns(
        event_id=pl.format("late-{}", "event_id"), recorded_at=moment + pl.duration(microseconds=1)
    )
    assert future["occurred_at"].min() > market.as_of
    seen = set(known["customer_id"])
    expected = [row for row in scores if row["customer_id"] in seen]
    assert scored(market, known, tmp_path) == expected
    assert scored(market, pl.concat([known, future, late]), tmp_path) == expected


def test_the_order_of_rows_and_exact_duplicates_change_no_score(
    market: Market, scores: list[Row], tmp_path: Path
) -> None:
    assert scored(market, twice_and_shuffled(market.touchpoints), tmp_path) == scores
    nameless = market.touchpoints.with_columns(event_id=pl.lit(None, dtype=pl.String))
    assert scored(market, twice_and_shuffled(nameless), tmp_path) == scored(market, nameless, tmp_path)


def test_another_moment_has_other_scores(market: Market, scores: list[Row], tmp_path: Path) -> None:
    later = scored(market._replace(as_of=market.as_of + timedelta(days=30)), market.touchpoints, tmp_path)
    assert sum(row["stage"] != before["stage"] for row, before in zip(later, scores, strict=True)) > 0


def twice_and_shuffled(touchpoints: pl.DataFrame) -> pl.DataFrame:
    twice = pl.concat([touchpoints, touchpoints.sample(fraction=0.5, seed=1)])
    return twice.sample(fraction=1.0, shuffle=True, seed=2)


def known_at(as_of: datetime) -> pl.Expr:
    return pl.max_horizontal("occurred_at", "recorded_at") <= as_of
