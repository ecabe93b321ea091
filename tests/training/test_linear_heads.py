"""Text heads: fitted on the whole, judged on persons they never saw, and silent where nothing was said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from features.aggregate import Float32s
from training import linear_heads
from training.linear_heads import learn_linear_head
from training.split import FOLDS, person_folds

ROWS = 800
PERSONS = [f"p{number}" for number in range(ROWS // 10) for _ in range(10)]
FOLDS_OF_ROWS = person_folds(PERSONS, FOLDS, seed=0)
ALL_KNOWN = np.ones(ROWS, dtype=np.bool_)

Bools = np.ndarray


@pytest.fixture(scope="module")
def pools() -> Float32s:
    """Every fourth row said nothing."""
    said = np.random.default_rng(19).normal(size=(ROWS, 6)).astype(np.float32)
    said[::4] = 0
    return said


@pytest.fixture(scope="module")
def wanted(pools: Float32s) -> Bools:
    random = np.random.default_rng(20)
    log_odds = np.where(pools.any(axis=1), 2.0 * pools[:, 0] - 1.0 * pools[:, 5], -1.5)
    return random.random(ROWS) < expit(log_odds)


def test_what_was_put_into_words_is_found(pools: Float32s, wanted: Bools) -> None:
    head, log_odds = learn_linear_head(pools, ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS)
    said = pools.any(axis=1)

    assert head.weights.shape == (1, 6)
    # Ridge regression on 0 and 1 gives the direction, the sigmoid about the length.
    assert head.weights[0] == pytest.approx([2.0, 0, 0, 0, 0, -1.0], abs=0.35)
    assert roc_auc_score(wanted[said], log_odds[said, 0]) > 0.8
    assert expit(log_odds[said, 0]).mean() == pytest.approx(wanted[said].mean(), abs=0.01)


def test_rows_in_which_nothing_was_said_get_their_usual_rate(pools: Float32s, wanted: Bools) -> None:
    head, log_odds = learn_linear_head(pools, ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS)
    silent = ~pools.any(axis=1)
    yes, no = (wanted & silent).sum(), (~wanted & silent).sum()

    assert head.silent.tolist() == pytest.approx([np.log((yes + 1) / (no + 1))])
    assert set(log_odds[silent, 0].tolist()) == set(head.silent.tolist())
    assert head.log_odds(pools[silent]).tolist() == log_odds[silent].tolist()


def test_where_everybody_spoke_silence_says_nothing(pools: Float32s, wanted: Bools) -> None:
    said = pools.any(axis=1)
    head, _ = learn_linear_head(pools[said], ALL_KNOWN[said], wanted[said, None], FOLDS_OF_ROWS[said])

    assert head.silent.tolist() == [0.0]


def test_knowing_the_person_does_not_help() -> None:
    """Every person says something unmistakable and has an outcome by chance: only a head that saw the person knows."""
    random = np.random.default_rng(21)
    number = np.array([int(person[1:]) for person in PERSONS])
    pools = np.eye(80, dtype=np.float32)[number]
    wanted = (random.random(80) < 0.5)[number][:, None]
    _, log_odds = learn_linear_head(pools, ALL_KNOWN, wanted, FOLDS_OF_ROWS)
    by_row = learn_linear_head(pools, ALL_KNOWN, wanted, (np.arange(ROWS) % FOLDS).astype(np.int8))

    assert roc_auc_score(wanted[:, 0], by_row[1][:, 0]) > 0.99
    assert roc_auc_score(wanted[:, 0], log_odds[:, 0]) < 0.55


def test_a_persons_own_outcomes_do_not_reach_their_scores(
    pools: Float32s, wanted: Bools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turning round the outcomes of a fold changes nothing of its head: but for the common scale, its scores stay."""
    monkeypatch.setattr(linear_heads, "PENALTIES", (1.0,))
    own = FOLDS_OF_ROWS == 2
    turned = np.where(own, ~wanted, wanted)
    said = own & pools.any(axis=1)
    one, other = (
        learn_linear_head(pools, ALL_KNOWN, outcome[:, None], FOLDS_OF_ROWS)[1][said, 0] for outcome in (wanted, turned)
    )

    assert (one != other).all()
    assert np.corrcoef(one, other)[0, 1] == pytest.approx(1.0, abs=1e-9)
    elsewhere = ~own & pools.any(axis=1)
    one, other = (
        learn_linear_head(pools, ALL_KNOWN, outcome[:, None], FOLDS_OF_ROWS)[1][elsewhere, 0]
        for outcome in (wanted, turned)
    )
    assert np.corrcoef(one, other)[0, 1] < 0.999


