"""Phrase heads: fitted on the whole, judged on persons they never saw, and silent where no phrase was said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from features.phrases import PhraseRows
from training import phrase_heads
from training.phrase_heads import learn_phrase_head
from training.split import FOLDS, person_folds

ROWS, WIDTH = 1_000, 12
PERSONS = [f"p{number}" for number in range(ROWS // 10) for _ in range(10)]
FOLDS_OF_ROWS = person_folds(PERSONS, FOLDS, seed=0)
ALL_KNOWN = np.ones(ROWS, dtype=np.bool_)

Bools = np.ndarray


def sparse(dense: np.ndarray) -> PhraseRows:
    row, column = np.nonzero(dense)
    return PhraseRows(
        np.searchsorted(row, np.arange(len(dense) + 1)).astype(np.int64),
        column.astype(np.int32),
        dense[row, column].astype(np.float32),
        dense.shape[1],
    )


@pytest.fixture(scope="module")
def dense() -> np.ndarray:
    """Each phrase is in a third of the rows; every fourth row said nothing."""
    random = np.random.default_rng(19)
    said = np.where(random.random((ROWS, WIDTH)) < 1 / 3, random.uniform(0.5, 1, (ROWS, WIDTH)), 0)
    said[::4] = 0
    return said


@pytest.fixture(scope="module")
def said(dense: np.ndarray) -> Bools:
    return dense.any(axis=1)


@pytest.fixture(scope="module")
def wanted(dense: np.ndarray, said: Bools) -> Bools:
    random = np.random.default_rng(20)
    log_odds = np.where(said, 4.0 * dense[:, 0] - 2.0 * dense[:, 5] - 0.5, -1.5)
    return random.random(ROWS) < expit(log_odds)


def test_what_was_put_into_phrases_is_found(dense: np.ndarray, said: Bools, wanted: Bools) -> None:
    head, log_odds = learn_phrase_head(sparse(dense), ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS)

    assert head.weights.shape == (1, WIDTH)
    assert head.weights[0] == pytest.approx([4.0, 0, 0, 0, 0, -2.0, 0, 0, 0, 0, 0, 0], abs=0.8)
    assert roc_auc_score(wanted[said], log_odds[said, 0]) > 0.75
    assert expit(log_odds[said, 0]).mean() == pytest.approx(wanted[said].mean(), abs=0.01)
    assert np.corrcoef(head.log_odds(sparse(dense))[said, 0], log_odds[said, 0])[0, 1] > 0.98


def test_rows_without_phrases_get_their_usual_rate(dense: np.ndarray, said: Bools, wanted: Bools) -> None:
    head, log_odds = learn_phrase_head(sparse(dense), ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS)
    yes, no = (wanted & ~said).sum(), (~wanted & ~said).sum()

    assert head.silent.tolist() == pytest.approx([np.log((yes + 1) / (no + 1))])
    assert set(log_odds[~said, 0].tolist()) == set(head.silent.tolist())
    assert head.log_odds(sparse(dense[~said])).tolist() == log_odds[~said].tolist()


def test_views_are_read_at_unit_length_where_it_is_not_the_amount_that_tells() -> None:
    """Views of three phrases and any length: one output is the share of the first phrase, the other its amount."""
    random = np.random.default_rng(21)
    shares = random.dirichlet(np.ones(3), ROWS)
    shares /= np.linalg.norm(shares, axis=1, keepdims=True)
    amounts = shares * random.lognormal(0, 1.5, (ROWS, 1))
    rows = sparse(np.hstack([amounts, np.zeros((ROWS, WIDTH - 3))]))
    told = np.stack([6 * shares[:, 0] - 3, 2 * amounts[:, 0] - 2], axis=1)
    head, _ = learn_phrase_head(rows, ALL_KNOWN, random.random((ROWS, 2)) < expit(told), FOLDS_OF_ROWS)

    assert head.at_unit_length.tolist() == [True, False]


def test_knowing_the_person_does_not_help() -> None:
    """Every person says something unmistakable and has an outcome by chance: only a head that saw the person knows."""
    number = np.array([int(person[1:]) for person in PERSONS])
    wanted = (np.random.default_rng(21).random(100) < 0.5)[number][:, None]
    own = sparse(np.eye(100)[number])
    _, log_odds = learn_phrase_head(own, ALL_KNOWN, wanted, FOLDS_OF_ROWS)
    _, by_row = learn_phrase_head(own, ALL_KNOWN, wanted, (np.arange(ROWS) % FOLDS).astype(np.int8))

    assert roc_auc_score(wanted[:, 0], by_row[:, 0]) > 0.99
    assert roc_auc_score(wanted[:, 0], log_odds[:, 0]) < 0.55


@pytest.mark.parametrize(("strengths", "best"), [((1e-4, 1.0), 1.0), ((0.1, 100.0), 0.1)])
def test_the_penalty_is_the_one_that_does_best_on_others(
    strengths: tuple[float, float], best: float, dense: np.ndarray, wanted: Bools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of hardly any learning and some the latter, and among 400 phrases by chance some rather than too much."""
    chance = np.random.default_rng(22).random((ROWS, 400)) < 0.02
    rows = sparse(np.hstack([dense, chance]))
    monkeypatch.setattr(phrase_heads, "STRENGTHS", strengths)
    _, free = learn_phrase_head(rows, ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS)
    monkeypatch.setattr(phrase_heads, "STRENGTHS", (best,))
    _, fixed = learn_phrase_head(rows, ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS)

    assert free == pytest.approx(fixed, abs=0.05)
    assert np.ptp(free) > 1


