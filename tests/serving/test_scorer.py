"""Scores keep the contract, and depend on what was known of the customer at as_of and on nothing else."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy.special import logit

from features.embedder import Embedder
from features.errors import BadUsage
from features.event_log import EventLog, from_us, to_us
from features.journey import Journey
from features.touchpoints import TOUCHPOINT_TYPES, drop_duplicates, read_touchpoints
from models.base_rates import BaseRate
from models.bundle import load_bundle
from models.journey_model import JourneyModel
from models.market_file import FresherMarket, read_market, write_market
from serving.schemas import Touchpoint
from serving.scorer import Scorer

AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
PLAIN_COLUMNS = [
    "customer_id", "as_of", "stage", "stage_new", "stage_active", "plausible_stages", "furthest_stage",
    "conversion", "conversion_low", "conversion_high", "conversion_percentile", "reliability", "model_version",
]  # fmt: skip
COLUMNS = [
    "customer_id", "as_of", "stage", "stage_awareness", "stage_consideration", "stage_conversion", "stage_advocacy",
    "plausible_stages", "furthest_stage", "conversion_30d", "conversion_30d_low", "conversion_30d_high",
    "conversion_90d", "conversion_90d_low", "conversion_90d_high", "conversion_percentile", "reliability",
    "model_version",
]  # fmt: skip
MARKET_AS_OF = datetime(2025, 5, 1, tzinfo=UTC)

Row = dict[str, Any]


@pytest.fixture(scope="module")
def plain(plain_bundle: Path) -> Scorer:
    return Scorer.load(plain_bundle)


@pytest.fixture(scope="module")
def scorer(trained: Path) -> Scorer:
    return Scorer.load(trained / "bundle")


@pytest.fixture(scope="module")
def market(trained: Path) -> pl.DataFrame:
    return read_touchpoints(trained / "simulated" / "touchpoints.parquet").frame


@pytest.fixture(scope="module")
def market_rows(scorer: Scorer, market: pl.DataFrame) -> list[Row]:
    return score_frame(scorer, market)


@pytest.fixture(scope="module")
def variant(plain_bundle: Path) -> Callable[..., Scorer]:
    """The plain scorer with parts of its model exchanged."""
    bundle = load_bundle(plain_bundle)
    return lambda **parts: Scorer(replace(bundle, model=replace(bundle.model, **parts)), None)


def touchpoint(day: float, action: str = "visited", **fields: Any) -> Touchpoint:
    """`day` of January 2026; the customer may not know of it before `fields["recorded_at"]`."""
    return Touchpoint(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day - 1), "web", action, **fields)


def score_frame(scorer: Scorer, frame: pl.DataFrame, as_of: datetime = MARKET_AS_OF, reasons: bool = True) -> list[Row]:
    """As a batch does it."""
    log = EventLog.from_frame(drop_duplicates(frame))
    customers = np.arange(len(log.customer_ids))
    return scorer.score(log, log.customer_ids, customers, np.full(len(customers), to_us(as_of)), reasons).rows()


def histories_of(frame: pl.DataFrame) -> list[tuple[str, list[Touchpoint]]]:
    """As the endpoint gets them."""
    groups = frame.partition_by("customer_id", as_dict=True, maintain_order=True)
    return [
        (str(customer_id), msgspec.convert(group.drop("customer_id").to_dicts(), list[Touchpoint], strict=False))
        for (customer_id,), group in groups.items()
    ]


def one(scorer: Scorer, touchpoints: Sequence[Touchpoint], as_of: datetime = AS_OF, reasons: bool = False) -> Row:
    (row,) = scorer.score_histories([("a", touchpoints)], to_us(as_of), reasons)
    return row


# The columns


def test_columns_without_a_horizon_are_the_contracts_in_its_order(plain: Scorer) -> None:
    assert list(one(plain, [touchpoint(5)])) == PLAIN_COLUMNS
    assert list(one(plain, [touchpoint(5)], reasons=True)) == [*PLAIN_COLUMNS, "reasons"]


def test_columns_of_the_default_journey_are_the_contracts_in_its_order(market_rows: list[Row], scorer: Scorer) -> None:
    assert {tuple(row) for row in market_rows} == {(*COLUMNS, "reasons")}
    assert list(one(scorer, [])) == COLUMNS


def test_what_training_had_no_labels_for_is_absent(variant: Callable[..., Scorer]) -> None:
    no_stage, no_conversion = one(variant(stage=None), [touchpoint(5)]), one(variant(conversion=None), [touchpoint(5)])
    assert list(no_stage) == [name for name in PLAIN_COLUMNS if not name.startswith(("stage", "plausible"))]
    assert list(no_conversion) == [name for name in PLAIN_COLUMNS if not name.startswith("conversion")]
    assert no_stage["furthest_stage"] == no_conversion["furthest_stage"] == "new"
    assert "reasons" not in one(variant(conversion=None), [touchpoint(5)], reasons=True)


def test_types_are_the_contracts(market_rows: list[Row]) -> None:
    row = next(row for row in market_rows if row["reliability"] == "ok" and row["conversion_30d"] is not None)
    words = {"customer_id", "stage", "furthest_stage", "reliability", "model_version"}
    lists = {"plausible_stages", "reasons"}
    assert {name: type(value) for name, value in row.items()} == {
        name: str if name in words else list if name in lists else datetime if name == "as_of" else float
        for name in [*COLUMNS, "reasons"]
    }
    assert (row["as_of"], row["as_of"].tzinfo) == (MARKET_AS_OF, UTC)
    assert {tuple(map(type, reason.values())) for reason in row["reasons"]} <= {
        (str, value, float, event_id) for value in (float, type(None)) for event_id in (str, type(None))
    }


def test_a_model_says_which_it_is_and_what_it_can(plain: Scorer, plain_bundle: Path) -> None:
    described = plain.describe()
    assert described["model_version"] == load_bundle(plain_bundle).version == one(plain, [])["model_version"]
    assert described["journey"]["stages"] == ["new", "active"]
    assert (described["horizons_days"], described["reads_text"]) == ([None], False)
    assert described["features"] > 0


# Nothing known


def test_somebody_of_whom_nothing_is_known_gets_the_base_rate_and_no_data(plain: Scorer) -> None:
    row = one(plain, [], reasons=True)
    assert row["conversion_low"] <= 40 / 100 <= row["conversion_high"]
    assert row | {"conversion_low": 0, "conversion_high": 1, "conversion_percentile": 0, "plausible_stages": []} == {
        "customer_id": "a",
        "as_of": AS_OF,
        "stage": "new",
        "stage_new": pytest.approx(75 / 100),
        "stage_active": pytest.approx(25 / 100),
        "plausible_stages": [],
        "furthest_stage": None,
        "conversion": pytest.approx(40 / 100),
        "conversion_low": 0,
        "conversion_high": 1,
        "conversion_percentile": 0,
        "reliability": "no_data",
        "model_version": plain.model_version,
        "reasons": [
            {"feature": "(what is usual)", "value": None, "effect": pytest.approx(math.log(40 / 60)), "event_id": None}
        ],
    }


@pytest.mark.parametrize(
    "touchpoints",
    [
        [touchpoint(20.000001, "asked")],
        [touchpoint(5, "asked", recorded_at=AS_OF + timedelta(microseconds=1))],
        [touchpoint(5, "purchase", recorded_at=AS_OF + timedelta(days=1)), touchpoint(21)],
    ],
    ids=["later", "recorded later", "bought, recorded later"],
)
def test_what_was_not_known_at_as_of_is_as_if_it_were_not(plain: Scorer, touchpoints: list[Touchpoint]) -> None:
    assert one(plain, touchpoints, reasons=True) == one(plain, [], reasons=True)


def test_what_is_known_at_as_of_to_the_microsecond_counts(plain: Scorer) -> None:
    visits = [touchpoint(5), touchpoint(9)]
    in_time = [touchpoint(day, "asked", recorded_at=AS_OF) for day in (3, 10)]
    too_late = [touchpoint(day, "asked", recorded_at=AS_OF + timedelta(microseconds=1)) for day in (3, 10)]
    assert one(plain, visits + in_time)["conversion"] > 0.4 > one(plain, visits)["conversion"]
    assert one(plain, visits + in_time)["furthest_stage"] == "active"
    assert one(plain, visits + too_late) == one(plain, visits)


# Already converted


def test_whoever_converted_has_null_conversions_no_reasons_and_everything_else(plain: Scorer) -> None:
    before = [touchpoint(2), touchpoint(3, "asked")]
    bought = one(plain, [*before, touchpoint(9, "purchase")], reasons=True)
    assert bought["reasons"] == []
    assert {name for name, value in bought.items() if value is None} == {
        "conversion", "conversion_low", "conversion_high", "conversion_percentile",
    }  # fmt: skip
    assert None not in one(plain, [*before, touchpoint(9, "purchase")], as_of=AS_OF - timedelta(days=12)).values()
    assert None not in one(plain, [*before, touchpoint(9, "purchase", recorded_at=touchpoint(21).occurred_at)]).values()


def test_where_conversions_repeat_nobody_is_done(variant: Callable[..., Scorer], plain_bundle: Path) -> None:
    model: JourneyModel = load_bundle(plain_bundle).model
    journey = model.reader.journey.to_dict()
    journey["conversion"]["repeatable"] = True
    repeatable = variant(reader=replace(model.reader, journey=Journey.from_dict(journey)))
    assert None not in one(repeatable, [touchpoint(9, "purchase")]).values()


def test_a_stage_that_the_crm_recorded_is_no_conversion(variant: Callable[..., Scorer], plain_bundle: Path) -> None:
    model: JourneyModel = load_bundle(plain_bundle).model
    journey = model.reader.journey.to_dict()
    journey["conversion"]["actions"] = ["stage: active"]
    scorer = variant(reader=replace(model.reader, journey=Journey.from_dict(journey)))
    recorded = Touchpoint(touchpoint(8).occurred_at, "crm", "stage: active", actor="company")

    assert None not in one(scorer, [touchpoint(5), recorded]).values()
    assert None in one(scorer, [touchpoint(5), touchpoint(8, "stage: active")]).values()


def test_of_the_market_exactly_those_who_bought_have_null_conversions(
    market: pl.DataFrame, market_rows: list[Row]
) -> None:
    known = pl.max_horizontal("occurred_at", "recorded_at") <= MARKET_AS_OF
    bought = set(market.filter(known & (pl.col("action") == "purchase"))["customer_id"])
    conversions = [name for name in COLUMNS if name.startswith("conversion_")]
    assert len(bought) > 20
    for row in market_rows:
        assert {row[name] is None for name in conversions} == {row["customer_id"] in bought}


# Sound numbers


def test_the_markets_scores_are_sound(market_rows: list[Row]) -> None:
    stages = ["awareness", "consideration", "conversion", "advocacy"]
    for row in market_rows:
        probabilities = [row[f"stage_{stage}"] for stage in stages]
        assert sum(probabilities) == pytest.approx(1.0)
        assert {row["stage"], stages[probabilities.index(max(probabilities))]} <= set(row["plausible_stages"])
        assert row["stage"] in row["plausible_stages"]
        assert row["plausible_stages"] == [stage for stage in stages if stage in row["plausible_stages"]]
        if row["conversion_30d"] is not None:
            assert 0 < row["conversion_30d"] <= row["conversion_90d"] < 1
            assert row["conversion_30d_low"] <= row["conversion_30d"] <= row["conversion_30d_high"]
            assert row["conversion_90d_low"] <= row["conversion_90d"] <= row["conversion_90d_high"]


def test_percentiles_rise_with_the_conversion_they_rank(market_rows: list[Row]) -> None:
    ranked = [row for row in market_rows if row["conversion_30d"] is not None]
    pairs = sorted((row["conversion_30d"], row["conversion_percentile"]) for row in ranked)
    percentiles = [percentile for _, percentile in pairs]
    assert percentiles == sorted(percentiles)
    assert 0 <= percentiles[0] < 20
    assert 80 < percentiles[-1] <= 100


def test_reasons_sum_to_the_log_odds_of_the_first_horizon_and_name_no_others_messages(
    market: pl.DataFrame, market_rows: list[Row]
) -> None:
    said = market.filter(pl.col("text").is_not_null()).select("customer_id", "event_id")
    messages = set(said.iter_rows())
    for row in market_rows:
        if row["conversion_30d"] is not None:
            effects = sum(reason["effect"] for reason in row["reasons"])
            assert effects == pytest.approx(math.log(row["conversion_30d"] / (1 - row["conversion_30d"])))
        event_ids = [reason["event_id"] for reason in row["reasons"] if reason["event_id"] is not None]
        assert {(row["customer_id"], event_id) for event_id in event_ids} <= messages


def test_reasons_change_no_score(scorer: Scorer, market: pl.DataFrame, market_rows: list[Row]) -> None:
    without = [{name: row[name] for name in COLUMNS} for row in market_rows]
    assert score_frame(scorer, market, reasons=False) == without


# The same answer, however it is asked for


def test_histories_score_like_a_frame_to_the_last_bit(
    scorer: Scorer, market: pl.DataFrame, market_rows: list[Row]
) -> None:
    assert scorer.score_histories(histories_of(market), to_us(MARKET_AS_OF), reasons=True) == market_rows


def test_each_asked_pair_has_its_row_in_order_whoever_else_is_asked_for(
    scorer: Scorer, market: pl.DataFrame, market_rows: list[Row]
) -> None:
    log = EventLog.from_frame(market)
    asked = [3, 1, -1, 3, 200]
    moments = np.full(len(asked), to_us(MARKET_AS_OF))
    ids = [log.customer_ids[customer] if customer >= 0 else "unknown" for customer in asked]
    rows = scorer.score(log, ids, np.array(asked), moments, reasons=True).rows()
    assert rows[2]["reliability"] == "no_data"
    assert [*rows[:2], *rows[3:]] == [market_rows[customer] for customer in (3, 1, 3, 200)]
    earlier = to_us(MARKET_AS_OF - timedelta(days=90))
    two_times = scorer.score(log, ids[:1] * 2, np.array([3, 3]), np.array([earlier, moments[0]]), reasons=True).rows()
    assert two_times[1] == market_rows[3]
    assert two_times[0]["as_of"] == MARKET_AS_OF - timedelta(days=90)
    assert two_times[0] != two_times[1] | {"as_of": two_times[0]["as_of"]}


def test_a_history_that_comes_twice_is_scored_twice(plain: Scorer) -> None:
    rows = plain.score_histories([("a", [touchpoint(9)]), ("a", []), ("a", [])], to_us(AS_OF))
    assert [row["reliability"] for row in rows] == ["little_data", "no_data", "no_data"]
    assert rows[1] == rows[2]


def test_nobody_asked_for_nobody_answered(plain: Scorer) -> None:
    assert plain.score_histories([], to_us(AS_OF), reasons=True) == []
    log = EventLog.from_records([])
    nothing = plain.score(log, [], np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), reasons=True)
    assert (list(nothing.columns), nothing.rows()) == ([*PLAIN_COLUMNS, "reasons"], [])


def test_the_future_order_and_repeats_of_the_markets_rows_change_no_score(
    scorer: Scorer, market: pl.DataFrame, market_rows: list[Row]
) -> None:
    known = market.filter(pl.max_horizontal("occurred_at", "recorded_at") <= MARKET_AS_OF)
    seen = set(known["customer_id"])
    assert market.height - known.height > 500
    assert score_frame(scorer, known) == [row for row in market_rows if row["customer_id"] in seen]
    shuffled = pl.concat([market, market.sample(fraction=0.5, seed=1)]).sample(fraction=1.0, shuffle=True, seed=2)
    assert score_frame(scorer, shuffled) == market_rows


SECONDS = st.integers(0, 400 * 86_400)
KNOWN = st.builds(
    lambda ago_s, late_s, channel, action, actor, value, campaign: Touchpoint(
        AS_OF - timedelta(seconds=ago_s),
        channel,
        action,
        recorded_at=None if late_s is None else AS_OF - timedelta(seconds=min(ago_s, late_s)),
        actor=actor,
        value=value,
        campaign=campaign,
    ),
    SECONDS,
    st.none() | SECONDS,
    st.sampled_from(["web", "chat", "store"]),
    st.sampled_from(["visited", "asked", "purchase", "sang"]),
    st.sampled_from(["customer", "company"]),
    st.none() | st.floats(-1e6, 1e6),
    st.sampled_from([None, "spring"]),
)
LATER = st.builds(
    lambda touchpoint, late_us, recorded_only: msgspec.structs.replace(
        touchpoint,
        occurred_at=touchpoint.occurred_at if recorded_only else AS_OF + timedelta(microseconds=late_us),
        recorded_at=AS_OF + timedelta(microseconds=late_us),
    ),
    KNOWN,
    st.integers(1, 10**14),
    st.booleans(),
)


@examples(max_examples=60)
@given(known=st.lists(KNOWN, max_size=8), later=st.lists(LATER, max_size=4), random=st.randoms(use_true_random=False))
def test_later_shuffled_and_repeated_touchpoints_change_no_score(
    plain: Scorer, known: list[Touchpoint], later: list[Touchpoint], random: Any
) -> None:
    more = [*known, *later, *known[:3]]
    random.shuffle(more)
    assert one(plain, more, reasons=True) == one(plain, known, reasons=True)


@examples(max_examples=60)
@given(st.lists(KNOWN, max_size=8), st.integers(-14 * 60, 14 * 60))
def test_one_moment_has_one_score_whatever_its_offset(
    plain: Scorer, known: list[Touchpoint], offset_minutes: int
) -> None:
    zone = timezone(timedelta(minutes=offset_minutes))
    elsewhere = [
        msgspec.structs.replace(
            touchpoint,
            occurred_at=touchpoint.occurred_at.astimezone(zone),
            recorded_at=touchpoint.recorded_at and touchpoint.recorded_at.astimezone(zone),
        )
        for touchpoint in known
    ]
    assert one(plain, elsewhere, AS_OF.astimezone(zone)) == one(plain, known)


@examples(max_examples=60)
@given(st.lists(st.lists(KNOWN, min_size=1, max_size=5), max_size=4))
def test_any_histories_score_like_a_frame(plain: Scorer, histories: list[list[Touchpoint]]) -> None:
    records = [
        msgspec.structs.asdict(row) | {"customer_id": f"c{i}"} for i, history in enumerate(histories) for row in history
    ]
    frame = pl.DataFrame(records, schema=TOUCHPOINT_TYPES)
    named = [(f"c{i}", history) for i, history in enumerate(histories)]
    assert score_frame(plain, frame, AS_OF) == plain.score_histories(named, to_us(AS_OF), reasons=True)


def test_where_there_is_no_bundle_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadUsage) as caught:
        Scorer.load(tmp_path)
    assert caught.value.code == "no_bundle"


# A fresher market


@pytest.fixture(scope="module")
def fresher(trained: Path, market: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A survey ten days before MARKET_AS_OF, as `journeycast market` writes it."""
    reader = load_bundle(trained / "bundle").model.reader
    moment = np.array([to_us(MARKET_AS_OF - timedelta(days=10))], dtype=np.int64)
    path = tmp_path_factory.mktemp("fresher") / "market"
    surveyed = reader.survey(EventLog.from_frame(drop_duplicates(market)), moment)
    write_market(FresherMarket(surveyed, {}), reader, path)
    return path


