"""Boosting as training uses it: columns chosen by hand, and scores by trees that never saw the person asked."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from features.aggregate import Float32s
from training.boosting import grow, out_of_fold, telling_columns
from training.split import FOLDS, person_folds

NAN = float("nan")
BINARY = {"objective": "binary", "num_leaves": 5, "min_data_in_leaf": 5, "learning_rate": 0.2, "bagging_fraction": 0.7}
SAMPLING = BINARY | {"bagging_freq": 1, "feature_fraction": 0.5}
THREE_CLASSES = {**SAMPLING, "objective": "multiclass", "num_class": 3}
PERSONS = [f"p{number}" for number in range(60) for _ in range(10)]
FOLDS_OF_ROWS = person_folds(PERSONS, FOLDS, seed=0)

Codes = np.ndarray


@pytest.fixture(scope="module")
def features() -> Float32s:
    return np.random.default_rng(14).normal(size=(600, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def target(features: Float32s) -> Codes:
    noise = np.random.default_rng(15).normal(size=600)
    return (features[:, 0] - features[:, 3] + noise > 0.5).astype(np.int8)


def scores(
    features: Float32s,
    target: Codes,
    start: np.ndarray | None = None,
    folds: Codes = FOLDS_OF_ROWS,
    parameters: dict[str, float | str] = SAMPLING,
    rounds: tuple[int, ...] = (10,),
    seed: int = 0,
) -> np.ndarray:
    start = np.zeros((len(features), 1)) if start is None else start
    columns = np.arange(features.shape[1])
    return out_of_fold(features, target, start, columns, folds, parameters, rounds, seed)


def test_columns_that_vary_and_are_new_are_telling() -> None:
    features = np.array(
        [
            [1, 7, NAN, 1, 2, NAN, 0, 5],
            [2, 7, NAN, 2, 2, NAN, 0, 5],
            [3, 7, NAN, 3, 9, 4.0, 0, 5],
        ],
        dtype=np.float32,
    )

    assert telling_columns(features).tolist() == [0, 4, 5]


@pytest.mark.parametrize("features", [np.zeros((3, 2)), np.zeros((0, 2)), np.full((3, 2), NAN)])
def test_where_no_column_is_telling_the_first_is_kept(features: Float32s) -> None:
    found = telling_columns(features.astype(np.float32))

    assert (found.tolist(), found.dtype) == ([0], np.int64)


def test_trees_can_be_grown_on_a_column_that_tells_nothing(target: Codes) -> None:
    start = np.full((600, 1), 0.3)
    same = np.full((600, 1), 7.0, dtype=np.float32)

    assert np.ptp(grow(same, target, start, np.array([0]), SAMPLING, 3, 0).raw_scores(same)) == 0
    assert np.isfinite(scores(same, target, start)).all()


def test_a_fold_is_scored_by_trees_grown_on_the_others(features: Float32s, target: Codes) -> None:
    start, columns = np.random.default_rng(16).normal(size=(600, 1)), np.array([0, 2, 3])
    raw = out_of_fold(features, target, start, columns, FOLDS_OF_ROWS, SAMPLING, (4, 9), 3)

    assert raw.shape == (2, 600, 1)
    for fold in range(FOLDS):
        asked = np.int8(fold) == FOLDS_OF_ROWS
        learn = ~asked
        for i, rounds in enumerate((4, 9)):
            trees = grow(features[learn], target[learn], start[learn], columns, SAMPLING, rounds, 3)
            assert raw[i, asked, 0].tolist() == (start[asked, 0] + trees.raw_scores(features[asked])).tolist()


def test_classes_are_scored_as_columns(features: Float32s, target: Codes) -> None:
    stage = (target + (features[:, 1] > 0)).astype(np.int8)
    start = np.random.default_rng(17).normal(size=(600, 3))
    raw = scores(features, stage, start, parameters=THREE_CLASSES)

    assert raw.shape == (1, 600, 3)
    learn, asked = FOLDS_OF_ROWS != 2, FOLDS_OF_ROWS == 2
    trees = grow(features[learn], stage[learn], start[learn], np.arange(6), THREE_CLASSES, 10, 0)
    assert raw[0, asked] == pytest.approx(start[asked] + trees.raw_scores(features[asked]), abs=1e-12)


def test_trees_correct_what_they_start_from() -> None:
    """One Newton step of logistic regression: from 0 by 1/2 ÷ 1/4, from log-odds of ±ln 3 by 1/4 ÷ 3/16."""
    features, target = np.array([[0], [0], [0], [1], [1], [1]], dtype=np.float32), np.array([0, 0, 0, 1, 1, 1], np.int8)
    one_split = {"objective": "binary", "num_leaves": 2, "min_data_in_leaf": 1, "learning_rate": 1.0}
    for start, step in [(0.0, 2.0), (np.log(3), 4 / 3)]:
        begun = np.where(target == 1, start, -start)[:, None]
        trees = grow(features, target, begun, np.zeros(1, dtype=np.int64), one_split, 1, 0)
        assert trees.raw_scores(features) == pytest.approx([-step, -step, -step, step, step, step], abs=1e-6)


def test_each_class_starts_from_its_own_column() -> None:
    """From 2/3 for the true class of three and 1/6 for the others: a step is the gradient ÷ 3/2 of the hessian."""
    features, target = np.array([[0], [0], [1], [1], [2], [2]], dtype=np.float32), np.array([0, 0, 1, 1, 2, 2], np.int8)
    separate = {"objective": "multiclass", "num_class": 3, "num_leaves": 3, "min_data_in_leaf": 1, "learning_rate": 1.0}
    separate |= {"min_data_in_bin": 1, "min_sum_hessian_in_leaf": 0}
    begun = np.log(np.where(target[:, None] == np.arange(3), 4.0, 1.0))
    trees = grow(features, target, begun, np.zeros(1, dtype=np.int64), separate, 1, 0)

    own, other = (1 / 3) / (1.5 * 2 / 9), -(1 / 6) / (1.5 * 5 / 36)
    assert trees.raw_scores(features) == pytest.approx(np.where(target[:, None] == np.arange(3), own, other), abs=1e-6)


def test_what_tells_of_the_target_is_found(features: Float32s, target: Codes) -> None:
    assert roc_auc_score(target, scores(features, target)[0, :, 0]) > 0.75


def test_knowing_the_person_does_not_help() -> None:
    """Every person has one outcome, and a column that names the person: only trees that saw the person can tell."""
    random = np.random.default_rng(18)
    number = np.array([int(person[1:]) for person in PERSONS])
    features = random.permutation(60)[number][:, None].astype(np.float32)
    target = (random.random(60) < 0.5).astype(np.int8)[number]
    fine = BINARY | {"num_leaves": 31, "min_data_in_leaf": 1}
    by_person = scores(features, target, parameters=fine, rounds=(30,))[0, :, 0]
    by_row = scores(features, target, folds=(np.arange(600) % FOLDS).astype(np.int8), parameters=fine, rounds=(30,))

    assert roc_auc_score(target, by_row[0, :, 0]) > 0.99
    assert roc_auc_score(target, by_person) < 0.6


def test_outcomes_that_are_not_known_are_asked_but_not_learnt_from(features: Float32s, target: Codes) -> None:
    unknown = np.arange(600) % 4 == 1
    shown, hidden = np.where(unknown, -1, target).astype(np.int8), features.copy()
    hidden[unknown] = -99.0
    raw = scores(features, shown)[0, :, 0]

    assert (raw[unknown] != 0).all()
    assert raw[~unknown].tolist() == scores(hidden, shown)[0, ~unknown, 0].tolist()
    whole = np.zeros((600, 1))
    assert (
        grow(features, shown, whole, np.arange(6), SAMPLING, 5, 0).text
        == grow(hidden, shown, whole, np.arange(6), SAMPLING, 5, 0).text
    )


@pytest.mark.parametrize("others", [lambda _: 0, lambda _: 1, lambda _: -1], ids=["no", "yes", "unknown"])
def test_a_fold_whose_others_agree_keeps_its_start(others: Callable[[int], int], features: Float32s) -> None:
    target = np.where(FOLDS_OF_ROWS == 1, np.arange(600) % 2, others(0)).astype(np.int8)
    start = np.arange(600.0)[:, None]
    raw = scores(features, target, start, rounds=(2, 3))

    kept = (raw == start).all(axis=(0, 2))
    assert kept[FOLDS_OF_ROWS == 1].all()
    assert not kept[FOLDS_OF_ROWS != 1].all()


def test_folds_without_rows_are_passed_over(features: Float32s, target: Codes) -> None:
    two = (np.arange(600) % 2 * 3).astype(np.int8)

    assert np.ptp(scores(features, target, folds=two)) > 0.1


def test_trees_are_the_same_for_a_seed(features: Float32s, target: Codes) -> None:
    def text(seed: int) -> str:
        return grow(features, target, np.zeros((600, 1)), np.arange(6), SAMPLING, 8, seed).text

    assert text(0) == text(0)
    assert text(0) != text(1)
    assert scores(features, target).tolist() == scores(features, target).tolist()


def test_trees_know_their_columns(features: Float32s, target: Codes) -> None:
    columns = np.array([3, 0])
    trees = grow(features, target, np.zeros((600, 1)), columns, BINARY, 5, 0)
    elsewhere = np.full((600, 9), NAN, dtype=np.float32)
    elsewhere[:, [0, 3]] = features[:, [0, 3]]

    assert trees.columns.tolist() == [3, 0]
    assert trees.raw_scores(elsewhere).tolist() == trees.raw_scores(features).tolist()


def test_ctrl_c_ends_the_folds_that_have_begun(features: Float32s, target: Codes) -> None:
    columns, start = np.arange(6), np.zeros((600, 1))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    ctrl_c = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    began = time.monotonic()
    try:
        ctrl_c.start()
        with pytest.raises(KeyboardInterrupt):
            out_of_fold(features, target, start, columns, FOLDS_OF_ROWS, BINARY, [1_000_000], seed=0)
        ctrl_c.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 60  # a million trees take hours
