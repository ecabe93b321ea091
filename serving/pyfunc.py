"""The bundle as MLflow's tools see it: one row a customer, in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serving.scorer import Scorer


class JourneycastModel:
    """Answers a pandas frame of customer_id, as_of (ISO time with zone) and touchpoints (a JSON list of them)."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer


def _load_pyfunc(data_path: str) -> Any:
    """What MLflow calls to open the bundle."""
    return JourneycastModel(Scorer.load(Path(data_path)))
