"""The same answers as LightGBM itself, on rows that take every way."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest

from features.aggregate import Float32s
from models.forest import Forest


def awkward_rows(count: int, seed: int) -> Float32s:
    """Numbers, zeros, almost zeros and nothing."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 6)).astype(np.float32)
    for value, share in ((0.0, 0.2), (np.nan, 0.2), (1e-36, 0.05), (-1e-36, 0.05), (np.inf, 0.02)):
        rows[random.random(rows.shape) < share] = value
    return rows


def grown(objective: str, **more: object) -> lgb.Booster:
    rows = awkward_rows(400, seed=1)
    rows[:, 5] = np.nan_to_num(rows[:, 5])  # a column that never misses anything
    target = (np.nan_to_num(rows[:, 0], posinf=1) + 2 * np.isnan(rows[:, 1]) > 0.3).astype(int)
    target += (np.nan_to_num(rows[:, 5], posinf=1) > 0.5) if objective == "multiclass" else 0
    parameters = {"objective": objective, "verbosity": -1, "seed": 0, "num_leaves": 9, "min_data_in_leaf": 5, **more}
    return lgb.train(parameters, lgb.Dataset(rows, target), 12)


ASKED = awkward_rows(300, seed=2)
EACH = np.arange(6)
KINDS = [{}, {"zero_as_missing": True}, {"use_missing": False}, {"max_depth": 1}]


@pytest.mark.parametrize("more", KINDS)
@pytest.mark.parametrize("objective", ["binary", "multiclass"])
def test_scores_are_lightgbms_to_the_bit(objective: str, more: dict[str, object]) -> None:
    booster = grown(objective, **({"num_class": 3} if objective == "multiclass" else {}), **more)
    expected = np.asarray(booster.predict(ASKED, raw_score=True)).reshape(len(ASKED), -1)
    scores = Forest.parse(booster.model_to_string()).raw_scores(ASKED, EACH)
    assert len(np.unique(expected)) >= 5
    assert scores.tobytes() == expected.tobytes()
    few = Forest.parse(booster.model_to_string()).raw_scores(ASKED[:3], EACH)
    assert few.tobytes() == expected[:3].tobytes()


@pytest.mark.parametrize("more", KINDS)
def test_contributions_are_lightgbms(more: dict[str, object]) -> None:
    booster = grown("binary", **more)
    contributions = Forest.parse(booster.model_to_string()).contributions(ASKED)
    assert np.abs(contributions - booster.predict(ASKED, pred_contrib=True)).max() < 1e-12


def test_trees_of_a_single_leaf_have_one_score() -> None:
    booster = grown("binary", min_data_in_leaf=1_000)
    forest = Forest.parse(booster.model_to_string())
    assert (
        forest.raw_scores(ASKED, EACH).tobytes()
        == np.asarray(booster.predict(ASKED, raw_score=True))[:, None].tobytes()
    )
    assert forest.contributions(ASKED) == pytest.approx(np.asarray(booster.predict(ASKED, pred_contrib=True)))


def test_what_this_reader_does_not_know_is_refused() -> None:
    text = grown("binary").model_to_string()
    for changed in (text.replace("num_cat=0", "num_cat=1"), text.replace("is_linear=0", "is_linear=1")):
        with pytest.raises(ValueError, match="categorical splits or linear leaves"):
            Forest.parse(changed)
    with pytest.raises(ValueError, match="this model has 3"):
        Forest.parse(grown("multiclass", num_class=3).model_to_string()).contributions(ASKED)