def test_a_fresher_market_gives_the_scores_of_a_reader_with_it(
    trained: Path, fresher: Path, scorer: Scorer, market: pl.DataFrame, market_rows: list[Row]
) -> None:
    bundle = load_bundle(trained / "bundle")
    reader = bundle.model.reader
    by_hand = replace(bundle.model, reader=replace(reader, market=read_market(fresher, reader).market))
    wanted = score_frame(
        Scorer(replace(bundle, model=by_hand), Embedder.with_cache(trained / "bundle" / "embedder", threads=1)), market
    )
    with_market = Scorer.load(trained / "bundle", market=fresher)
    rows = score_frame(with_market, market)

    assert with_market.model_version.startswith(f"{bundle.version}+")
    assert rows == [row | {"model_version": with_market.model_version} for row in wanted]
    assert with_market.score_histories(histories_of(market), to_us(MARKET_AS_OF), reasons=True) == rows
    assert wanted != market_rows
    assert (with_market.describe()["market_as_of"], scorer.describe()["market_as_of"]) == (
        (MARKET_AS_OF - timedelta(days=10)).isoformat(),
        from_us(reader.market.moments_us[-1]).isoformat(),
    )


def test_with_newer_base_rates_every_forecast_moves_and_reasons_sum_to_it(
    trained: Path, fresher: Path, market: pl.DataFrame, tmp_path: Path
) -> None:
    reader = load_bundle(trained / "bundle").model.reader
    rates = {"conversion_30d": BaseRate(0.02, -1.0), "conversion_90d": BaseRate(0.05, -0.5)}
    write_market(FresherMarket(read_market(fresher, reader).market, rates), reader, tmp_path / "market")
    before = score_frame(Scorer.load(trained / "bundle", market=fresher), market)
    scorer = Scorer.load(trained / "bundle", market=tmp_path / "market")
    asked = [
        row for row in zip(before, score_frame(scorer, market), strict=True) if row[0]["conversion_30d"] is not None
    ]

    for old, new in asked:
        assert logit(new["conversion_30d"]) == pytest.approx(logit(old["conversion_30d"]) - 1.0)
        assert new["conversion_30d_low"] <= new["conversion_30d"] <= new["conversion_30d_high"]
        assert new["conversion_90d_low"] <= new["conversion_90d"] <= new["conversion_90d_high"]
        assert sum(reason["effect"] for reason in new["reasons"]) == pytest.approx(
            logit(new["conversion_30d"]), abs=1e-6
        )
        assert (new["conversion_percentile"], new["stage"]) == (old["conversion_percentile"], old["stage"])
    assert len(asked) > 20
    assert scorer.describe()["base_rates"] == {"conversion_30d": 0.02, "conversion_90d": 0.05}


def test_another_bundles_market_is_refused(plain_bundle: Path, fresher: Path) -> None:
    with pytest.raises(BadUsage, match="survey it again") as refused:
        Scorer.load(plain_bundle, market=fresher)
    assert refused.value.code == "other_market"
