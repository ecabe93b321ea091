"""Boosted trees as fitted state: LightGBM's text form, read back, asked for raw scores and contributions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import lightgbm as lgb
import numpy as np

from features.aggregate import Float32s
from features.event_log import Floats, Int64s


@dataclass(frozen=True)
class Trees:
    """A LightGBM model over some columns of the feature rows.

    `text` must come from a bundle whose hashes were checked or from a training in this process: LightGBM aborts the
    process on a malformed model, without an exception.
    """

    text: str
    columns: Int64s

    @cached_property
    def _booster(self) -> lgb.Booster:
        return lgb.Booster(model_str=self.text)

    def raw_scores(self, features: Float32s) -> Floats:
        """Summed leaf values. Shape (rows,), or (rows, classes) for a multiclass model."""
        if len(features) == 0:
            classes = self._booster.num_model_per_iteration()
            return np.zeros(0 if classes == 1 else (0, classes))
        return np.asarray(self._booster.predict(features[:, self.columns], raw_score=True, num_threads=1))

    def contributions(self, features: Float32s) -> Floats:
        """Exact TreeSHAP values of a one-score model and, last, its base; each row sums to its raw score.

        Shape (rows, columns + 1).

        Source: Lundberg et al., "From local explanations to global understanding with explainable AI for trees" (2020).
        """
        if len(features) == 0:
            return np.zeros((0, len(self.columns) + 1))
        return np.asarray(self._booster.predict(features[:, self.columns], pred_contrib=True, num_threads=1))
