"""Search for better trees: the only `import optuna`.

Trials are measured by log loss in person-wise folds of the rows that a training would learn from, each folds' worth of
work after the other, and those that are worse than the median of the earlier ones are ended early. What is found is
then measured on the rows that a training would judge on, which no trial saw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.trial import Trial, TrialState

from training.bootstrap import Estimate
from training.fit_conversion import TREES as CONVERSION_TREES
from training.fit_stage import TREES as STAGE_TREES
from training.progress import Report
from training.tree_choice import ALL_AS_THEY_ARE, TreeChoice, TreeChoices
from training.trial_rows import Part, difference, relative_loss

USUAL: Final = {"stage": STAGE_TREES, "conversion": CONVERSION_TREES}
UNPRUNED: Final = 5  # the first trials teach what is usual
SMALLEST: Final = 0.00005  # a difference of log loss that four decimals show
DONE: Final = (TrialState.COMPLETE, TrialState.PRUNED)

Watch = Callable[[int, TreeChoice, Callable[[], "Tried"]], "Tried"]


@dataclass(frozen=True)
class Tried:
    """What a trial came to: its log loss as a share of prevalence's in each fold; fewer folds where it was ended."""

    by_fold: tuple[float, ...]
    was_ended_early: bool

    @property
    def loss(self) -> float:
        """The mean over the folds."""
        return sum(self.by_fold) / len(self.by_fold)


@dataclass(frozen=True)
class Found:
    """The best trees for a target among `trials`, of which `ended_early` were not measured in full."""

    target: str
    trees: TreeChoice
    trials: int
    ended_early: int


@dataclass(frozen=True)
class Gain:
    """Log loss of a score column on rows that no trial saw, with the trees found and with the usual ones."""

    column: str
    rows: int
    persons: int
    found: float
    usual: float
    difference: Estimate

    def __str__(self) -> str:
        """The plain statement."""
        doubt = "no difference beyond doubt"
        if self.difference.high < -SMALLEST:
            doubt = "better beyond doubt"
        elif self.difference.low > SMALLEST:
            doubt = "worse beyond doubt"
        return (
            f"{self.column}: on {self.rows:,} rows of {self.persons:,} customers that no trial saw, log loss "
            f"{self.found:.4f} with the trees found, {self.usual:.4f} with the usual ones: "
            f"{self.difference.value:+.4f} [{self.difference.low:+.4f}, {self.difference.high:+.4f}], {doubt}"
        )


def search(
    target: str, parts: Sequence[Part], study: Path, name: str, trials: int, seed: int, watch: Watch, report: Report
) -> Found:
    """Try trees until there are `trials` in the study of this name, those of earlier runs included.

    The usual trees are tried first. `watch` runs each trial, so that it can be recorded.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tried = optuna.create_study(
        study_name=name, storage=f"sqlite:///{study}", load_if_exists=True, direction="minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED),
    )  # fmt: skip
    for left in tried.get_trials(states=(TrialState.RUNNING,)):  # its process was stopped
        tried.tell(left.number, state=TrialState.FAIL)
    done = len(tried.get_trials(states=DONE))
    tried.sampler = optuna.samplers.TPESampler(seed=seed + done)
    if not tried.trials:
        tried.enqueue_trial({parameter: USUAL[target][parameter] for parameter in vars(TreeChoice())})
    for trial in range(done, trials):
        report(f"Searching trees for the {target}", trial, trials)
        _try(tried, tried.ask(), target, parts, seed, watch)
    report(f"Searching trees for the {target}", trials, trials)
    best = TreeChoice(**tried.best_trial.params)
    return Found(target, best, len(tried.get_trials(states=DONE)), len(tried.get_trials(states=(TrialState.PRUNED,))))


def gains(found: TreeChoices, unseen: Part, seed: int) -> list[Gain]:
    """What the trees found gain over the usual ones where both learn from what a training would and are judged so."""
    chosen, usual = unseen.losses(found, seed), unseen.losses(ALL_AS_THEY_ARE, seed)
    return [
        Gain(
            column=column,
            rows=len(of_column.person),
            persons=len(set(of_column.person)),
            found=float(of_column.of_model.mean()),
            usual=float(usual[column].of_model.mean()),
            difference=difference(of_column, usual[column], seed),
        )
        for column, of_column in chosen.items()
    ]


def choices(target: str, trees: TreeChoice) -> TreeChoices:
    """These trees for one target, the usual ones for the other."""
    return TreeChoices(stage=trees) if target == "stage" else TreeChoices(conversion=trees)


def _try(tried: Any, trial: Trial, target: str, parts: Sequence[Part], seed: int, watch: Watch) -> None:
    trees = _suggested(trial)
    result = watch(trial.number, trees, lambda: _measured(trial, choices(target, trees), parts, seed))
    if result.was_ended_early:
        tried.tell(trial, state=TrialState.PRUNED)
    else:
        tried.tell(trial, result.loss)


def _measured(trial: Trial, trees: TreeChoices, parts: Sequence[Part], seed: int) -> Tried:
    by_fold: list[float] = []
    for part in parts:
        by_fold.append(relative_loss(part.losses(trees, seed)))
        trial.report(sum(by_fold) / len(by_fold), len(by_fold))
        if len(by_fold) < len(parts) and trial.should_prune():
            return Tried(tuple(by_fold), was_ended_early=True)
    return Tried(tuple(by_fold), was_ended_early=False)


def _suggested(trial: Trial) -> TreeChoice:
    """The ranges lie around the usual trees: few, shallow and strongly regularised."""
    return TreeChoice(
        learning_rate=trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
        num_leaves=trial.suggest_int("num_leaves", 3, 31, log=True),
        min_data_in_leaf=trial.suggest_int("min_data_in_leaf", 5, 100, log=True),
        lambda_l2=trial.suggest_float("lambda_l2", 0.5, 100.0, log=True),
        feature_fraction=trial.suggest_float("feature_fraction", 0.05, 0.8, log=True),
    )
