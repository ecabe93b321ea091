"""Where a customer stands: the stage model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.aggregate import Float32s
from features.event_log import Bools, Floats, Int64s
from features.rows import FeatureRows
from models.calibration import softmax
from models.linear_head import LinearHead
from models.phrase_head import PhraseHead
from models.rank_line import RankLine
from models.trees import Trees

COVERAGE = 0.9


@dataclass(frozen=True)
class StageModel:
    """Trees over the feature rows that start from what the text heads say, one class for each stage seen in training.

    `classes` holds the journey's index of each class, rising, and `shares` how common each is: the answer where nothing
    is known of a customer. A text head says how likely each class but the first, or one beyond it, is reached; `line`
    how likely each class is, by the ranks of the features. `trees` is None when training saw a single stage; they look
    at the features and at the answers of heads and line. `start` holds the factor of each text head in what the trees
    start from; `blend` those of the trees, of the start, of the line and of the shares in the calibrated score.
    `decision` weighs the probabilities when one stage is to be named.
    """

    n_stages: int
    classes: Int64s
    shares: Floats
    trees: Trees | None
    line: RankLine | None
    start: Floats
    blend: Floats
    decision: Floats
    thresholds: Floats  # (classes,): the least probability of a plausible stage
    text_head: LinearHead | None
    phrase_head: PhraseHead | None

    def probabilities(self, rows: FeatureRows, nothing_known: Bools) -> Floats:
        """Probability of each stage of the journey. Shape (rows, n_stages), each row summing to 1."""
        result = np.zeros((len(rows.features), self.n_stages))
        result[:, self.classes] = self.shares
        if self.trees is not None:
            said, ranked = self._said(rows), [] if self.line is None else [self.line.log_odds(rows.features)]
            grown = self.trees.raw_scores(beside_answers(rows.features, said + ranked))
            begun = weighed_sum(class_scores(said, grown.shape), self.start)
            placed = ranked[0] if ranked else np.zeros(grown.shape)
            usual = np.broadcast_to(np.log(self.shares), grown.shape)
            learnt = class_probabilities(np.stack([grown, begun, placed, usual]), self.blend)
            result[:, self.classes] = np.where(nothing_known[:, None], self.shares, learnt)
        return result

    def decided(self, probabilities: Floats, nothing_known: Bools) -> Int64s:
        """The one stage to name: that of the greatest weighed probability. Shape (rows,), indices of the journey.

        The likeliest stage is right most often, yet hardly ever a rare one; the weights give the rare ones their due.
        Of whom nothing is known, the likeliest is named: there is no evidence to weigh.
        """
        weights = np.where(nothing_known[:, None], 1.0, self.decision)
        named: Int64s = self.classes[(probabilities[:, self.classes] * weights).argmax(axis=1)]
        return named

    def plausible(self, probabilities: Floats, decided: Int64s) -> Bools:
        """The stages that cannot be ruled out: 90 % of the customers of each stage have it in their set.

        Shape (rows, n_stages); the likeliest stage and the one that was named are always in.
        """
        least = np.full(self.n_stages, np.inf)
        least[self.classes] = self.thresholds
        plausible: Bools = (probabilities >= least) | always_plausible(probabilities, decided)
        return plausible

    def _said(self, rows: FeatureRows) -> list[Floats]:
        answers = []
        if self.text_head is not None and rows.pools is not None:
            answers.append(self.text_head.log_odds(rows.pools))
        if self.phrase_head is not None and rows.phrases is not None:
            answers.append(self.phrase_head.log_odds(rows.phrases))
        return answers


def class_scores(said: Sequence[Floats], shape: tuple[int, ...]) -> Floats:
    """What each text head says, as scores of the classes. Shape (heads, rows, classes); `shape` is that of one head.

    A head says, in shape (rows, classes - 1), the log-odds that each class but the first, or one beyond it, is reached.
    Their sum up to a class is the logarithm, but for what all classes share, of the probability that the boundaries up
    to that class are passed and no other, were each passed by chances of its own. How much the boundaries have in
    common is left to the factor of the head.

    Source: Frank and Hall, "A simple approach to ordinal classification" (2001), for a binary model of each boundary.
    """
    scores = np.zeros((len(said), *shape))
    for head, reached in enumerate(said):
        scores[head, :, 1:] = np.cumsum(reached, axis=1)
    return scores


def beside_answers(features: Float32s, answers: Sequence[Floats]) -> Float32s:
    """What the trees look at: the features, then the answers of text heads and line. Shape (rows, columns)."""
    return np.hstack([features, *(answer.astype(np.float32) for answer in answers)])


def always_plausible(probabilities: Floats, decided: Int64s) -> Bools:
    """The likeliest class of each row and the one that was named. Shape (rows, classes)."""
    classes = np.arange(probabilities.shape[1])
    named: Bools = (probabilities.argmax(axis=1)[:, None] == classes) | (decided[:, None] == classes)
    return named


def weighed_sum(scores: Floats, factors: Floats) -> Floats:
    """The sources' scores (sources, rows, classes), each times its factor, summed. Shape (rows, classes)."""
    total = np.zeros(scores.shape[1:])
    for source, factor in enumerate(factors):  # not BLAS: a row must not depend on its neighbours
        total += factor * scores[source]
    return total


def class_probabilities(scores: Floats, factors: Floats) -> Floats:
    """Calibrated class probabilities from the sources' scores (sources, rows, classes). Shape (rows, classes)."""
    probabilities: Floats = softmax(weighed_sum(scores, factors))
    return probabilities
