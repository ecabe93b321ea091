"""A search finds what is better, ends early what is not, goes on where it was stopped, and says what it gained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna
import pytest

from training.bootstrap import Estimate
from training.fit_conversion import TREES
from training.progress import silent
from training.tree_choice import TreeChoice, TreeChoices
from training.trial_rows import RowLosses
from training.tune import Found, Gain, Tried, choices, gains, search
from training.tune_run import have_gained


@dataclass
class Bowl:
    """Rows on which trees of `leaves` leaves are best, in place of a fit of seconds."""

    leaves: int
    asked: list[TreeChoices] = field(default_factory=list)

    def losses(self, trees: TreeChoices, seed: int) -> dict[str, RowLosses]:
        assert seed == 7
        self.asked.append(trees)
        loss = 0.5 + abs(math.log((trees.conversion.num_leaves or TREES["num_leaves"]) / self.leaves))
        return {"conversion_30d": RowLosses(np.full(40, loss), np.ones(40), [f"c{row}" for row in range(40)])}


def straight(number: int, trees: TreeChoice, measure: Callable[[], Tried]) -> Tried:
    del number, trees
    return measure()


def searched(folder: Path, parts: list[Bowl], trials: int, name: str = "conversion") -> Found:
    return search("conversion", parts, folder / "study.db", name, trials, 7, straight, silent)  # type: ignore[arg-type]


def test_the_usual_trees_are_tried_first_and_better_ones_are_found(tmp_path: Path) -> None:
    parts = [Bowl(12), Bowl(12), Bowl(12)]
    found = searched(tmp_path, parts, trials=25)
    usual = {name: TREES[name] for name in vars(TreeChoice())}
    assert vars(parts[0].asked[0].conversion) == usual
    assert parts[0].asked[0].stage == TreeChoice()
    assert found.trials == 25
    assert 9 <= found.trees.num_leaves <= 16
    assert len(parts[0].asked) == 25
    assert len(parts[2].asked) == 25 - found.ended_early
    assert found.ended_early > 0


def test_a_search_that_was_stopped_goes_on_and_one_on_other_data_begins_anew(tmp_path: Path) -> None:
    first, second = Bowl(12), Bowl(12)
    searched(tmp_path, [first], trials=4)

    def stopped(*_: object) -> Tried:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search("conversion", [first], tmp_path / "study.db", "conversion", 6, 7, stopped, silent)  # type: ignore[list-item]
    found = searched(tmp_path, [second], trials=6)
    assert (len(first.asked), len(second.asked), found.trials) == (4, 2, 6)
    assert searched(tmp_path, [second], trials=3).trials == 6
    assert searched(tmp_path, [Bowl(12)], trials=1, name="conversion on other data").trials == 1
    states = {
        trial.state.name for trial in optuna.load_study(study_name="conversion", storage=f"sqlite:///{tmp_path}/study.db").trials
    }  # fmt: skip
    assert "RUNNING" not in states


def test_equal_seeds_try_equal_trees(tmp_path: Path) -> None:
    runs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        bowl = Bowl(12)
        searched(tmp_path / name, [bowl], trials=6)
        runs.append(bowl.asked)
    assert runs[0] == runs[1]


def test_a_gain_is_measured_against_the_usual_trees_on_the_same_rows() -> None:
    (gain,) = gains(TreeChoices(conversion=TreeChoice(num_leaves=12)), Bowl(12), 7)  # type: ignore[arg-type]
    usual = 0.5 + math.log(12 / 5)
    assert (gain.column, gain.rows, gain.persons, gain.found) == ("conversion_30d", 40, 40, 0.5)
    assert gain.usual == pytest.approx(usual)
    assert gain.difference.value == pytest.approx(0.5 - usual)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.02, -0.001, "-0.0100 [-0.0200, -0.0010], better beyond doubt"),
        (-0.02, 0.001, "-0.0100 [-0.0200, +0.0010], no difference beyond doubt"),
        (0.001, 0.02, "-0.0100 [+0.0010, +0.0200], worse beyond doubt"),
        (0.00001, 0.00002, "-0.0100 [+0.0000, +0.0000], no difference beyond doubt"),
    ],
)
def test_a_gain_is_said_plainly(low: float, high: float, said: str) -> None:
    gain = Gain("conversion_30d", 1200, 300, 0.32, 0.33, Estimate(-0.01, low, high))
    assert str(gain) == (
        "conversion_30d: on 1,200 rows of 300 customers that no trial saw, log loss 0.3200 with the trees found, "
        f"0.3300 with the usual ones: {said}"
    )


def test_trees_are_chosen_for_one_target() -> None:
    trees = TreeChoice(num_leaves=9)
    assert choices("stage", trees) == TreeChoices(stage=trees)
    assert choices("conversion", trees) == TreeChoices(conversion=trees)


def test_only_trees_that_gained_are_kept() -> None:
    better, worse = (Estimate(value, value - 0.01, value + 0.01) for value in (-0.002, 0.003))
    gained = [
        Gain("stage", 10, 5, 0.5, 0.6, worse),
        Gain("conversion_30d", 10, 5, 0.5, 0.6, worse),
        Gain("conversion_90d", 10, 5, 0.5, 0.6, Estimate(-0.004, -0.01, 0.01)),
    ]
    assert (have_gained("stage", gained), have_gained("conversion", gained)) == (False, True)
    assert have_gained("stage", [Gain("stage", 10, 5, 0.5, 0.6, better)])
