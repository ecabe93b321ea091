"""What the training tests share: simulated customers, a toy embedder, and one model fitted on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pytest

from features.aggregate import Float32s
from features.event_log import EventLog
from features.journey import DEFAULT_JOURNEY
from features.rows import Embed
from features.simulate import simulate
from features.touchpoints import drop_duplicates
from models.journey_model import JourneyModel
from training import fit_conversion, fit_stage
from training.fit import fit
from training.labels import LabelledRows, rows_by_rule

DIMENSION = 8


class Labelled(NamedTuple):
    """Touchpoints, and rows labelled from them by the default journey's rules."""

    log: EventLog
    rows: LabelledRows


@pytest.fixture(scope="session")
def embed() -> Embed:
    """A bag of hashed words."""

    def bags(texts: Sequence[str]) -> Float32s:
        vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in text.lower().split():
                vector[hashlib.blake2b(word.encode(), digest_size=1).digest()[0] % DIMENSION] += 1.0
            vector /= max(float(np.linalg.norm(vector)), 1.0)
        return vectors

    return bags


@pytest.fixture(scope="session")
def few() -> Labelled:
    """Enough to fit anything quickly."""
    return labelled(customers=200, seed=5)


@pytest.fixture(scope="session")
def many() -> Labelled:
    return labelled(customers=400, seed=1)


@pytest.fixture(scope="session")
def others() -> Labelled:
    """Persons that no model here has learnt from."""
    return labelled(customers=300, seed=2)


@pytest.fixture(scope="session")
def fitted(many: Labelled, embed: Embed) -> JourneyModel:
    """A model as good as some seconds allow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_conversion, "ROUNDS", (120,))
        patch.setattr(fit_stage, "ROUNDS", (30,))
        return fit(many.rows, many.log, DEFAULT_JOURNEY, embed, seed=0)


@pytest.fixture(scope="module")
def few_trees() -> Iterator[None]:
    """A handful of trees, where it does not matter how good a model is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_conversion, "ROUNDS", (4, 8))
        patch.setattr(fit_stage, "ROUNDS", (2, 4))
        yield


def labelled(customers: int, seed: int) -> Labelled:
    log = EventLog.from_frame(drop_duplicates(simulate(customers, seed).touchpoints))
    return Labelled(log, rows_by_rule(DEFAULT_JOURNEY, log))
