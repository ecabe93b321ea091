"""Trees read back from their text: scores and contributions known by hand, then whatever rows are asked together."""

from __future__ import annotations

import numpy as np
import pytest

from models.journey_model import Asked, JourneyModel
from models.trees import Trees

SIX = np.array([[0], [1], [0], [1], [np.nan], [7]], dtype=np.float32)


def test_one_split_of_six_rows(stump: Trees) -> None:
    assert stump.raw_scores(SIX).tolist() == pytest.approx([-2, 2, -2, 2, -2, 2], abs=1e-6)


def test_contributions_end_with_the_base(stump: Trees) -> None:
    # Half of the training rows lie on either side: the base is their mean.
    assert stump.contributions(SIX[:2]) == pytest.approx(np.array([[-2, 0], [2, 0]]), abs=1e-6)


def test_only_the_named_columns_are_read(stump: Trees) -> None:
    third = Trees(stump.text, np.array([2]))
    features = np.array([[9, np.nan, 0, 5], [-9, 0, 1, np.nan]], dtype=np.float32)

    assert third.raw_scores(features).tolist() == pytest.approx([-2, 2], abs=1e-6)
    assert third.contributions(features) == pytest.approx(np.array([[-2, 0], [2, 0]]), abs=1e-6)


def test_contributions_sum_to_the_raw_scores(model: JourneyModel, asked: Asked) -> None:
    for hazard in model.conversion.hazards:
        raw, contributions = (
            ask(asked.conversion.features) for ask in (hazard.trees.raw_scores, hazard.trees.contributions)
        )

        assert np.ptp(raw) > 1
        assert contributions.shape == (len(raw), len(hazard.trees.columns) + 1)
        assert contributions.sum(axis=1) == pytest.approx(raw, abs=1e-9)


def test_scores_have_one_column_a_class(model: JourneyModel, asked: Asked) -> None:
    assert model.stage.trees.raw_scores(asked.stage.features).shape == (len(asked.stage.features), 4)


def test_no_rows_have_no_scores_and_no_contributions(model: JourneyModel, asked: Asked, stump: Trees) -> None:
    assert stump.raw_scores(SIX[:0]).shape == (0,)
    assert stump.contributions(SIX[:0]).shape == (0, 2)
    assert model.stage.trees.raw_scores(asked.stage.features[:0]).shape == (0, 4)


def test_a_row_alone_has_the_score_it_has_among_others(model: JourneyModel, asked: Asked) -> None:
    features = asked.conversion.features
    trees = model.conversion.hazards[0].trees
    alone = [float(trees.raw_scores(features[row : row + 1])[0]) for row in range(20)]

    assert alone == trees.raw_scores(features)[:20].tolist()
