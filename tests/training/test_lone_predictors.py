"""What tells too well: cells counted by hand, planted leaks found by name, and honest strong features let pass."""

import numpy as np
import pytest

from features.phrases import PhraseRows, Phrases
from features.rows import FeatureRows
from training.lone_predictors import _answer, _bins, lone_predictors
from training.split import FOLDS

NAN = float("nan")
ROWS = 1_000
FOLD = (np.arange(ROWS) % FOLDS).astype(np.int8)
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.normal(size=ROWS).astype(np.float32)
CONVERTED = (RANDOM.random(ROWS) < 0.2).astype(np.int8)


def found(*columns: np.ndarray, converted: np.ndarray = CONVERTED) -> list[str]:
    rows = FeatureRows(np.column_stack([NOISE, *columns]).astype(np.float32), None, None)
    names = ["noise", *(f"feature {i}" for i in range(len(columns)))]
    return [told.feature for told in lone_predictors(rows, names, None, converted, FOLD, seed=0)]


def test_equal_values_share_a_bin_and_nan_has_its_own() -> None:
    assert _bins(np.array([5, NAN, 1, 5, 2, 1], dtype=np.float32)).tolist() == [2, 4, 0, 2, 1, 0]
    assert _bins(np.array([NAN, NAN], dtype=np.float32)).tolist() == [1, 1]


def test_six_rows_answered_by_other_persons() -> None:
    """Of persons 0, 1 and 2 each has a row in bin 0 and one in bin 1; bin 1 always converts."""
    answer = _answer("a", np.array([0, 1] * 3), np.array([False, True] * 3), np.array([0, 0, 1, 1, 2, 2]))

    assert answer.chance.tolist() == [1 / 4, 3 / 4] * 3  # of two others and a prior of two rows, half of them yes
    assert answer.roc_auc == 1.0
    assert answer.certain_share == 0.0  # three rows are certain of nothing


def test_a_copy_of_the_label_is_found_and_noise_is_not() -> None:
    assert found() == []
    assert found(CONVERTED * 7.5) == ["feature 0"]
    assert found(np.where(CONVERTED == 1, NAN, NOISE)) == ["feature 0"]


def test_a_leak_of_half_of_the_conversions_is_found_by_its_certainty() -> None:
    half = np.where((CONVERTED == 1) & (np.arange(ROWS) % 2 == 0), 3.0, 0.0)
    rows = FeatureRows(np.column_stack([NOISE, half]).astype(np.float32), None, None)
    (told,) = lone_predictors(rows, ["noise", "half"], None, CONVERTED, FOLD, seed=0)

    assert told.feature == "half"
    assert told.roc_auc == pytest.approx(0.75, abs=0.05)
    assert told.certain_share == pytest.approx(0.5, abs=0.07)
    assert told.rest_roc_auc == pytest.approx(0.5, abs=0.05)
    assert (told.rows, told.converted) == (ROWS, int(CONVERTED.sum()))


def test_of_one_story_only_the_best_is_told() -> None:
    days = np.where(CONVERTED == 1, 0.01, NAN)
    assert found(CONVERTED * 3.0, days, CONVERTED * 2.0 + 1) == ["feature 0"]


def test_a_purchase_right_after_checkout_is_no_leak() -> None:
    """Eight of ten buyers have just been at the checkout, and so has one in twenty others."""
    chance = np.where(CONVERTED == 1, 0.8, 0.05)
    at_checkout = np.random.default_rng(1).random(ROWS) < chance
    assert found(at_checkout * 1.0, np.where(at_checkout, 0.02, NAN)) == []


def test_strong_features_among_strong_ones_are_no_leak() -> None:
    """Of two of .96 that go their own ways, neither is a stranger; alone, the one is."""
    random = np.random.default_rng(2)
    one, other = (CONVERTED + random.normal(0, 0.37, ROWS) for _ in range(2))
    answers = [
        _answer(name, _bins(values.astype(np.float32)), CONVERTED == 1, FOLD.astype(np.int64))
        for name, values in (("one", one), ("other", other))
    ]
    assert all(0.95 < answer.roc_auc < 0.98 for answer in answers)
    assert found(one) == ["feature 0"]
    assert found(one, other) == []


def test_a_common_outcome_is_certain_of_nothing() -> None:
    rare = (np.arange(ROWS) % 25 == 0).astype(np.int8)
    early = np.where(rare == 1, 900.0, np.arange(ROWS) % 900)
    assert found(early, converted=rare) == ["feature 0"]
    assert found(np.arange(ROWS) % 2 + (rare == 0) * 0.0, converted=rare) == []


def test_unknown_outcomes_and_few_of_a_class_tell_nothing() -> None:
    unknown = np.where(np.arange(ROWS) < 950, -1, CONVERTED).astype(np.int8)
    assert found(CONVERTED * 1.0, converted=unknown) == []
    half_known = np.where(np.arange(ROWS) % 2 == 0, CONVERTED, -1).astype(np.int8)
    assert found(np.where(half_known >= 0, CONVERTED, NOISE), converted=half_known) == ["feature 0"]


def test_a_phrase_said_after_the_outcome_is_found_by_its_words_and_view() -> None:
    said = np.flatnonzero(CONVERTED)
    held = np.isin(np.arange(ROWS), said).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(1 + held)])
    column = np.concatenate([[0, 3] if holds else [0] for holds in held]).astype(np.int32)
    phrases = Phrases(("hello", "your order"), np.ones(2))
    rows = FeatureRows(
        NOISE[:, None], None, None, PhraseRows(offsets, column, np.ones(len(column), dtype=np.float32), 8)
    )
    (told,) = lone_predictors(rows, ["noise"], phrases, CONVERTED, FOLD, seed=0)

    assert told.feature == "the phrase 'your order' in last own messages"
    assert told.roc_auc == 1.0


def test_messages_that_tell_all_are_found_together() -> None:
    pools = np.column_stack([CONVERTED, NOISE]).astype(np.float32)
    (told,) = lone_predictors(FeatureRows(NOISE[:, None], pools, None), ["noise"], None, CONVERTED, FOLD, seed=0)

    assert told.feature == "what was said"
