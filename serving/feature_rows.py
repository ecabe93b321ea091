"""Feature rows of a list: what the models see of each asked pair, for training sets of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from features.embedder import Embedder
from features.event_log import EventLog, Int64s
from models.bundle import Bundle
from serving.scorer import Scorer
from serving.scores import Column, Listed, Moments, Numbers, Scores

Seen = Literal["conversion", "stage"]


class FeatureScorer(Scorer):
    """Answers with features where a `Scorer` answers with scores, so every list of one is a list of the other.

    `seen_by` says which model's features: where rules or a CRM's record told the stage in training, the stage model
    sees less. The version names what is answered: a list of scores that was stopped is not taken up as one of features.
    """

    def __init__(self, bundle: Bundle, embedder: Embedder | None, seen_by: Seen = "conversion") -> None:
        super().__init__(bundle, embedder)
        self.seen_by = seen_by
        self.model_version = f"{bundle.version}-{seen_by}-features"

    def score(
        self, log: EventLog, customer_ids: Sequence[str], customer: Int64s, as_of_us: Int64s, reasons: bool = False
    ) -> Scores:
        """customer_id, as_of and one column for each feature of the catalogue, null where there is nothing to tell."""
        del reasons
        asked = self._model.reader.read(log, customer, as_of_us, self._embed)
        rows = (asked.conversion if self.seen_by == "conversion" else asked.stage).features.astype(np.float64)
        columns: dict[str, Column] = {"customer_id": Listed(list(customer_ids)), "as_of": Moments(as_of_us)}
        for column, feature in enumerate(self._model.reader.catalog):
            columns[feature.name] = Numbers(rows[:, column], np.isnan(rows[:, column]))
        return Scores(columns)


class StageFeatureScorer(FeatureScorer):
    """The features that the stage model sees."""

    def __init__(self, bundle: Bundle, embedder: Embedder | None) -> None:
        super().__init__(bundle, embedder, "stage")


SCORERS: dict[Seen | None, type[Scorer]] = {None: Scorer, "conversion": FeatureScorer, "stage": StageFeatureScorer}
"""What answers, by which features are asked for; None: scores."""
