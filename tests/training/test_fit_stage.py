"""The stage model fitted: classes as they occur, and sets that hold the true stage of people never seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss

from features.rows import FeatureRows
from models.journey_model import JourneyModel
from models.stage import StageModel, class_scores
from training import fit_stage as module
from training.fit_stage import fit_stage
from training.progress import silent
from training.split import FOLDS, person_folds

Codes = np.ndarray

pytestmark = pytest.mark.usefixtures("few_trees")


def rows_of(n: int, dimension: int | None = None) -> FeatureRows:
    random = np.random.default_rng(n)
    features = random.normal(size=(n, 5)).astype(np.float32)
    pools = None if dimension is None else random.normal(size=(n, dimension)).astype(np.float32)
    return FeatureRows(features, pools, None)


def stages_of(told_by: np.ndarray) -> Codes:
    """1, 2 or 4: the higher the first column, the further, with some noise."""
    further = told_by[:, 0] + 0.5 * np.random.default_rng(25).normal(size=len(told_by))
    return np.array([1, 2, 4], dtype=np.int8)[np.digitize(further, [-0.5, 1.0])]


def fitted_on(rows: FeatureRows, stage: Codes, n_stages: int = 5, seed: int = 0) -> StageModel | None:
    folds = person_folds([f"p{number}" for number in range(len(stage))], FOLDS, seed=0)
    return fit_stage(rows, stage, n_stages, folds, seed, silent)


def probabilities(model: StageModel, rows: FeatureRows) -> np.ndarray:
    return model.probabilities(rows, np.zeros(len(rows.features), dtype=np.bool_))


def test_where_no_stage_is_known_there_is_no_model() -> None:
    assert fitted_on(rows_of(50), np.full(50, -1, dtype=np.int8)) is None


def test_a_single_stage_is_what_everybody_is_in() -> None:
    rows = rows_of(50)
    model = fitted_on(rows, np.where(np.arange(50) % 2, 3, -1).astype(np.int8))

    assert model.trees is None
    assert probabilities(model, rows).tolist() == [[0, 0, 0, 1, 0]] * 50
    assert (
        model.plausible(probabilities(model, rows), np.full(50, 3)).tolist()
        == [[False, False, False, True, False]] * 50
    )


def test_classes_are_the_stages_that_occur() -> None:
    rows = rows_of(400)
    model = fitted_on(rows, stages_of(rows.features))
    counts = np.bincount(stages_of(rows.features), minlength=5)

    assert model.classes.tolist() == [1, 2, 4]
    assert model.shares.tolist() == (counts[[1, 2, 4]] / 400).tolist()
    assert not probabilities(model, rows)[:, [0, 3]].any()
    assert probabilities(model, rows).sum(axis=1) == pytest.approx(np.ones(400))


def test_what_tells_of_the_stage_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUNDS", (20,))
    learnt_from, asked = rows_of(1500), rows_of(1501)
    found = probabilities(fitted_on(learnt_from, stages_of(learnt_from.features)), asked).argmax(axis=1)

    assert (found == stages_of(asked.features)).mean() > 0.7


def test_rows_whose_stage_is_not_known_are_left_out() -> None:
    rows, unknown = rows_of(400), np.arange(400) % 5 == 2
    stage = np.where(unknown, -1, stages_of(rows.features)).astype(np.int8)
    strange = FeatureRows(np.where(unknown[:, None], 99, rows.features).astype(np.float32), None, None)
    one, other = fitted_on(rows, stage), fitted_on(strange, stage)

    assert one.trees.text == other.trees.text
    for name in ("blend", "decision", "thresholds"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    assert one.shares.sum() == pytest.approx(1.0)


def test_the_number_of_rounds_is_the_one_that_does_best_on_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def trees(rows: FeatureRows, stage: Codes, rounds: tuple[int, ...]) -> str:
        monkeypatch.setattr(module, "ROUNDS", rounds)
        return fitted_on(rows, stage).trees.text

    rows = rows_of(600)
    told = stages_of(2 * np.abs(rows.features) - 1)  # by what no line tells
    untold = np.random.default_rng(26).integers(0, 3, 600).astype(np.int8)
    assert trees(rows, told, (1, 20)) == trees(rows, told, (20,)) != trees(rows, told, (1,))
    assert trees(rows, untold, (1, 20)) == trees(rows, untold, (1,))


def test_probabilities_mean_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees that learn too fast are too sure of themselves; the blend tempers them."""
    monkeypatch.setattr(module, "ROUNDS", (40,))
    monkeypatch.setattr(module, "TREES", {**module.TREES, "learning_rate": 0.8, "lambda_l2": 0.0})
    learnt_from, asked = rows_of(500), rows_of(2000)
    model = fitted_on(learnt_from, stages_of(learnt_from.features))
    found = probabilities(model, asked)

    assert model.blend[0] < 0.8
    assert found.max(axis=1).mean() == pytest.approx(
        (found.argmax(axis=1) == stages_of(asked.features)).mean(), abs=0.05
    )


