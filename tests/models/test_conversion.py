"""The conversion model: hazards multiplied out by hand, and horizons that never cross."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import expit

from features.rows import FeatureRows
from models.calibration import Sigmoid
from models.conversion import ConversionModel, Hazard, cumulative
from models.intervals import VennAbers
from models.journey_model import Asked, JourneyModel
from models.linear_head import LinearHead
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
            Hazard(Sigmoid(0.0, 1.0), stump, Sigmoid(2.0, 0.0)),
            Hazard(Sigmoid(0.0, 0.0), stump, Sigmoid(0.5, 0.0)),
        ),
        intervals=(everything, everything),
        base_log_odds=np.log([1 / 9, 1 / 4]),
        reference=np.array([0.1, 0.2, 0.2, 0.4]),
        text_head=None,
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
    told = replace(simple, hazards=(replace(simple.hazards[0], start=Sigmoid(2.0, 1.0)), simple.hazards[1]))
    told = replace(told, text_head=head)
    said = rows(0, 0, pools=[[1, 0], [0, 0]])

    assert told.words(said).tolist() == [3.5, -1.0]
    assert told.probabilities(said, KNOWN)[:, 0] == pytest.approx(expit([2 * (-2 + 2 * 3.5 + 1), 2 * (-2 - 2 + 1)]))


def test_without_a_head_or_without_pools_words_say_nothing(simple: ConversionModel) -> None:
    head = LinearHead(np.array([[3.0]]), np.array([0.5]), np.array([-1.0]))

    assert simple.words(rows(0, 1, pools=[[1], [1]])).tolist() == [0, 0]
    assert replace(simple, text_head=head).words(rows(0, 1)).tolist() == [0, 0]


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
    probabilities = model.conversion.probabilities(FeatureRows(features, pools, None), known)

    assert np.ptp(probabilities[:, 0]) > 0.9
    assert (probabilities[:, 1] >= probabilities[:, 0]).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
