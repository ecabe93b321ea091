"""The stage model: probabilities and plausible sets by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from features.rows import FeatureRows
from models.journey_model import Asked, JourneyModel
from models.linear_head import LinearHead
from models.stage import StageModel, beside_answers, class_probabilities, class_scores
from models.trees import Trees

NO_TREES = StageModel(
    n_stages=4,
    classes=np.array([1, 3]),
    shares=np.array([0.75, 0.25]),
    trees=None,
    line=None,
    start=np.zeros(0),
    blend=np.ones(3),
    decision=np.array([1.0, 2.0]),
    thresholds=np.array([0.2, 0.4]),
    text_head=None,
    phrase_head=None,
)


def test_raw_scores_become_probabilities() -> None:
    raw = np.log([[2.0, 1.0, 1.0], [1.0, 1.0, 1.0]])

    once, both = np.ones(1), np.array([1.0, 2.0])

    assert class_probabilities(raw[None], once) == pytest.approx(
        np.array([[1 / 2, 1 / 4, 1 / 4], [1 / 3, 1 / 3, 1 / 3]])
    )
    assert class_probabilities(raw[None], 2 * once)[0] == pytest.approx([4 / 6, 1 / 6, 1 / 6])
    assert class_probabilities(np.stack([raw, raw]), both)[0] == pytest.approx([8 / 10, 1 / 10, 1 / 10])


def test_without_trees_everybody_has_the_shares() -> None:
    rows = FeatureRows(np.zeros((2, 5), dtype=np.float32), None, None)

    assert NO_TREES.probabilities(rows, np.array([True, False])).tolist() == [[0, 0.75, 0, 0.25]] * 2


def test_a_stage_that_training_has_not_seen_is_never_plausible() -> None:
    probabilities = np.array([[0, 0.75, 0, 0.25], [0, 0.15, 0, 0.85], [0, 0.6, 0, 0.4]])

    assert NO_TREES.plausible(probabilities, probabilities.argmax(axis=1)).tolist() == [
        [False, True, False, False],
        [False, False, False, True],
        [False, True, False, True],
    ]


def test_the_likeliest_stage_is_plausible_whatever_the_thresholds() -> None:
    strict = replace(NO_TREES, thresholds=np.array([1.0, 1.0]))

    assert strict.plausible(np.array([[0, 0.55, 0, 0.45]]), np.array([1])).tolist() == [[False, True, False, False]]
    assert strict.plausible(np.array([[0, 0.55, 0, 0.45]]), np.array([3])).tolist() == [[False, True, False, True]]


def test_a_rare_stage_is_named_before_it_is_the_likeliest_unless_nothing_is_known() -> None:
    probabilities = np.array([[0, 0.6, 0, 0.4], [0, 0.7, 0, 0.3], [0, 0.6, 0, 0.4]])

    assert NO_TREES.decided(probabilities, np.array([False, False, True])).tolist() == [3, 1, 1]


def test_a_class_scores_what_is_passed_on_the_way_to_it() -> None:
    """Boundaries are passed by chances of 2/3 and 1/4, each its own; to pass the second alone is no class."""
    reached = np.log([[2.0, 1 / 3], [1.0, 1.0]])
    one, other = class_scores([reached, -reached], (2, 3))

    assert one == pytest.approx(np.log([[1.0, 2.0, 2 / 3], [1.0, 1.0, 1.0]]))
    assert other == pytest.approx(-one)
    assert softmax(one, axis=1)[0] == pytest.approx(np.array([1 / 3 * 3 / 4, 2 / 3 * 3 / 4, 2 / 3 * 1 / 4]) * 12 / 11)
    assert class_scores([], (2, 3)).shape == (0, 2, 3)


def test_trees_look_at_the_answers_behind_the_features() -> None:
    features = np.array([[1.0, 2.0], [3.0, np.nan]], dtype=np.float32)
    seen = beside_answers(features, [np.array([[0.5], [0.25]]), np.array([[7.0], [8.0]])])

    assert seen.dtype == np.float32
    assert np.array_equal(seen, [[1.0, 2.0, 0.5, 7.0], [3.0, np.nan, 0.25, 8.0]], equal_nan=True)
    assert beside_answers(features, []).shape == (2, 2)


def test_words_trees_and_line_are_added(model: JourneyModel, asked: Asked) -> None:
    rows, heard = asked.stage, np.zeros(len(asked.stage.features), dtype=np.bool_)
    with_words = model.stage.probabilities(rows, heard)
    said = [model.stage.text_head.log_odds(rows.pools), model.stage.phrase_head.log_odds(rows.phrases)]
    line = model.stage.line.log_odds(rows.features)
    trees = model.stage.trees.raw_scores(np.hstack([rows.features, *said, line]).astype(np.float32))
    words = class_scores(said, trees.shape)[0] + 0.5 * class_scores(said, trees.shape)[1]

    assert with_words == pytest.approx(softmax(0.8 * trees + 0.8 * words + 0.5 * line, axis=1))
    assert np.abs(with_words - softmax(0.8 * trees + 0.5 * line, axis=1)).max() > 0.1


def test_without_words_and_line_trees_look_at_the_features_alone(model: JourneyModel, asked: Asked) -> None:
    rows, heard = asked.stage, np.zeros(len(asked.stage.features), dtype=np.bool_)
    columns = np.arange(len(model.stage.trees.columns))
    alone = Trees(model.stage.trees.text, columns)
    silent = replace(model.stage, trees=alone, line=None, text_head=None, phrase_head=None, start=np.zeros(0))

    assert silent.probabilities(rows, heard) == pytest.approx(softmax(0.8 * alone.raw_scores(rows.features), axis=1))


def test_trees_put_their_classes_at_the_journeys_places(model: JourneyModel, asked: Asked) -> None:
    rows, known = asked.stage, np.zeros(len(asked.stage.features), dtype=np.bool_)
    six_stages = replace(model.stage, n_stages=6, classes=np.array([0, 2, 3, 5]))
    wide = six_stages.probabilities(rows, known)

    assert wide[:, [0, 2, 3, 5]].tolist() == model.stage.probabilities(rows, known).tolist()
    assert not wide[:, [1, 4]].any()


def test_of_whom_nothing_is_known_the_shares_are_said(model: JourneyModel, asked: Asked) -> None:
    nothing_known = np.arange(len(asked.stage.features)) % 2 == 0
    probabilities = model.stage.probabilities(asked.stage, nothing_known)

    assert (probabilities[nothing_known] == [0.4, 0.3, 0.2, 0.1]).all()
    assert not (probabilities[~nothing_known] == [0.4, 0.3, 0.2, 0.1]).all(axis=1).any()


@pytest.mark.parametrize("factor", [0.05, 1.0, 20.0])
def test_probabilities_sum_to_one(model: JourneyModel, asked: Asked, factor: float) -> None:
    shouting = LinearHead(np.full((3, 24), 30.0) * np.arange(1, 4)[:, None], np.zeros(3), np.zeros(3))
    extreme = replace(model.stage, blend=np.array([factor, factor, factor]), text_head=shouting)
    probabilities = extreme.probabilities(asked.stage, np.zeros(len(asked.stage.features), dtype=np.bool_))

    assert probabilities.min() >= 0
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(probabilities)), abs=1e-12)
    decided = extreme.decided(probabilities, np.zeros(len(probabilities), dtype=np.bool_))
    for named in (probabilities.argmax(axis=1), decided):
        assert extreme.plausible(probabilities, decided)[np.arange(len(probabilities)), named].all()