def test_words_tell_of_the_stage() -> None:
    told, untold = rows_of(800, dimension=3), rows_of(800)
    stage = stages_of(told.pools)
    with_words, without = fitted_on(told, stage), fitted_on(untold, stage)

    assert with_words.text_head.weights.shape == (2, 3)
    assert without.text_head is None
    loss = {
        name: log_loss(stage, probabilities(model, rows)[:, [1, 2, 4]])
        for name, model, rows in [("words", with_words, told), ("none", without, untold)]
    }
    assert loss["words"] < loss["none"] - 0.2


def test_a_line_on_ranks_tells_what_few_trees_cannot() -> None:
    """Five columns that each tell a little, of very different scales."""
    random = np.random.default_rng(27)
    told = random.normal(size=(800, 5))
    stage = np.digitize(told.sum(axis=1) + random.normal(size=800), [-1.5, 1.5]).astype(np.int8)
    rows = FeatureRows(np.exp(3 * told).astype(np.float32), None, None)
    model = fitted_on(rows, stage, n_stages=3)
    loss = {
        name: log_loss(stage, probabilities(of, rows))
        for name, of in [("line", model), ("none", replace(model, line=None))]
    }

    assert model.line.head.weights.shape == (3, 5)
    assert model.blend.shape == (4,)
    assert loss["line"] < loss["none"] - 0.2


def test_where_nothing_tells_the_stages_are_as_common_as_they_were() -> None:
    """Forty rows, too few for a tree to split: half of them of one stage."""
    stage = np.repeat([0, 1, 2, 3], [20, 10, 8, 2]).astype(np.int8)
    rows = FeatureRows(np.random.default_rng(5).normal(size=(40, 3)).astype(np.float32), None, None)
    found = probabilities(fitted_on(rows, stage, n_stages=4), rows)

    assert found.mean(axis=0) == pytest.approx([0.5, 0.25, 0.2, 0.05], abs=0.03)


def test_trees_look_at_what_words_and_line_say() -> None:
    """Behind the five features: two boundaries by the words, three stages by the line."""
    rows = rows_of(800, dimension=3)
    silent = rows_of(800)
    stage = stages_of(rows.pools)

    assert fitted_on(rows, stage).trees.columns.tolist() == list(range(10))
    assert fitted_on(silent, stage).trees.columns.tolist() == list(range(8))


def test_words_of_a_stage_between_two_others_are_understood() -> None:
    """Of three stages along one line no line separates the middle one; the boundaries on both sides do."""
    told = rows_of(800, dimension=1)
    stage = np.digitize(told.pools[:, 0], [-0.7, 0.7]).astype(np.int8)
    model = fitted_on(FeatureRows(np.zeros((800, 1), dtype=np.float32), told.pools, None), stage, n_stages=3)
    scores = class_scores([model.text_head.log_odds(told.pools)], (800, 3))[0]

    assert (scores.argmax(axis=1) == stage).mean() > 0.9


def test_where_too_few_spoke_words_are_not_read() -> None:
    rows = rows_of(400, dimension=3)
    rows.pools[30:] = 0

    assert fitted_on(rows, stages_of(rows.features)).text_head is None


def test_models_are_the_same_for_a_seed() -> None:
    rows = rows_of(300, dimension=2)
    stage = stages_of(rows.features)

    assert fitted_on(rows, stage).trees.text == fitted_on(rows, stage).trees.text
    assert fitted_on(rows, stage, seed=1).trees.text != fitted_on(rows, stage).trees.text


def test_plausible_sets_hold_the_stage_of_people_never_seen(fitted: JourneyModel, others, embed) -> None:
    asked = fitted.reader.read(others.log, others.rows.customer, others.rows.as_of_us, embed)
    forecast, stage = fitted.forecast(asked), others.rows.stage.astype(np.int64)
    held = forecast.plausible[np.arange(len(stage)), stage]

    assert held.mean() >= 0.88
    # Of each stage, rare ones too, though the rows of few people are what was learnt from and what is judged.
    assert min(held[stage == k].mean() for k in range(4)) >= 0.8
    assert forecast.plausible[np.arange(len(stage)), forecast.stage.argmax(axis=1)].all()
    assert forecast.plausible.sum(axis=1).mean() < 2.2
    assert (forecast.stage.argmax(axis=1) == stage).mean() > 0.75
