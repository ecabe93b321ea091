"""Where a customer stands by words alone, where nobody has said where anybody stands: the stages' examples speak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from features.event_log import Bools, Floats, Int64s
from features.rows import FeatureRows
from models.calibration import softmax

# Nothing is there to learn it from. Cosines lie some tenths apart; 0.1 more makes a stage e times as likely.
SHARPNESS: Final = 10.0
COVERAGE: Final = 0.9


@dataclass(frozen=True)
class StageByExamples:
    """Stages told from how like their examples the own messages are; no label has taught or calibrated it.

    `classes` holds the journey's index of each stage with examples, rising; the other stages have no chance.
    `columns` (classes, 2) are the features that hold the likeness of the own messages and of the last one.
    """

    n_stages: int
    classes: Int64s
    columns: Int64s

    def probabilities(self, rows: FeatureRows, nothing_known: Bools) -> Floats:
        """Probability of each stage of the journey; equal ones where nothing was said. Shape (rows, n_stages)."""
        likeness = rows.features[:, self.columns].astype(np.float64).mean(axis=2)
        silent = nothing_known | np.isnan(likeness).any(axis=1)
        scores = np.where(silent[:, None], 0.0, SHARPNESS * likeness)
        result = np.zeros((len(rows.features), self.n_stages))
        result[:, self.classes] = softmax(scores)
        return result

    def decided(self, probabilities: Floats, _nothing_known: Bools) -> Int64s:
        """The one stage to name: the likeliest. Shape (rows,), indices of the journey."""
        named: Int64s = probabilities.argmax(axis=1).astype(np.int64)
        return named

    def plausible(self, probabilities: Floats, decided: Int64s) -> Bools:
        """The likeliest stages that hold 90 % of the probability together. Shape (rows, n_stages)."""
        order = np.argsort(-probabilities, axis=1, kind="stable")
        sorted_down = np.take_along_axis(probabilities, order, axis=1)
        needed = np.cumsum(sorted_down, axis=1) - sorted_down < COVERAGE
        plausible = np.zeros(probabilities.shape, dtype=np.bool_)
        np.put_along_axis(plausible, order, needed, axis=1)
        plausible[np.arange(len(decided)), decided] = True
        return plausible
