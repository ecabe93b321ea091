"""How likely a customer is to convert, and within what time: the conversion model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.aggregate import Float32s
from features.event_log import Bools, Floats
from features.rows import FeatureRows
from models.calibration import Blend, sigmoid
from models.intervals import VennAbers
from models.linear_head import LinearHead
from models.phrase_head import PhraseHead
from models.rank_line import RankLine
from models.trees import Trees


@dataclass(frozen=True)
class Hazard:
    """The chance to convert between one horizon and the next, of those who have not converted by the first.

    The trees start from what the words say (`words` blends the heads) and add what the features say; `line` says it
    anew, from their ranks; `blend` weighs the three and calibrates their sum.
    """

    words: Blend
    trees: Trees
    line: RankLine | None
    blend: Blend

    def log_odds(self, features: Float32s, said: Floats) -> Floats:
        """Calibrated log-odds; `said` (rows, heads) is what the text heads answer. Shape (rows,)."""
        line = np.zeros(len(features)) if self.line is None else self.line.log_odds(features)[:, 0]
        scores = [self.trees.raw_scores(features), self.words.log_odds(said), line]
        return self.blend.log_odds(np.column_stack(scores))


@dataclass(frozen=True)
class ConversionModel:
    """A discrete-time hazard over the horizons, so that a longer horizon is never less likely than a shorter one.

    `horizons_days` rise; None, "in the end", comes last. `base_log_odds` is the market's rate in each interval, the
    answer where nothing is known of a customer. `reference` holds the sorted out-of-fold probabilities of the first
    horizon, for percentiles. Source: Singer and Willett, "It's about time" (1993).
    """

    horizons_days: tuple[int | None, ...]
    hazards: tuple[Hazard, ...]
    intervals: tuple[VennAbers, ...]
    base_log_odds: Floats
    reference: Floats
    text_head: LinearHead | None
    phrase_head: PhraseHead | None

    def said(self, rows: FeatureRows) -> Floats:
        """What each text head answers. Shape (rows, heads)."""
        answers = []
        if self.text_head is not None and rows.pools is not None:
            answers.append(self.text_head.log_odds(rows.pools)[:, 0])
        if self.phrase_head is not None and rows.phrases is not None:
            answers.append(self.phrase_head.log_odds(rows.phrases)[:, 0])
        return np.array(answers).reshape(len(answers), len(rows.features)).T

    def log_odds(self, rows: FeatureRows, nothing_known: Bools) -> Floats:
        """Log-odds of each interval's hazard, by the base rates of training. Shape (rows, horizons)."""
        said = self.said(rows)
        log_odds = np.stack([hazard.log_odds(rows.features, said) for hazard in self.hazards], axis=1)
        return np.where(nothing_known[:, None], self.base_log_odds, log_odds)

    def probabilities(self, rows: FeatureRows, nothing_known: Bools) -> Floats:
        """Probability of converting in (as_of, as_of + horizon]. Shape (rows, horizons), rising along a row."""
        return cumulative(sigmoid(self.log_odds(rows, nothing_known)))

    def bounds(self, probabilities: Floats) -> tuple[Floats, Floats]:
        """Lower and upper bound of each probability, neither falling along a row. Shapes (rows, horizons)."""
        sides = [interval.interval(probabilities[:, h]) for h, interval in enumerate(self.intervals)]
        low, high = (np.maximum.accumulate(np.stack(side, axis=1), axis=1) for side in zip(*sides, strict=True))
        return np.minimum(low, probabilities), high

    def percentile(self, first_probability: Floats) -> Floats:
        """Share of the calibration rows, in percent, whose first-horizon probability is at most this one."""
        below = np.searchsorted(self.reference, first_probability, side="right")
        return below.astype(np.float64) * (100.0 / len(self.reference))


def cumulative(hazards: Floats) -> Floats:
    """Probability of having converted by each horizon, from the hazard of each interval. Shape (rows, horizons)."""
    return np.asarray(1.0 - np.cumprod(1.0 - hazards, axis=1))
