"""How far the rows judged differ from those learnt from, feature by feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import chi2

from features.aggregate import Float32s
from features.event_log import EventLog, Floats, Int64s
from features.rows import Embed
from models.journey_model import Asked, JourneyModel
from models.rank_line import RankLine
from models.stage import StageModel
from training.labels import LabelledRows

BINS: Final = 10
GRID_BINS: Final = 8
MOST_ROWS: Final = 5000
MOST_FEATURES: Final = 40  # those that move the forecasts most
THE_FORECAST: Final = "(the forecast itself)"


class Shift(NamedTuple):
    """A feature, its population stability index, and what chance alone exceeds in one case of twenty."""

    name: str
    stability_index: float
    by_chance: float


@dataclass(frozen=True)
class Drift:
    """Shifts, the greatest first, and the rows and persons compared."""

    training_rows: int
    training_persons: int
    test_rows: int
    test_persons: int
    shifts: list[Shift]


def measure_drift(
    model: JourneyModel,
    log: EventLog,
    training: LabelledRows,
    test: LabelledRows,
    embed: Embed | None,
    influence: Floats | None = None,
) -> Drift:
    """Compare what the model reads of the rows it learnt from with the rows it is judged on, 5,000 each at most.

    Of the features, the 40 that move the forecasts most; all where `influence` (catalog,) is not known. Where the model
    forecasts conversions, rows count whose first outcome is known: the others, converted before, are other people.
    """
    training, test = _some(_asked_first(model, training)), _some(_asked_first(model, test))
    read = model.reader.read
    before = read(log, training.customer, training.as_of_us, embed)
    after = read(log, test.customer, test.as_of_us, embed)
    persons = len(set(training.customer_id)), len(set(test.customer_id))
    names = [feature.name for feature in model.reader.catalog]
    old, new = (seen.stage if model.conversion is None else seen.conversion for seen in (before, after))
    shifts = [
        shift_of(names[column], old.features[:, column], new.features[:, column], persons)
        for column in _columns(len(names), influence)
    ]
    shifts += _shifts_of_forecasts(model, after, persons)
    return Drift(len(training), persons[0], len(test), persons[1], _greatest_first(shifts))


def measure_drift_from_kept(
    model: JourneyModel, log: EventLog, test: LabelledRows, embed: Embed | None, influence: Floats | None = None
) -> Drift | None:
    """Compare the rows a model is judged on with what it has kept of those it learnt from; None where it kept nothing.

    It has kept its own forecasts and, for its rank line, known values of features at equal steps of their rank: that
    one comes to be missing more often is not found here, nor is a shift finer than such a step. Rows count as in
    `measure_drift`.
    """
    line, learnt = _rank_line(model), model.about.get("trained_on")
    if line is None or learnt is None:
        return None
    test = _some(_asked_first(model, test))
    if not len(test):
        return None
    names = [feature.name for feature in model.reader.catalog]
    asked = model.reader.read(log, test.customer, test.as_of_us, embed)
    seen = asked.stage if model.conversion is None else asked.conversion
    kept = dict(zip(line.columns.tolist(), line.grid, strict=True))
    customers, persons = np.array(test.customer_id), (learnt["customers"], len(set(test.customer_id)))
    shifts = []
    for column in _columns(len(names), influence):
        values = seen.features[:, column]
        known = ~np.isnan(values)
        if column in kept and known.any():
            # As many of those learnt from are taken to have had a value as of those judged.
            of_both = persons[0] * known.mean(), len(np.unique(customers[known]))
            shifts.append(shift_from_grid(names[column], kept[column], values[known], of_both))
    shifts += _shifts_of_forecasts(model, asked, persons)
    return Drift(learnt["rows"], persons[0], len(test), persons[1], _greatest_first(shifts))


def shift_of(name: str, before: Floats | Float32s, after: Floats | Float32s, persons: tuple[float, float]) -> Shift:
    """The population stability index: the sum over bins of (q - p) ln(q / p), p before and q after.

    Bins are tenths of `before`, fewer where values repeat, and one for NaN; an empty one counts as half a row. Source:
    Siddiqi, "Credit Risk Scorecards" (2006); without a shift it is distributed as (1/n + 1/m) chi-squared with one
    degree of freedom less than bins (Yurdakul and Naranjo 2020, Journal of Risk Model Validation 14(3)); n and m are
    taken to be the `persons`, whose rows resemble each other.
    """
    edges = np.unique(np.nanquantile(before, np.arange(1, BINS) / BINS)) if np.isfinite(before).any() else np.zeros(0)
    counts = np.stack([_counts(values, edges) for values in (before, after)])
    counts = counts[:, counts.any(axis=0)]
    return _shift(name, np.maximum(counts, 0.5) / counts.sum(axis=1, keepdims=True), persons)


def shift_from_grid(name: str, grid: Float32s, after: Float32s, persons: tuple[float, float]) -> Shift:
    """The same index where of the values before a `grid` is known, rising in equal steps of rank; none may be NaN.

    Bins are eighths of the grid. What share of the values before lies up to an edge is known to a step: of what is
    possible, the share nearest to that of `after` is taken, so that a shift is never made up.
    """
    steps = len(grid) - 1
    edges = np.unique(grid[steps // GRID_BINS : -1 : steps // GRID_BINS])
    last = np.searchsorted(grid, edges, side="right") - 1
    new = np.searchsorted(np.sort(after), edges, side="right") / len(after)
    old = np.clip(new, last / steps, np.minimum(last + 1, steps) / steps)
    shares = np.diff(np.stack([old, new]), axis=1, prepend=0.0, append=1.0)
    return _shift(name, np.maximum(shares, 0.5 / len(after)), persons)


def _shift(name: str, shares: Floats, persons: tuple[float, float]) -> Shift:
    """The shift between two rows of shares, one a bin."""
    index = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    noise = chi2.ppf(0.95, max(shares.shape[1] - 1, 1)) * sum(1 / n for n in persons)
    return Shift(name, index, float(noise))


def _shifts_of_forecasts(model: JourneyModel, asked: Asked, persons: tuple[float, float]) -> list[Shift]:
    if model.conversion is None:
        return []
    probability = model.conversion.probabilities(asked.conversion, model.nothing_known(asked))[:, 0]
    return [shift_of(THE_FORECAST, model.conversion.reference, probability, persons)]


def _greatest_first(shifts: list[Shift]) -> list[Shift]:
    return sorted(shifts, key=lambda shift: -shift.stability_index)


def _rank_line(model: JourneyModel) -> RankLine | None:
    if model.conversion is not None:
        return model.conversion.hazards[0].line
    return model.stage.line if isinstance(model.stage, StageModel) else None


def _counts(values: Floats | Float32s, edges: Floats) -> Int64s:
    """Rows in (-inf, first edge], …, (last edge, inf), and NaN."""
    known = values[~np.isnan(values)]
    bins = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return np.append(bins, len(values) - len(known))


def _columns(n_columns: int, influence: Floats | None) -> Int64s:
    if influence is None:
        return np.arange(n_columns)
    strongest = np.argsort(-influence, kind="stable")[:MOST_FEATURES]
    return strongest[influence[strongest] > 0]


def _asked_first(model: JourneyModel, rows: LabelledRows) -> LabelledRows:
    """The rows that the first horizon's hazard is asked about; all where the model forecasts no conversion."""
    if model.conversion is None or model.conversion.horizons_days[0] not in rows.horizons_days:
        return rows
    outcome = rows.converted[:, rows.horizons_days.index(model.conversion.horizons_days[0])]
    return rows.take(np.flatnonzero(outcome >= 0).astype(np.int64))


def _some(rows: LabelledRows) -> LabelledRows:
    return rows.take(np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(np.int64)))
