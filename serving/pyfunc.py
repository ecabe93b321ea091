"""The bundle as MLflow's tools see it: one row a customer, in and out."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from features.event_log import to_us
from serving.schemas import History
from serving.score_request import Limits, read_score_request
from serving.scorer import Scorer

ONE_CUSTOMER = Limits(customers=1, touchpoints=1_000_000)


class JourneycastModel:
    """Answers a frame of customer_id, as_of (ISO time with zone) and touchpoints (a JSON list) with scores."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def predict(self, asked: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row of scores for each row asked, in order; `plausible_stages` is joined by `|`.

        Raises `serving.refusal.Refusal` naming the field where a row breaks the contract.
        """
        del params
        columns = zip(asked["customer_id"], asked["as_of"], asked["touchpoints"], strict=True)
        return pd.DataFrame([self._score(*row) for row in columns])

    def _score(self, customer_id: str, as_of: str, touchpoints: str) -> dict[str, Any]:
        customer = f'{{"customer_id": {json.dumps(customer_id)}, "touchpoints": {touchpoints}}}'
        request = read_score_request(
            f'{{"as_of": {json.dumps(str(as_of))}, "customers": [{customer}]}}'.encode(), ONE_CUSTOMER
        )
        (history,) = request.histories
        row = self._scorer.score_histories([_as_pair(history)], to_us(_given(request.as_of)))[0]
        return row | {name: "|".join(row[name]) for name in row if name == "plausible_stages"}


def _as_pair(history: History) -> tuple[str, Any]:
    return history.customer_id, history.touchpoints


def _given(as_of: datetime | None) -> datetime:
    if as_of is None:
        raise ValueError("as_of is empty; give an ISO time with zone")
    return as_of


def _load_pyfunc(data_path: str) -> JourneycastModel:
    """What MLflow calls to open the bundle."""
    return JourneycastModel(Scorer.load(Path(data_path)))
