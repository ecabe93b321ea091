"""Where a customer stands: the stage model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from features.event_log import Bools, Floats, Int64s
from features.rows import FeatureRows
from models.linear_head import LinearHead
from models.trees import Trees

COVERAGE = 0.9


@dataclass(frozen=True)
class StageModel:
    """Trees over the feature rows that start from the text head's log-odds, one class for each stage seen in training.

    `classes` holds the journey's index of each class, rising, and `shares` how common each is: the answer where nothing
    is known of a customer. `trees` is None when training saw a single stage.
    """

    n_stages: int
    classes: Int64s
    shares: Floats
    trees: Trees | None
    temperature: float
    thresholds: Floats  # (classes,): the least probability of a plausible stage
    text_head: LinearHead | None

    def probabilities(self, rows: FeatureRows, nothing_known: Bools) -> Floats:
        """Probability of each stage of the journey. Shape (rows, n_stages), each row summing to 1."""
        result = np.zeros((len(rows.features), self.n_stages))
        result[:, self.classes] = self.shares
        if self.trees is not None:
            raw = self.trees.raw_scores(rows.features)
            if self.text_head is not None and rows.pools is not None:
                raw = raw + self.text_head.log_odds(rows.pools)
            learnt = class_probabilities(raw, self.temperature)
            result[:, self.classes] = np.where(nothing_known[:, None], self.shares, learnt)
        return result

    def plausible(self, probabilities: Floats) -> Bools:
        """The stages that cannot be ruled out: 90 % of the customers of each stage have it in their set.

        Shape (rows, n_stages); the likeliest stage is always in.
        """
        least = np.full(self.n_stages, np.inf)
        least[self.classes] = self.thresholds
        likeliest = probabilities.argmax(axis=1)[:, None] == np.arange(self.n_stages)
        plausible: Bools = (probabilities >= least) | likeliest
        return plausible


def class_probabilities(raw: Floats, temperature: float) -> Floats:
    """Calibrated class probabilities from raw scores. Shape (rows, classes)."""
    probabilities: Floats = softmax(raw * temperature, axis=1)
    return probabilities
