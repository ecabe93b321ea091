"""Bundle + touchpoints + as_of become scores, without any transport: lists, Spark and the endpoint all ask here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from features.embedder import Embedder
from features.event_log import Bools, EventLog, Int64s, TouchpointRecord, from_us, has_known
from features.journey import Evidence, conversion_column
from features.stage_rules import evidence_rows, furthest_stages
from models.bundle import Bundle, load_bundle
from models.journey_model import Forecast
from models.market_file import market_version, read_market
from models.reasons import explain

History = tuple[str, Sequence[TouchpointRecord]]  # a customer's id and touchpoints


@dataclass(frozen=True)
class Scores:
    """One entry a row in each column; the columns and their order are the contract's."""

    columns: dict[str, list[Any]]

    def rows(self) -> list[dict[str, Any]]:
        """The same, one dictionary a row."""
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]


class Scorer:
    """Answers with one bundle. Pure: the same touchpoints and as_of give the same scores, whoever else is asked for."""

    def __init__(self, bundle: Bundle, embedder: Embedder | None) -> None:
        self._model = bundle.model
        self._embed = None if embedder is None else embedder.embed
        self.model_version = bundle.version

    @classmethod
    def load(cls, folder: Path, threads: int = 1, market: Path | None = None) -> Scorer:
        """Open a bundle folder, with its embedder and the machine's shared vector cache.

        The market of the file `market`, where given, replaces the bundle's. Raises BadUsage where there is no bundle or
        the market is another's, BadEnvironment where either is damaged.
        """
        bundle = load_bundle(folder)
        if market is not None:
            bundle = with_market(bundle, market)
        embedder = Embedder.with_cache(bundle.embedder_folder, threads) if bundle.embedder_folder else None
        if embedder is not None:
            embedder.load()
        return cls(bundle, embedder)

    def describe(self) -> dict[str, Any]:
        """What this model is: version, journey, score columns, features, quality. JSON-ready."""
        return {
            "model_version": self.model_version,
            "journey": self._model.reader.journey.to_dict(),
            "horizons_days": list(self._model.conversion.horizons_days) if self._model.conversion else [],
            "reads_text": self._model.reader.reads_text,
            "features": len(self._model.reader.catalog),
            "market_as_of": self._market_as_of(),
            **self._model.about,
        }

    def score_histories(
        self, histories: Sequence[History], as_of_us: int, reasons: bool = False
    ) -> list[dict[str, Any]]:
        """Score customers given with their touchpoints, in the order given; one answer each, none lost."""
        log = EventLog.from_records(histories)
        customer = np.arange(len(histories), dtype=np.int64)
        moments = np.full(len(histories), as_of_us, dtype=np.int64)
        return self.score(log, log.customer_ids, customer, moments, reasons).rows()

    def score(
        self, log: EventLog, customer_ids: Sequence[str], customer: Int64s, as_of_us: Int64s, reasons: bool = False
    ) -> Scores:
        """Score each asked pair; `customer` indexes the log's customers, -1 for one of whom it has no touchpoint."""
        asked = self._model.reader.read(log, customer, as_of_us, self._embed)
        forecast = self._model.forecast(asked)
        converted = self._already_converted(log, customer, as_of_us)
        columns: dict[str, list[Any]] = {
            "customer_id": list(customer_ids),
            "as_of": [from_us(moment) for moment in as_of_us],
            **self._stage_columns(forecast),
            "furthest_stage": self._stage_names(furthest_stages(self._model.reader.journey, log, customer, as_of_us)),
            **self._conversion_columns(forecast, converted),
            "reliability": [code.value for code in forecast.reliability],
            "model_version": [self.model_version] * len(customer),
        }
        if reasons and self._model.conversion is not None:
            explained = explain(self._model, asked, log, self._embed)
            columns["reasons"] = [
                [] if done else [asdict(reason) for reason in row]
                for done, row in zip(converted, explained, strict=True)
            ]
        return Scores(columns)

    def _market_as_of(self) -> str | None:
        moments_us = self._model.reader.market.moments_us
        return from_us(moments_us[-1]).isoformat() if len(moments_us) else None

    def _already_converted(self, log: EventLog, customer: Int64s, as_of_us: Int64s) -> Bools:
        conversion = self._model.reader.journey.conversion
        if conversion.repeatable:
            return np.zeros(len(customer), dtype=np.bool_)
        return has_known(log, evidence_rows([Evidence(actions=frozenset(conversion.actions))], log), customer, as_of_us)

    def _stage_columns(self, forecast: Forecast) -> dict[str, list[Any]]:
        if forecast.stage is None or forecast.plausible is None:
            return {}
        journey = self._model.reader.journey
        by_name = {column: forecast.stage[:, k].tolist() for k, column in enumerate(journey.stage_columns.values())}
        sets = [[name for name, is_in in zip(journey.stages, row, strict=True) if is_in] for row in forecast.plausible]
        return {"stage": self._stage_names(forecast.stage.argmax(axis=1)), **by_name, "plausible_stages": sets}

    def _stage_names(self, stages: Any) -> list[str | None]:
        names = self._model.reader.journey.stages
        return [names[stage] if stage >= 0 else None for stage in stages]

    def _conversion_columns(self, forecast: Forecast, converted: Bools) -> dict[str, list[Any]]:
        conversion = self._model.conversion
        if conversion is None or forecast.conversion is None or forecast.low is None or forecast.high is None:
            return {}
        columns: dict[str, list[Any]] = {}
        for h, horizon in enumerate(conversion.horizons_days):
            name = conversion_column(horizon)
            columns[name] = _unless(converted, forecast.conversion[:, h])
            columns[f"{name}_low"] = _unless(converted, forecast.low[:, h])
            columns[f"{name}_high"] = _unless(converted, forecast.high[:, h])
        columns["conversion_percentile"] = _unless(converted, forecast.percentile)
        return columns


def with_market(bundle: Bundle, path: Path) -> Bundle:
    """The bundle with the market of a file, and a version that names both. Raises what `read_market` raises."""
    reader = bundle.model.reader
    market = read_market(path, reader)
    model = replace(bundle.model, reader=replace(reader, market=market))
    return replace(bundle, model=model, version=f"{bundle.version}+{market_version(market)}")


def _unless(converted: Bools, values: Any) -> list[float | None]:
    return [None if done else float(value) for done, value in zip(converted, values, strict=True)]
