"""How many convert nowadays: rates that are told, or seen in the latest windows that are over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from features.errors import BadData
from features.event_log import DAY_US, Bools, EventLog, Floats, Int64s
from features.journey import conversion_column
from features.rows import Embed
from features.stage_rules import already_converted
from models.base_rates import BaseRate, BaseRates, shift_to
from models.calibration import sigmoid
from models.conversion import ConversionModel, cumulative
from models.journey_model import JourneyModel
from training.labels import rows_at
from training.snapshots import snapshots

LEAST_CUSTOMERS = 100  # in a window, to learn a rate from it


@dataclass(frozen=True)
class SeenRate:
    """Of the customers lately seen and not converted when the latest window that is over began, who converted in it.

    `forecast` is the mean of what the model forecast for them, `low` and `high` the 95 % interval of the rate (Wilson,
    1927).
    """

    horizon_days: int
    converted: int
    customers: int
    forecast: float
    low: float
    high: float

    @property
    def is_as_forecast(self) -> bool:
        """Whether the forecast may well have been right."""
        return self.low <= self.forecast <= self.high

    def __str__(self) -> str:
        then = "as was forecast" if self.is_as_forecast else "beyond doubt another: every forecast moves with it"
        return (
            f"{conversion_column(self.horizon_days)}: {self.converted:,} of {self.customers:,} converted "
            f"({self.converted / self.customers:.1%}, {self.low:.1%} to {self.high:.1%}) in the latest window that is "
            f"over; forecast was {self.forecast:.1%}, {then}"
        )


def told_rates(
    model: JourneyModel, log: EventLog, embed: Embed | None, as_of_us: int, rates: Sequence[float]
) -> BaseRates:
    """What brings the mean forecast, of those lately seen and not yet converted, to the rate of each horizon."""
    conversion = _conversion(model)
    moments = np.array([as_of_us], dtype=np.int64)
    customer, asked_us = snapshots(log, moments)
    open_rows = ~already_converted(model.reader.journey, log, customer, asked_us)
    log_odds = _log_odds(model, conversion, log, embed, customer[open_rows], asked_us[open_rows])
    shifts: list[float] = []
    for h, rate in enumerate(rates):
        shifts.append(shift_to(rate, log_odds[:, : h + 1], shifts))
    columns = map(conversion_column, conversion.horizons_days)
    return {column: BaseRate(*of) for column, of in zip(columns, zip(rates, shifts, strict=True), strict=True)}


def seen_rates(
    model: JourneyModel, log: EventLog, embed: Embed | None, as_of_us: int
) -> tuple[BaseRates, list[SeenRate]]:
    """What brings the mean forecast to what was seen, where the two differ beyond doubt; and what was seen.

    For each horizon the window ends at as_of, or where the record ends before. Raises BadData where conversions cannot
    be seen in the touchpoints, or in too few customers.
    """
    conversion = _conversion(model)
    until_us = min(as_of_us, int(log.known_us.max(initial=0)))
    rates: dict[str, BaseRate] = {}
    seen, shifts = [], list[float]()
    for h, horizon in enumerate(conversion.horizons_days):
        if horizon is None:
            raise BadData("no_window", "a conversion in the end has no window that is over; tell --base-rate end=RATE")
        rows = rows_at(model.reader.journey, log, until_us - horizon * DAY_US)
        outcome = rows.converted[:, rows.horizons_days.index(horizon)] if horizon in rows.horizons_days else np.zeros(0)
        known = np.flatnonzero(outcome >= 0)
        if len(known) < LEAST_CUSTOMERS:
            actions = " or ".join(model.reader.journey.conversion.actions)
            raise BadData(
                "too_few_seen",
                f"{conversion_column(horizon)}: found {len(known)} customers in the latest window that is over, "
                f"expected {LEAST_CUSTOMERS}, and {actions} among the touchpoints; give a longer record, or tell "
                "the rate",
            )
        log_odds = _log_odds(model, conversion, log, embed, rows.customer[known], rows.as_of_us[known])[:, : h + 1]
        of = _seen(horizon, outcome[known] == 1, cumulative(sigmoid(log_odds + np.append(shifts, 0.0)))[:, h])
        rate = of.converted / of.customers
        shifts.append(0.0 if of.is_as_forecast else shift_to(rate, log_odds, shifts))
        rates[conversion_column(horizon)] = BaseRate(rate, shifts[-1])
        seen.append(of)
    return rates if any(shifts) else {}, seen


def _seen(horizon_days: int, converted: Bools, forecast: Floats) -> SeenRate:
    n, yes = len(converted), int(converted.sum())
    interval = binomtest(yes, n).proportion_ci(method="wilson")
    return SeenRate(horizon_days, yes, n, float(forecast.mean()), float(interval.low), float(interval.high))


def _log_odds(
    model: JourneyModel,
    conversion: ConversionModel,
    log: EventLog,
    embed: Embed | None,
    customer: Int64s,
    as_of_us: Int64s,
) -> Floats:
    asked = model.reader.read(log, customer, as_of_us, embed)
    return conversion.log_odds(asked.conversion, model.nothing_known(asked))


def _conversion(model: JourneyModel) -> ConversionModel:
    if model.conversion is None:
        raise BadData("no_conversion", "this bundle forecasts no conversion; leave --base-rate out")
    return model.conversion
