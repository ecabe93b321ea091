"""Bundle + touchpoints + as_of become scores, without any transport: lists, Spark and the endpoint all ask here."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from features.aggregate import Float32s
from features.embedder import Embedder
from features.event_log import Bools, EventLog, Floats, Int64s, TouchpointRecord, from_us
from features.given_vectors import GivenVectors
from features.journey import conversion_column
from features.rows import Embed
from features.stage_rules import already_converted, furthest_stages
from models.base_rates import check_base_rates
from models.bundle import Bundle, load_bundle
from models.journey_model import Forecast
from models.market_file import read_market
from models.reasons import explain
from models.reliability import Reliability
from serving.scores import Codes, Column, Listed, Moments, Numbers, Scores, sets_of

QUICK_TOUCHPOINTS = 200
History = tuple[str, Sequence[TouchpointRecord]]  # a customer's id and touchpoints


class MessagesRead(NamedTuple):
    """Distinct messages of each request, counted since the scorer was opened."""

    new: int
    cached: int


class Scorer:
    """Answers with one bundle. Pure: the same touchpoints and as_of give the same scores, whoever else is asked for."""

    def __init__(self, bundle: Bundle, embedder: Embedder | None) -> None:
        self._model = bundle.model
        self._embedder = embedder
        self._embed: Embed | None = None if embedder is None else embedder.embed
        self.model_version = bundle.version
        self.journey = bundle.model.reader.journey

    @classmethod
    def load(cls, folder: Path, threads: int = 1, market: Path | None = None, vectors: Path | None = None) -> Scorer:
        """Open a bundle folder, with its embedder and the machine's shared vector cache.

        The market of the file `market`, where given, replaces the bundle's; the vectors of the file `vectors` were
        embedded before (`features.given_vectors`). Raises BadUsage where there is no bundle or the market is another's,
        BadEnvironment where a file is damaged.
        """
        bundle = load_bundle(folder)
        if market is not None:
            bundle = with_market(bundle, market)
        embedder = None
        if bundle.embedder_folder is not None:
            embedder = Embedder.with_cache(bundle.embedder_folder, threads, files=bundle.embedder_files)
            if vectors is not None:
                embedder.cache = GivenVectors(vectors, embedder.dimension, embedder.sha256)
            embedder.load()
        return cls(bundle, embedder)

    @property
    def reads_text(self) -> bool:
        """Whether messages count."""
        return self._model.reader.reads_text

    @property
    def messages_read(self) -> MessagesRead:
        """How many messages this scorer has embedded, and how many it found in the cache."""
        if self._embedder is None:
            return MessagesRead(0, 0)
        return MessagesRead(self._embedder.texts_computed, self._embedder.texts_remembered)

    def describe(self) -> dict[str, Any]:
        """What this model is: version, journey, score columns, features, quality. JSON-ready."""
        return {
            "model_version": self.model_version,
            "journey": self._model.reader.journey.to_dict(),
            "horizons_days": list(self._model.conversion.horizons_days) if self._model.conversion else [],
            "reads_text": self._model.reader.reads_text,
            "features": len(self._model.reader.catalog),
            "market_as_of": self._market_as_of(),
            "base_rates": {column: of.rate for column, of in self._model.base_rates.items()},
            **self._model.about,
        }

    def embedding_in_turn(self, report: Callable[[int, int], None]) -> Scorer:
        """The same scorer for several threads that score parts of one list: no message is embedded twice.

        Only one of them embeds at a time. `report(done, total)` counts the messages of its part.
        """
        if self._embedder is None:
            return self
        in_turn, turn, embed = copy.copy(self), threading.Lock(), self._embedder.embed

        def embed_in_turn(texts: Sequence[str]) -> Float32s:
            with turn:
                return embed(texts, report)

        in_turn._embed = embed_in_turn
        return in_turn

    def is_quick(self, histories: Sequence[History]) -> bool:
        """Whether scoring these takes a millisecond or two: one customer of usual length, no message to embed."""
        if len(histories) != 1 or len(histories[0][1]) > QUICK_TOUCHPOINTS:
            return False
        texts = [touchpoint.text for touchpoint in histories[0][1] if touchpoint.text]
        return self._embedder is None or self._embedder.remembers(texts)

    def score_histories(
        self, histories: Sequence[History], as_of_us: int | Sequence[int], reasons: bool = False
    ) -> list[dict[str, Any]]:
        """Score customers given with their touchpoints, in the order given; one answer each, none lost.

        `as_of_us` is one moment for all or one for each.
        """
        log = EventLog.from_records(histories)
        customer = np.arange(len(histories), dtype=np.int64)
        moments = np.empty(len(histories), dtype=np.int64)
        moments[:] = as_of_us
        return self.score(log, log.customer_ids, customer, moments, reasons).rows()

    def score(
        self, log: EventLog, customer_ids: Sequence[str], customer: Int64s, as_of_us: Int64s, reasons: bool = False
    ) -> Scores:
        """Score each asked pair; `customer` indexes the log's customers, -1 for one of whom it has no touchpoint."""
        asked = self._model.reader.read(log, customer, as_of_us, self._embed)
        forecast = self._model.forecast(asked)
        journey = self._model.reader.journey
        converted = already_converted(journey, log, customer, as_of_us)
        columns: dict[str, Column] = {
            "customer_id": Listed(list(customer_ids)),
            "as_of": Moments(as_of_us),
            **self._stage_columns(forecast),
            "furthest_stage": Codes(furthest_stages(journey, log, customer, as_of_us), journey.stages),
            **self._conversion_columns(forecast, converted),
            "reliability": _reliability(forecast.reliability),
            "model_version": Codes(np.zeros(len(customer), dtype=np.int64), [self.model_version]),
        }
        if reasons and self._model.conversion is not None:
            explained = explain(self._model, asked, log, self._embed)
            columns["reasons"] = Listed(
                [
                    [] if done else [asdict(reason) for reason in row]
                    for done, row in zip(converted, explained, strict=True)
                ]
            )
        return Scores(columns)

    def texts_to_embed(self, log: EventLog, customer: Int64s, as_of_us: Int64s) -> list[str]:
        """The messages that `score` embeds for these pairs, but for what the cache holds."""
        return self._model.reader.texts_to_embed(log, customer, as_of_us)

    def _market_as_of(self) -> str | None:
        moments_us = self._model.reader.market.moments_us
        return from_us(moments_us[-1]).isoformat() if len(moments_us) else None

    def _stage_columns(self, forecast: Forecast) -> dict[str, Column]:
        if forecast.stage is None or forecast.decided is None or forecast.plausible is None:
            return {}
        journey = self._model.reader.journey
        by_name = {column: _numbers(forecast.stage[:, k]) for k, column in enumerate(journey.stage_columns.values())}
        decided = Codes(forecast.decided, journey.stages)
        return {"stage": decided, **by_name, "plausible_stages": sets_of(journey.stages, forecast.plausible)}

    def _conversion_columns(self, forecast: Forecast, converted: Bools) -> dict[str, Column]:
        conversion, percentile = self._model.conversion, forecast.percentile
        if conversion is None or forecast.conversion is None or forecast.low is None or forecast.high is None:
            return {}
        columns: dict[str, Column] = {}
        for h, horizon in enumerate(conversion.horizons_days):
            name = conversion_column(horizon)
            columns[name] = Numbers(forecast.conversion[:, h], converted)
            columns[f"{name}_low"] = Numbers(forecast.low[:, h], converted)
            columns[f"{name}_high"] = Numbers(forecast.high[:, h], converted)
        return columns if percentile is None else columns | {"conversion_percentile": Numbers(percentile, converted)}


def with_market(bundle: Bundle, path: Path) -> Bundle:
    """The bundle with the market of a file, its base rates too, and a version that names both.

    Raises what `read_market` raises, and BadUsage for base rates of other horizons.
    """
    model = bundle.model
    fresher = read_market(path, model.reader)
    check_base_rates(fresher.base_rates, model.conversion.horizons_days if model.conversion else (), path)
    model = replace(model, reader=replace(model.reader, market=fresher.market), base_rates=fresher.base_rates)
    return replace(bundle, model=model, version=f"{bundle.version}+{fresher.version}")


def _numbers(values: Floats) -> Numbers:
    return Numbers(values, np.zeros(len(values), dtype=np.bool_))


def _reliability(codes: Sequence[Reliability]) -> Codes:
    places = {code: place for place, code in enumerate(Reliability)}
    return Codes(np.array([places[code] for code in codes], dtype=np.int64), [code.value for code in Reliability])
