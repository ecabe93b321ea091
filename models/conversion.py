"""How likely a customer is to convert, and within what time: the conversion model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from features.aggregate import Float32s
from features.event_log import Bools, Floats
from features.rows import FeatureRows
from models.calibration import Sigmoid
from models.intervals import VennAbers
from models.text_head import TextHead
from models.trees import Trees


@dataclass(frozen=True)
class Hazard:
    """The chance to convert between one horizon and the next, of those who have not converted by the first.

    The trees start from what the words say (`start` puts the text head's log-odds on this interval's scale) and add
    what the touchpoints say; `sigmoid` calibrates the sum.
    """

    start: Sigmoid
    trees: Trees
    sigmoid: Sigmoid

    def log_odds(self, features: Float32s, words: Floats) -> Floats:
        """Calibrated log-odds; `words` is the text head's answer. Shapes (rows,)."""
        return self.sigmoid.log_odds(self.start.log_odds(words) + self.trees.raw_scores(features))


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
    text_head: TextHead | None

    def words(self, rows: FeatureRows) -> Floats:
        """What the text head says of each row, 0 where no text is read. Shape (rows,)."""
        if self.text_head is None or rows.pools is None:
            return np.zeros(len(rows.features))
        return self.text_head.log_odds(rows.pools)[:, 0]

    def probabilities(self, rows: FeatureRows, nothing_known: Bools) -> Floats:
        """Probability of converting in (as_of, as_of + horizon]. Shape (rows, horizons), rising along a row."""
        words = self.words(rows)
        log_odds = np.stack([hazard.log_odds(rows.features, words) for hazard in self.hazards], axis=1)
        return cumulative(expit(np.where(nothing_known[:, None], self.base_log_odds, log_odds)))

    def percentile(self, first_probability: Floats) -> Floats:
        """Share of the calibration rows, in percent, whose first-horizon probability is at most this one."""
        below = np.searchsorted(self.reference, first_probability, side="right")
        return below.astype(np.float64) * (100.0 / len(self.reference))


def cumulative(hazards: Floats) -> Floats:
    """Probability of having converted by each horizon, from the hazard of each interval. Shape (rows, horizons)."""
    return np.asarray(1.0 - np.cumprod(1.0 - hazards, axis=1))
