"""What the model tests share: simulated customers, a toy embedder, and a model put together by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from features.aggregate import Float32s
from features.event_log import EventLog, Floats, Int64s, to_us
from features.journey import DEFAULT_JOURNEY
from features.market import no_market
from features.phrases import learn_phrases
from features.rows import Embed, FeatureRows
from features.simulate import simulate
from features.stage_rules import stages_at
from features.touchpoints import drop_duplicates
from features.vocabulary import learn_vocabulary
from models.calibration import Blend
from models.conversion import ConversionModel, Hazard
from models.intervals import VennAbers
from models.journey_model import Asked, JourneyModel, Reader
from models.linear_head import LinearHead
from models.phrase_head import PhraseHead
from models.rank_line import RankLine
from models.reliability import learn_usual_range
from models.stage import StageModel, beside_answers
from models.trees import Trees
from training.boosting import Codes, grow, telling_columns
from training.rank_lines import rank_grid

DIMENSION = 8
POOLS = 3 * DIMENSION
SMALL = {"num_leaves": 4, "min_data_in_leaf": 5, "learning_rate": 0.3}


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
def log() -> EventLog:
    return EventLog.from_frame(drop_duplicates(simulate(150, seed=3).touchpoints))


@pytest.fixture(scope="session")
def rows(log: EventLog) -> tuple[Int64s, Int64s]:
    """Everybody, and one customer of whom nothing is known, at two moments."""
    customer = np.arange(-1, len(log.customer_ids))
    moments = [to_us(datetime(2025, month, 1, tzinfo=UTC)) for month in (2, 5)]
    return np.tile(customer, 2), np.repeat(np.array(moments, dtype=np.int64), len(customer))


@pytest.fixture(scope="session")
def reader(log: EventLog) -> Reader:
    vocabulary = learn_vocabulary(log, np.ones(len(log), dtype=np.bool_), DEFAULT_JOURNEY.stages)
    phrases = learn_phrases(log, np.ones(len(log), dtype=np.bool_))
    nothing = no_market(vocabulary, DEFAULT_JOURNEY)
    blind = Reader(DEFAULT_JOURNEY, vocabulary, True, True, nothing, phrases=phrases)
    moment = np.array([to_us(datetime(2025, 1, 1, tzinfo=UTC))], dtype=np.int64)
    return replace(blind, market=blind.survey(log, moment))


@pytest.fixture(scope="session")
def asked(reader: Reader, log: EventLog, rows: tuple[Int64s, Int64s], embed: Embed) -> Asked:
    return reader.read(log, *rows, embed)


@pytest.fixture(scope="session")
def model(reader: Reader, log: EventLog, rows: tuple[Int64s, Int64s], asked: Asked) -> JourneyModel:
    """Two horizons and four stages, with text heads of arbitrary weights."""
    features, stage = asked.conversion.features, np.maximum(stages_at(DEFAULT_JOURNEY, log, *rows), 0)
    columns = telling_columns(features)
    misled = np.random.default_rng(1).random(len(stage)) < 0.25
    bought = ((stage >= 2) ^ misled).astype(np.int8)
    spoke = (asked.conversion.pools[:, 0] > 0).astype(np.int8)
    begun = np.zeros((len(stage), 1))
    hazards = tuple(
        Hazard(words, grow(features, target, begun, columns, SMALL | {"objective": "binary"}, 12, 0), line, blend)
        for target, words, line, blend in [
            (bought, Blend((0.7, 0.4), -0.4), line_of(features, columns), Blend((1.3, 1.3, 0.9), -0.9)),
            (spoke, Blend((0.5, 0.2), 0.1), None, Blend((0.8, 0.8, 0.0), -1.1)),
        ]
    )
    return JourneyModel(
        reader=reader,
        stage=stage_model(asked.stage, stage),
        conversion=ConversionModel(
            horizons_days=(30, 90),
            hazards=hazards,
            intervals=(interval(0.1), interval(0.2)),
            base_log_odds=np.log(np.array([1 / 9, 1 / 4])),
            reference=np.linspace(0.05, 0.95, 19),
            text_head=head(outputs=1),
            phrase_head=phrase_head(1, asked.conversion),
        ),
        usual=learn_usual_range(features, columns, np.zeros(len(features), dtype=np.int64)),
        about={"seed": 3, "quality": {"conversion_30d/roc_auc": 0.75}},
    )


def stage_model(rows: FeatureRows, stage: Codes) -> StageModel:
    """Four stages, with text heads and a line of arbitrary weights, at whose answers the trees look as well."""
    text, phrases = head(outputs=3), phrase_head(3, rows)
    line = line_of(rows.features, telling_columns(rows.features), outputs=4)
    said = [text.log_odds(rows.pools), phrases.log_odds(rows.phrases)]
    seen = beside_answers(rows.features, [*said, line.log_odds(rows.features)])
    parameters = SMALL | {"objective": "multiclass", "num_class": 4}
    return StageModel(
        n_stages=4,
        classes=np.arange(4),
        shares=np.array([0.4, 0.3, 0.2, 0.1]),
        trees=grow(seen, stage, np.zeros((len(stage), 4)), telling_columns(seen), parameters, 6, 0),
        line=line,
        start=np.array([1.0, 0.5]),
        blend=np.array([0.8, 0.8, 0.5]),
        decision=np.array([1.0, 2.0, 3.0, 4.0]),
        thresholds=np.array([0.3, 0.1, 0.2, 0.25]),
        text_head=text,
        phrase_head=phrases,
    )


@pytest.fixture(scope="session")
def stump() -> Trees:
    """-2 where the first column is at most a half, else 2: the one Newton step of logistic regression on six rows."""
    features = np.array([[0], [0], [0], [1], [1], [1]], dtype=np.float32)
    target = np.array([0, 0, 0, 1, 1, 1], dtype=np.int8)
    one_split = {"objective": "binary", "num_leaves": 2, "min_data_in_leaf": 1, "learning_rate": 1.0}
    return grow(features, target, np.zeros((6, 1)), np.zeros(1, dtype=np.int64), one_split, 1, 0)


def head(outputs: int) -> LinearHead:
    random = np.random.default_rng(outputs)
    return LinearHead(random.normal(size=(outputs, POOLS)), np.full(outputs, 0.2), np.full(outputs, -0.6))


def phrase_head(outputs: int, rows: FeatureRows) -> PhraseHead:
    random, width = np.random.default_rng(outputs + 10), rows.phrases.width
    return PhraseHead(
        random.normal(size=(outputs, width)), np.full(outputs, 0.1), np.full(outputs, -0.3), np.arange(outputs) % 2 == 0
    )


def line_of(features: Float32s, columns: Int64s, outputs: int = 1) -> RankLine:
    weights = np.random.default_rng(2).normal(size=(outputs, len(columns))) / len(columns)
    of_ranks = LinearHead(weights, np.full(outputs, 0.3), np.full(outputs, -0.2))
    return RankLine(columns, rank_grid(features[:, columns]), of_ranks)


def interval(width: float) -> VennAbers:
    score: Floats = np.array([0.0, 0.5, 1.0])
    return VennAbers(score, np.maximum(score - width, 0), np.minimum(score + width, 1))
