"""The conversion model: hazards multiplied out by hand, and horizons that never cross."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import expit

from features.phrases import PhraseRows
from features.rows import FeatureRows
from models.calibration import Blend
from models.conversion import ConversionModel, Hazard, cumulative
from models.intervals import VennAbers
from models.journey_model import Asked, JourneyModel
from models.linear_head import LinearHead
from models.phrase_head import PhraseHead
from models.rank_line import RankLine
from models.trees import Trees

KNOWN = np.zeros(2, dtype=np.bool_)
hazards = arrays.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(0, 1))


@pytest.fixture(scope="module")
def simple(stump: Trees) -> ConversionModel:
    """Raw scores of -2 and 2, shifted by 1 and doubled, then halved for the second horizon."""
    everything = VennAbers(np.array([0.0]), np.array([0.0]), np.array([1.0]))
    return ConversionModel(
        horizons_days=(30, None),
        hazards=(
            Hazard(Blend((), 1.0), stump, None, Blend((2.0, 2.0, 1.0), 0.0)),
            Hazard(Blend((), 0.0), stump, None, Blend((0.5, 0.5, 1.0), 0.0)),
        ),
        intervals=(everything, everything),
        base_log_odds=np.log([1 / 9, 1 / 4]),
        reference=np.array([0.1, 0.2, 0.2, 0.4]),
        text_head=None,
        phrase_head=None,
    )


def rows(*values: float, pools: list[list[float]] | None = None) -> FeatureRows:
    features = np.array(values, dtype=np.float32)[:, None]
    return FeatureRows(features, None if pools is None else np.array(pools, dtype=np.float32), None)


def test_hazards_multiply_out() -> None:
    assert cumulative(np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 1.0]])) == pytest.approx(
        np.array([[0.5, 0.75, 0.75], [0.1, 0.28, 1.0]])
    )


def test_two_customers_by_hand(simple: ConversionModel) -> None:
    probabilities = simple.probabilities(rows(0, 1), KNOWN)
    first, second = expit([2 * (-2 + 1), 2 * (2 + 1)]), expit([-1, 1])

    assert probabilities[:, 0] == pytest.approx(first)
    assert probabilities[:, 1] == pytest.approx(1 - (1 - first) * (1 - second))


def test_words_move_the_start(simple: ConversionModel) -> None:
    head = LinearHead(np.array([[3.0, 0.0]]), np.array([0.5]), np.array([-1.0]))
    first, second = (replace(hazard, words=Blend((2.0,), 1.0)) for hazard in simple.hazards)
    told = replace(simple, hazards=(first, second), text_head=head)
    said = rows(0, 0, pools=[[1, 0], [0, 0]])

    assert told.said(said).tolist() == [[3.5], [-1.0]]
    assert told.probabilities(said, KNOWN)[:, 0] == pytest.approx(expit([2 * (-2 + 2 * 3.5 + 1), 2 * (-2 - 2 + 1)]))


def test_without_a_head_or_without_pools_words_say_nothing(simple: ConversionModel) -> None:
    head = LinearHead(np.array([[3.0]]), np.array([0.5]), np.array([-1.0]))

    assert simple.said(rows(0, 1, pools=[[1], [1]])).shape == (2, 0)
    assert replace(simple, text_head=head).said(rows(0, 1)).shape == (2, 0)


def test_phrases_and_ranks_are_added(simple: ConversionModel) -> None:
    weights = np.array([[1.0, -3, 0, 0, 0, 0, 0, 0]])
    head = PhraseHead(weights, np.array([0.25]), np.array([-1.0]), np.array([False]))
    line = RankLine(
        np.zeros(1, dtype=np.int64), np.float32([[0, 1]]), LinearHead(np.ones((1, 1)), np.ones(1), np.zeros(1))
    )
    first, second = (replace(hazard, words=Blend((1.0,), 0.0), line=line) for hazard in simple.hazards)
    told = replace(simple, hazards=(first, second), phrase_head=head)
    phrases = PhraseRows(np.array([0, 1, 1]), np.int32([1]), np.float32([0.5]), 8)
    said = replace(rows(0, 1), phrases=phrases)

    assert told.said(said).tolist() == [[-1.25], [-1.0]]
    # 0 lies half way between below and not above of two points: a rank of -0.25; 1 one of 0.25.
    assert told.probabilities(said, KNOWN)[:, 0] == pytest.approx(expit([2 * (-2 - 1.25) + 0.75, 2 * (2 - 1) + 1.25]))


def test_bounds_hold_the_probability_and_never_fall_with_the_horizon(simple: ConversionModel) -> None:
    narrow = VennAbers(np.array([0.0, 1.0]), np.array([0.0, 0.2]), np.array([0.1, 0.3]))
    wide = VennAbers(np.array([0.0, 1.0]), np.array([0.4, 0.5]), np.array([0.6, 1.0]))
    low, high = replace(simple, intervals=(wide, narrow)).bounds(np.array([[0.5, 0.6], [0.0, 0.0]]))

    assert low[0] == pytest.approx([0.45, 0.45])
    assert high[0] == pytest.approx([0.8, 0.8])
    assert low[1] == pytest.approx([0, 0])
    assert high[1] == pytest.approx([0.6, 0.6])


def test_of_whom_nothing_is_known_the_base_rate_is_said(simple: ConversionModel) -> None:
    probabilities = simple.probabilities(rows(0, 1), np.array([True, False]))

    assert probabilities[0] == pytest.approx([0.1, 1 - 0.9 * 0.8])
    assert probabilities[1, 0] == pytest.approx(expit(6))


def test_percentiles_count_the_rows_at_or_below(simple: ConversionModel) -> None:
    asked = np.array([0.05, 0.1, 0.15, 0.2, 0.39, 0.4, 1.0])

    assert simple.percentile(asked).tolist() == [0, 25, 25, 75, 75, 100, 100]


@given(hazards)
def test_longer_horizons_are_never_less_likely(hazard: np.ndarray) -> None:
    probabilities = cumulative(hazard)

    assert probabilities.shape == hazard.shape
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    assert (np.diff(probabilities, axis=1) >= 0).all()


def test_horizons_never_cross_whatever_the_features(model: JourneyModel, asked: Asked) -> None:
    random = np.random.default_rng(11)
    features = random.normal(0, 1e3, size=asked.conversion.features.shape).astype(np.float32)
    features[random.random(features.shape) < 0.3] = np.nan
    pools = random.normal(0, 30, size=asked.conversion.pools.shape).astype(np.float32)
    known = np.zeros(len(features), dtype=np.bool_)
    rows_ = FeatureRows(features, pools, None, asked.conversion.phrases)
    probabilities = model.conversion.probabilities(rows_, known)

    assert np.ptp(probabilities[:, 0]) > 0.9
    assert (probabilities[:, 1] >= probabilities[:, 0]).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
