"""Feature rows of a list are what the models see of each pair."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.event_log import EventLog, to_us
from features.touchpoints import TOUCHPOINT_TYPES
from models.bundle import load_bundle
from serving.batch import score_partition
from serving.feature_rows import SCORERS, FeatureScorer, Seen
from serving.schemas import Touchpoint
from serving.score_frame import UTC_US, frame_of
from serving.scorer import Scorer

AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
VISITS = [Touchpoint(datetime(2026, 1, day, tzinfo=UTC), "web", "visited") for day in (2, 5)]


def test_each_feature_is_a_column_and_what_is_not_known_is_null(plain_bundle: Path) -> None:
    log = EventLog.from_records([("known", VISITS)])
    customer, as_of_us = np.array([0, -1]), np.array([to_us(AS_OF)] * 2)
    rows = frame_of(FeatureScorer.load(plain_bundle).score(log, ["known", "stranger"], customer, as_of_us))
    catalog = load_bundle(plain_bundle).model.reader.catalog
    assert rows.columns == ["customer_id", "as_of", *(feature.name for feature in catalog)]
    assert rows["any touchpoint: times ever"].to_list() == [2.0, 0.0]
    assert rows["any touchpoint: days since the last"].is_null().to_list() == [False, True]


@pytest.mark.parametrize("seen_by", ["conversion", "stage"])
def test_the_features_are_those_of_the_model_that_sees_them(plain_bundle: Path, seen_by: Seen) -> None:
    log = EventLog.from_records([("known", VISITS)])
    customer, as_of_us = np.array([0]), np.array([to_us(AS_OF)])
    rows = frame_of(SCORERS[seen_by].load(plain_bundle).score(log, ["known"], customer, as_of_us))
    asked = load_bundle(plain_bundle).model.reader.read(log, customer, as_of_us, None)
    expected = (asked.conversion if seen_by == "conversion" else asked.stage).features[0]
    np.testing.assert_array_equal(rows.drop("customer_id", "as_of").to_numpy()[0].astype(float), expected)


def test_a_list_of_features_is_not_taken_for_one_of_scores(plain_bundle: Path) -> None:
    versions = {scorer.load(plain_bundle).model_version for scorer in SCORERS.values()}
    assert len(versions) == 3
    assert Scorer.load(plain_bundle).model_version in versions


def test_nobody_has_the_same_columns(plain_bundle: Path) -> None:
    features, nobody = (
        FeatureScorer.load(plain_bundle),
        pl.DataFrame(schema={"customer_id": pl.String, "as_of": UTC_US}),
    )

    assert score_partition(features, pl.DataFrame(schema=TOUCHPOINT_TYPES), nobody).height == 0
