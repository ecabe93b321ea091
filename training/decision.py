"""How much a rare stage's probability weighs when one stage is to be named, learnt for the best macro-F1."""

from __future__ import annotations

import numpy as np

from features.event_log import Floats, Int64s

POWERS = np.linspace(0.0, 1.0, 21)
NEIGHBOURS = 2  # on each side: the F1 of a few rows is a ragged curve


def learn_decision(probabilities: Floats, stage: Int64s) -> Floats:
    """Weights share^-power of the classes, with the power whose mean F1 over the classes is best. Shape (classes,).

    `probabilities` (rows, classes) must come from out of fold. One number is learnt, from 0 (the likeliest class) to 1
    (as if all classes were equally common): a weight for each class would fit the rows at hand.

    Source: Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure" (2014), for why
    the best decision is not the likeliest class.
    """
    shares = np.bincount(stage, minlength=probabilities.shape[1]) / len(stage)
    candidates = [shares**-power for power in POWERS]
    scores = np.array([macro_f1((probabilities * weights).argmax(axis=1), stage) for weights in candidates])
    padded = np.pad(scores, NEIGHBOURS, mode="edge")
    smooth = np.convolve(padded, np.ones(2 * NEIGHBOURS + 1), "valid")
    best: Floats = candidates[int(smooth.argmax())]
    return best


def macro_f1(decided: Int64s, stage: Int64s) -> float:
    """Mean over the classes that occur in `stage` of 2 true positives / (decided + true)."""
    classes = int(max(decided.max(), stage.max())) + 1
    right = np.bincount(stage[decided == stage], minlength=classes)
    named, true = np.bincount(decided, minlength=classes), np.bincount(stage, minlength=classes)
    return float((2 * right[true > 0] / (named + true)[true > 0]).mean())