@pytest.mark.parametrize(("is_told", "penalty"), [(True, 0.01), (False, 100.0)])
def test_the_penalty_is_the_one_that_does_best_on_others(
    is_told: bool, penalty: float, pools: Float32s, wanted: Bools, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = wanted if is_told else np.random.default_rng(22).random(ROWS) < 0.5
    monkeypatch.setattr(linear_heads, "PENALTIES", (0.01, 100.0))
    free = learn_linear_head(pools, ALL_KNOWN, outcome[:, None], FOLDS_OF_ROWS)[0].weights
    monkeypatch.setattr(linear_heads, "PENALTIES", (penalty,))

    assert learn_linear_head(pools, ALL_KNOWN, outcome[:, None], FOLDS_OF_ROWS)[0].weights.tolist() == free.tolist()


def test_outcomes_that_are_not_known_are_asked_but_not_learnt_from(pools: Float32s, wanted: Bools) -> None:
    known = np.arange(ROWS) % 3 != 0
    one, other = (
        learn_linear_head(pools, known, outcome[:, None], FOLDS_OF_ROWS) for outcome in (wanted, wanted ^ ~known)
    )

    assert one[0].weights.tolist() == other[0].weights.tolist()
    assert one[0].silent.tolist() == other[0].silent.tolist()
    assert one[1].tolist() == other[1].tolist()
    assert np.ptp(one[1][~known]) > 1


def test_each_output_has_its_own_head(pools: Float32s, wanted: Bools) -> None:
    two = np.stack([wanted, ~wanted], axis=1)
    head, log_odds = learn_linear_head(pools, ALL_KNOWN, two, FOLDS_OF_ROWS)

    assert (head.weights.shape, log_odds.shape) == ((2, 6), (ROWS, 2))
    assert head.weights[1] == pytest.approx(-head.weights[0], rel=1e-3)
    assert log_odds[:, 1] == pytest.approx(-log_odds[:, 0], abs=1e-3)


@pytest.mark.parametrize("rare", [True, False])
@pytest.mark.parametrize(("of_each", "is_enough"), [(19, False), (20, True)])
def test_twenty_of_each_who_spoke_are_enough(rare: bool, of_each: int, is_enough: bool, pools: Float32s) -> None:
    chosen = np.concatenate([np.flatnonzero(pools.any(axis=1))[:of_each], np.flatnonzero(~pools.any(axis=1))])
    wanted = np.full((ROWS, 1), not rare)
    wanted[chosen] = rare

    assert (learn_linear_head(pools, ALL_KNOWN, wanted, FOLDS_OF_ROWS) is not None) == is_enough


def test_an_output_with_too_few_keeps_its_usual_rate(pools: Float32s, wanted: Bools) -> None:
    said = pools.any(axis=1)
    rare = np.zeros(ROWS, dtype=np.bool_)
    rare[np.flatnonzero(said)[:19]] = True
    head, log_odds = learn_linear_head(pools, ALL_KNOWN, np.stack([wanted, rare], axis=1), FOLDS_OF_ROWS)
    alone, _ = learn_linear_head(pools, ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS)

    assert roc_auc_score(wanted[said], log_odds[said, 0]) > 0.8
    assert np.ptp(alone.weights) == pytest.approx(np.ptp(head.weights[0]), rel=0.1)
    assert not head.weights[1].any()
    assert log_odds[said, 1] == pytest.approx(np.full(said.sum(), np.log(20 / (said.sum() - 19 + 1))))


def test_words_of_one_fold_teach_nothing_that_could_be_checked(pools: Float32s, wanted: Bools) -> None:
    quiet = np.where((FOLDS_OF_ROWS == 3)[:, None], pools, 0)

    assert learn_linear_head(quiet, ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS) is None


def test_words_of_two_folds_are_enough(pools: Float32s, wanted: Bools) -> None:
    quiet = np.where((FOLDS_OF_ROWS >= 3)[:, None], pools, 0)
    _, log_odds = learn_linear_head(quiet, ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS)

    assert np.isfinite(log_odds).all()


def test_words_that_are_all_alike_say_nothing(wanted: Bools) -> None:
    alike = np.tile(np.array([0.5, -0.5], dtype=np.float32), (ROWS, 1))
    head, log_odds = learn_linear_head(alike, ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS)

    assert np.ptp(log_odds) < 0.1
    assert head.log_odds(alike[:1])[0] == pytest.approx(np.log(wanted.mean() / (1 - wanted.mean())), abs=0.05)


def test_heads_are_the_same_every_time(pools: Float32s, wanted: Bools) -> None:
    one, other = (learn_linear_head(pools, ALL_KNOWN, wanted[:, None], FOLDS_OF_ROWS) for _ in range(2))

    assert one[0].weights.tobytes() == other[0].weights.tobytes()
    assert one[1].tobytes() == other[1].tobytes()