def test_outcomes_that_are_not_known_are_asked_but_not_learnt_from(dense: np.ndarray, wanted: Bools) -> None:
    known = np.arange(ROWS) % 3 != 0
    one, other = (
        learn_phrase_head(sparse(dense), known, outcome[:, None], FOLDS_OF_ROWS)
        for outcome in (wanted, wanted ^ ~known)
    )

    assert one[0].weights.tolist() == other[0].weights.tolist()
    assert one[0].silent.tolist() == other[0].silent.tolist()
    assert one[1].tolist() == other[1].tolist()
    assert np.ptp(one[1][~known]) > 1


@pytest.mark.parametrize("rare", [True, False])
@pytest.mark.parametrize(("of_each", "is_enough"), [(19, False), (20, True)])
def test_twenty_of_each_who_spoke_are_enough(
    rare: bool, of_each: int, is_enough: bool, dense: np.ndarray, said: Bools
) -> None:
    chosen = np.concatenate([np.flatnonzero(said)[:of_each], np.flatnonzero(~said)])
    wanted = np.full((ROWS, 1), not rare)
    wanted[chosen] = rare

    assert (learn_phrase_head(sparse(dense), ALL_KNOWN, wanted, FOLDS_OF_ROWS) is not None) == is_enough


def test_an_output_with_too_few_keeps_its_usual_rate(dense: np.ndarray, said: Bools, wanted: Bools) -> None:
    rare = np.zeros(ROWS, dtype=np.bool_)
    rare[np.flatnonzero(said)[:19]] = True
    both = np.stack([rare, wanted], axis=1)
    head, log_odds = learn_phrase_head(sparse(dense), ALL_KNOWN, both, FOLDS_OF_ROWS)
    alone, _ = learn_phrase_head(sparse(dense), ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS)

    assert head.weights[1].tolist() == alone.weights[0].tolist()
    assert not head.weights[0].any()
    assert log_odds[said, 0] == pytest.approx(np.full(said.sum(), np.log(20 / (said.sum() - 19 + 1))))
    assert head.log_odds(sparse(dense))[said, 0] == pytest.approx(log_odds[said, 0])


def test_all_of_one_kind_in_one_fold_teaches_its_own_rows_nothing(dense: np.ndarray, said: Bools) -> None:
    """Without that fold all rows are alike."""
    wanted = (FOLDS_OF_ROWS == 3) & said
    head, log_odds = learn_phrase_head(sparse(dense), ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS)

    assert np.isfinite(head.weights).all()
    assert len(set(log_odds[wanted, 0].tolist())) == 1


def test_phrases_of_one_fold_teach_nothing_that_could_be_checked(dense: np.ndarray, wanted: Bools) -> None:
    quiet = sparse(np.where((FOLDS_OF_ROWS == 3)[:, None], dense, 0))

    assert learn_phrase_head(quiet, ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS) is None


def test_heads_are_the_same_every_time(dense: np.ndarray, wanted: Bools) -> None:
    two = np.stack([wanted, ~wanted], axis=1)
    one, other = (learn_phrase_head(sparse(dense), ALL_KNOWN, two, FOLDS_OF_ROWS) for _ in range(2))

    assert one[0].weights.tobytes() == other[0].weights.tobytes()
    assert one[1].tobytes() == other[1].tobytes()
    assert one[0].weights[1] == pytest.approx(-one[0].weights[0], abs=0.01)
