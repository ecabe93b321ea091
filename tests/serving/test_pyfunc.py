"""MLflow's tools get the scorer's own numbers."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from features.event_log import to_us
from models.bundle import load_bundle
from serving.pyfunc import JourneycastModel, _load_pyfunc
from serving.refusal import Refusal
from serving.schemas import Touchpoint
from serving.scorer import Scorer
from training import tracking

AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
TOUCHPOINT = {"occurred_at": "2026-01-09T01:00:00+01:00", "channel": "web", "action": "visited"}


@pytest.fixture(scope="module")
def model(plain_bundle: Path) -> JourneycastModel:
    return _load_pyfunc(str(plain_bundle))


def frame(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["customer_id", "as_of", "touchpoints"])


def test_rows_keep_their_order_and_have_the_scorers_numbers(model: JourneycastModel, plain_bundle: Path) -> None:
    known = json.dumps([TOUCHPOINT])
    asked = frame(
        ("b", "2026-01-20T00:00:00Z", known),
        ("a", "2026-01-20T00:00:00Z", "[]"),
        ("b", "2026-01-01T01:00:00+01:00", known),
        ("b", "2026-01-20T00:00:00Z", known),
    )
    touchpoints = [Touchpoint(datetime(2026, 1, 9, tzinfo=UTC), "web", "visited")]
    scorer, earlier = Scorer.load(plain_bundle), AS_OF - timedelta(days=19)
    wanted = [
        *scorer.score_histories([("b", touchpoints), ("a", [])], to_us(AS_OF)),
        *scorer.score_histories([("b", touchpoints)], to_us(earlier)),
        *scorer.score_histories([("b", touchpoints)], to_us(AS_OF)),
    ]
    answered = model.predict(asked)
    joined = pd.DataFrame([row | {"plausible_stages": "|".join(row["plausible_stages"])} for row in wanted])
    pd.testing.assert_frame_equal(answered, joined, check_exact=True)
    assert answered["reliability"].tolist() == ["little_data", "no_data", "no_data", "little_data"]


def test_a_model_without_stages_answers_without_them(plain_bundle: Path) -> None:
    bundle = load_bundle(plain_bundle)
    without = replace(bundle, model=replace(bundle.model, stage=None))
    answered = JourneycastModel(Scorer(without, None)).predict(frame(("a", "2026-01-20T00:00:00Z", "[]")))
    assert [name for name in answered.columns if "stage" in name] == ["furthest_stage"]


@pytest.mark.parametrize(
    ("as_of", "touchpoints", "code", "field"),
    [
        ("2026-01-20T00:00:00", "[]", "naive_time", "as_of"),
        ("", "[]", "bad_time", "as_of"),
        ("2026-01-20T00:00:00Z", "", "malformed_json", None),
        ("2026-01-20T00:00:00Z", "{}", "wrong_type", "customers[0].touchpoints"),
        ("2026-01-20T00:00:00Z", '[], "customer_id": "other"', "duplicate_key", None),
        (
            "2026-01-20T00:00:00Z",
            json.dumps([TOUCHPOINT, TOUCHPOINT | {"value": "12"}]),
            "wrong_type",
            "customers[0].touchpoints[1].value",
        ),
        (
            "2026-01-20T00:00:00Z",
            json.dumps([TOUCHPOINT | {"CANARY": 1}]),
            "unknown_field",
            "customers[0].touchpoints[0]",
        ),
    ],
)
def test_a_row_that_breaks_the_contract_is_refused_by_its_field(
    model: JourneycastModel, as_of: str, touchpoints: str, code: str, field: str | None
) -> None:
    with pytest.raises(Refusal) as caught:
        model.predict(frame(("CANARY", as_of, touchpoints)))
    assert (caught.value.code, caught.value.field) == (code, field)
    assert "CANARY" not in str(caught.value)


@pytest.fixture(scope="module")
def market(trained: Path) -> pd.DataFrame:
    """Twenty simulated customers with all their touchpoints, as MLflow's tools would ask for them."""
    touchpoints = pl.read_parquet(trained / "simulated" / "touchpoints.parquet").sort("customer_id", "occurred_at")
    times = touchpoints.with_columns(pl.col("occurred_at", "recorded_at").dt.to_string("iso:strict"))
    some = times.partition_by("customer_id", maintain_order=True)[:20]
    return frame(
        *((rows["customer_id"][0], "2025-05-01T00:00:00Z", json.dumps(rows.rows(named=True))) for rows in some)
    )


@pytest.mark.usefixtures("store")
def test_a_registered_model_that_mlflow_loads_gives_the_scorers_numbers(trained: Path, market: pd.DataFrame) -> None:
    answered = tracking.mlflow.pyfunc.load_model("models:/journeycast@champion").predict(market)
    wanted = JourneycastModel(Scorer.load(trained / "bundle")).predict(market)
    pd.testing.assert_frame_equal(answered, wanted, check_exact=True)
    assert answered["customer_id"].tolist() == market["customer_id"].tolist()
    assert "ok" in answered["reliability"].tolist()
    assert answered["conversion_30d"].nunique() > 5
