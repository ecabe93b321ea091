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

    Of the features, the 40 that move the forecasts most; all where `influence` (catalog,) is not known.
    """
    training, test = _some(training), _some(test)
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
    one comes to be missing more often is not found here.
    """
    line, learnt = _rank_line(model), model.about.get("trained_on")
    if line is None or learnt is None:
        return None
    test, names = _some(test), [feature.name for feature in model.reader.catalog]
    asked = model.reader.read(log, test.customer, test.as_of_us, embed)
    seen = asked.stage if model.conversion is None else asked.conversion
    kept = dict(zip(line.columns.tolist(), line.grid, strict=True))
    persons = learnt["customers"], len(set(test.customer_id))
    known = {column: _known(seen.features[:, column]) for column in _columns(len(names), influence) if column in kept}
    shifts = [shift_of(names[column], kept[column], new, persons) for column, new in known.items() if len(new)]
    shifts += _shifts_of_forecasts(model, asked, persons)
    return Drift(learnt["rows"], persons[0], len(test), persons[1], _greatest_first(shifts))


def shift_of(name: str, before: Floats | Float32s, after: Floats | Float32s, persons: tuple[int, int]) -> Shift:
    """The population stability index: the sum over bins of (q - p) ln(q / p), p before and q after.

    Bins are tenths of `before`, fewer where values repeat, and one for NaN; an empty one counts as half a row. Source:
    Siddiqi, "Credit Risk Scorecards" (2006); without a shift it is distributed as (1/n + 1/m) chi-squared with one
    degree of freedom less than bins (Yurdakul and Naranjo 2020, Journal of Risk Model Validation 14(3)); n and m are
    taken to be the `persons`, whose rows resemble each other.
    """
    edges = np.unique(np.nanquantile(before, np.arange(1, BINS) / BINS)) if np.isfinite(before).any() else np.zeros(0)
    counts = np.stack([_counts(values, edges) for values in (before, after)])
    counts = counts[:, counts.any(axis=0)]
    shares = np.maximum(counts, 0.5) / counts.sum(axis=1, keepdims=True)
    index = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    noise = chi2.ppf(0.95, max(counts.shape[1] - 1, 1)) * sum(1 / n for n in persons)
    return Shift(name, index, float(noise))


def _shifts_of_forecasts(model: JourneyModel, asked: Asked, persons: tuple[int, int]) -> list[Shift]:
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


def _known(values: Floats | Float32s) -> Floats | Float32s:
    return values[~np.isnan(values)]


def _counts(values: Floats | Float32s, edges: Floats) -> Int64s:
    """Rows in (-inf, first edge], …, (last edge, inf), and NaN."""
    known = _known(values)
    bins = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return np.append(bins, len(values) - len(known))


def _columns(n_columns: int, influence: Floats | None) -> Int64s:
    if influence is None:
        return np.arange(n_columns)
    strongest = np.argsort(-influence, kind="stable")[:MOST_FEATURES]
    return strongest[influence[strongest] > 0]


def _some(rows: LabelledRows) -> LabelledRows:
    return rows.take(np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(np.int64)))
