"""How much a stage's probability weighs when one stage is to be named, learnt for the best macro-F1."""

from __future__ import annotations

import numpy as np

from features.event_log import Floats, Int64s

POWERS = np.linspace(0.0, 1.0, 21)
STEPS = np.linspace(-1.0, 1.0, 21)  # of a log-weight, tried around the present one
NEIGHBOURS = 2  # on each side: the F1 of a few rows is a ragged curve
SWEEPS = 3
RESAMPLES = 20
LEAST = 1e-12  # a probability, that it has a logarithm


def learn_decision(probabilities: Floats, stage: Int64s, seed: int) -> Floats:
    """Weights of the classes, with which the weighed likeliest class has the best macro-F1. Shape (classes,).

    `probabilities` (rows, classes) must come from out of fold. The search starts from the best share^-power, from 0
    (the likeliest class) to 1 (as if all classes were equally common), and moves one class at a time. The mean of the
    log-weights found on resampled rows keeps weights from fitting the rows at hand alone.

    Source: Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure" (2014), for why
    the best decision is not the likeliest class; Breiman, "Bagging predictors" (1996), for the mean over resamples.
    """
    log_chances, random = np.log(np.maximum(probabilities, LEAST)), np.random.default_rng(seed)
    begun = _best_power(log_chances, stage)
    drawn = [random.integers(0, len(stage), len(stage)) for _ in range(RESAMPLES)]
    found = [_climb(log_chances[rows], stage[rows], begun) for rows in drawn]
    weights: Floats = np.exp(np.mean(found, axis=0))
    return weights


def macro_f1(decided: Int64s, stage: Int64s) -> float:
    """Mean over the classes that occur in `stage` of 2 true positives / (decided + true)."""
    classes = int(max(decided.max(), stage.max())) + 1
    right = np.bincount(stage[decided == stage], minlength=classes)
    named, true = np.bincount(decided, minlength=classes), np.bincount(stage, minlength=classes)
    return float((2 * right[true > 0] / (named + true)[true > 0]).mean())


def _best_power(log_chances: Floats, stage: Int64s) -> Floats:
    shares = np.bincount(stage, minlength=log_chances.shape[1]) / len(stage)
    candidates = [-power * np.log(shares) for power in POWERS]
    best: Floats = candidates[_smooth_best([macro_f1((log_chances + c).argmax(axis=1), stage) for c in candidates])]
    return best


def _climb(log_chances: Floats, stage: Int64s, begun: Floats) -> Floats:
    """Move one log-weight after the other to where the F1 is best, until none moves."""
    found = begun.copy()
    for _ in range(SWEEPS):
        before = found.copy()
        for k in range(len(found)):
            weighed = log_chances + found
            weighed[:, k] = -np.inf
            rival, needed = weighed.argmax(axis=1), weighed.max(axis=1) - log_chances[:, k]
            candidates = found[k] + STEPS
            found[k] = candidates[_smooth_best([macro_f1(np.where(c > needed, k, rival), stage) for c in candidates])]
        if np.array_equal(found, before):
            break
    centred: Floats = found - found.mean()
    return centred


def _smooth_best(scores: list[float]) -> int:
    padded = np.pad(np.array(scores), NEIGHBOURS, mode="edge")
    return int(np.convolve(padded, np.ones(2 * NEIGHBOURS + 1), "valid").argmax())
