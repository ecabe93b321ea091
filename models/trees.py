"""Boosted trees as fitted state: LightGBM's text form, asked for raw scores and contributions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from features.aggregate import Float32s
from features.event_log import Floats, Int64s
from models.forest import Forest


@dataclass(frozen=True)
class Trees:
    """A LightGBM model over some columns of the feature rows.

    `text` must come from a bundle whose hashes were checked or from a training in this process: nothing else in it is
    checked.
    """

    text: str
    columns: Int64s

    @cached_property
    def _forest(self) -> Forest:
        return Forest.parse(self.text)

    def raw_scores(self, features: Float32s) -> Floats:
        """Summed leaf values. Shape (rows,), or (rows, classes) for a multiclass model."""
        scores = self._forest.raw_scores(features, self.columns)
        return scores[:, 0] if self._forest.classes == 1 else scores

    def contributions(self, features: Float32s) -> Floats:
        """Exact TreeSHAP values of a one-score model and, last, its base; each row sums to its raw score.

        Shape (rows, columns + 1).

        Source: Lundberg et al., "From local explanations to global understanding with explainable AI for trees" (2020).
        """
        return self._forest.contributions(features[:, self.columns])
