"""How good the forecasts would have been over time: trained at several moments on what was known, judged on what came.

The origin rolls forward as in Triage's timechop (dssg/triage, docs/experiments/temporal-validation-deep-dive.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

import numpy as np

from features.errors import BadData, BadUsage
from features.event_log import DAY_US, Bools, EventLog, Int64s, from_us
from features.journey import Journey, conversion_column
from features.rows import Embed
from models.journey_model import JourneyModel
from training.fit import fit
from training.labels import LabelledRows
from training.metrics import ConversionVerdict, judge_conversion
from training.progress import Report, silent
from training.tree_choice import ALL_AS_THEY_ARE, TreeChoices

Figure = Literal["roc_auc", "average_precision", "log_loss"]
FIGURES: Final[tuple[Figure, ...]] = get_args(Figure)
TESTED_SHARE: Final = 0.5  # of the rows' time, where nobody says how long a fold is


@dataclass(frozen=True)
class BacktestRow:
    """One forecast (`target`, a score column) judged on the rows of one fold: those with `cut` <= as_of < `until`.

    Learnt from `training_rows` rows whose label window is over by `cut`. A figure that is not defined is NaN.
    """

    target: str
    cut: datetime
    until: datetime
    training_rows: int
    n: int
    n_positive: int
    base_rate: float
    roc_auc: float
    average_precision: float
    log_loss: float


@dataclass(frozen=True)
class Spread:
    """A figure over the folds in which it is defined (`folds` of them)."""

    folds: int
    lowest: float
    median: float
    highest: float


@dataclass(frozen=True)
class Backtest:
    """`rows` by cut, then by target; `left_out` says which folds could not be judged (by their cut), and why."""

    rows: tuple[BacktestRow, ...]
    left_out: dict[datetime, str]

    @property
    def targets(self) -> tuple[str, ...]:
        """What was forecast, in the order of the horizons."""
        return tuple(dict.fromkeys(row.target for row in self.rows))

    def of_target(self, target: str) -> tuple[BacktestRow, ...]:
        """The rows of one forecast, by cut."""
        return tuple(row for row in self.rows if row.target == target)

    def spread(self, target: str, figure: Figure) -> Spread:
        """The lowest, the median and the highest of a figure over the folds."""
        values = np.array([getattr(row, figure) for row in self.of_target(target)])
        values = values[~np.isnan(values)]
        if not len(values):
            return Spread(0, np.nan, np.nan, np.nan)
        return Spread(len(values), float(values.min()), float(np.median(values)), float(values.max()))

    def metrics(self) -> dict[str, float]:
        """Flat names for a tracker, such as `backtest/conversion_30d/roc_auc_lowest`; NaN is left out."""
        flat: dict[str, float] = {"backtest/folds": float(len({row.cut for row in self.rows}))}
        for target in self.targets:
            for figure in FIGURES:
                spread = self.spread(target, figure)
                of_figure = {"lowest": spread.lowest, "median": spread.median, "highest": spread.highest}
                if spread.folds:
                    flat |= {f"backtest/{target}/{figure}_{name}": value for name, value in of_figure.items()}
        return flat


@dataclass(frozen=True)
class Fold:
    """Rows to learn from and rows to judge on, as ascending indices, on either side of `cut_us`."""

    cut_us: int
    until_us: int
    train_rows: Int64s
    test_rows: Int64s


def backtest(
    rows: LabelledRows, folds: Sequence[Fold], log: EventLog, journey: Journey, embed: Embed | None, seed: int,
    report: Report = silent, trees: TreeChoices = ALL_AS_THEY_ARE,
) -> Backtest:  # fmt: skip
    """Fit at each fold's cut and judge on its test rows.

    A fold in which too little can be learnt or judged is left out, and said. Raises BadData where that is every fold.
    """
    found: list[BacktestRow] = []
    left_out: dict[datetime, str] = {}
    for done, fold in enumerate(folds):
        report("Back-testing", done, len(folds))
        try:
            found += _judged(rows, fold, log, journey, embed, seed, trees)
        except BadData as too_little:
            left_out[from_us(fold.cut_us)] = "; ".join(too_little.faults)
    report("Back-testing", len(folds), len(folds))
    if not found:
        raise BadData("no_backtest", [f"fold of {cut:%Y-%m-%d}: {why}" for cut, why in left_out.items()])
    return Backtest(tuple(found), left_out)


def rolling_folds(
    rows: LabelledRows, count: int, test_days: float | None, gap_days: float | None, held_out: Bools | None = None
) -> list[Fold]:
    """`count` folds whose test windows of `test_days` lie end to end and end with the last row of known outcome.

    Learnt from are rows whose as_of lies `gap_days` (the longest horizon where None) or more before the cut, so that
    every label was known by then. Without `test_days`, the later half of the time is divided evenly. With `held_out`
    (bool, a row each), those persons' rows alone are judged and never learnt from. Raises BadUsage where the label
    window never ends and no gap is given, BadData where no row has a known outcome.
    """
    known = (rows.converted >= 0).any(axis=1)
    if not known.any():
        raise BadData("no_backtest", "no row has a known conversion, so nothing can be judged over time; give labels")
    gap_us = round(_gap_days(rows, gap_days) * DAY_US)
    first_us, end_us = int(rows.as_of_us[known].min()), int(rows.as_of_us[known].max()) + 1
    test_us = round(test_days * DAY_US) if test_days else max(int((end_us - first_us) * TESTED_SHARE) // count, 1)
    learnt = np.ones(len(rows), dtype=np.bool_) if held_out is None else ~held_out
    judged = known if held_out is None else known & held_out
    folds = []
    for cut_us in range(end_us - count * test_us, end_us, test_us):
        train = learnt & (rows.as_of_us + gap_us <= cut_us)
        test = judged & (rows.as_of_us >= cut_us) & (rows.as_of_us < cut_us + test_us)
        folds.append(Fold(cut_us, cut_us + test_us, np.flatnonzero(train), np.flatnonzero(test)))
    return folds


def _gap_days(rows: LabelledRows, gap_days: float | None) -> float:
    longest = rows.horizons_days[-1]
    if gap_days is None and longest is None:
        raise BadUsage(
            "no_gap",
            "the labels say who converts in the end, so no time lies after their window; say after how many days an "
            "outcome is known: --set split.gap_days=30",
        )
    return float(longest or 0) if gap_days is None else gap_days


def _judged(
    rows: LabelledRows,
    fold: Fold,
    log: EventLog,
    journey: Journey,
    embed: Embed | None,
    seed: int,
    trees: TreeChoices,
) -> list[BacktestRow]:
    if not len(fold.test_rows):
        raise BadData("nothing_to_judge", "no row with a known outcome falls into it")
    if not len(fold.train_rows):
        raise BadData("nothing_to_learn", "no label was known by then")
    model = fit(rows.take(fold.train_rows), log, journey, embed, seed, trees=trees)
    if model.conversion is None:
        raise BadData("nothing_to_learn", "no conversion was known by then")
    tested = rows.take(fold.test_rows)
    probabilities = _conversion(model, log, tested, embed)
    found = []
    for h, horizon in enumerate(model.conversion.horizons_days):
        truth = tested.converted[:, rows.horizons_days.index(horizon)]
        known = np.flatnonzero(truth >= 0)
        if len(known):
            person = [tested.customer_id[row] for row in known]
            verdict = judge_conversion(truth[known] == 1, probabilities[known, h], person, seed, resamples=0)
            found.append(_row(conversion_column(horizon), fold, verdict))
    return found


def _conversion(model: JourneyModel, log: EventLog, rows: LabelledRows, embed: Embed | None) -> Any:
    return model.forecast(model.reader.read(log, rows.customer, rows.as_of_us, embed)).conversion


def _row(target: str, fold: Fold, verdict: ConversionVerdict) -> BacktestRow:
    return BacktestRow(
        target=target,
        cut=from_us(fold.cut_us),
        until=from_us(fold.until_us),
        training_rows=len(fold.train_rows),
        n=verdict.n,
        n_positive=verdict.n_positive,
        base_rate=verdict.base_rate,
        roc_auc=verdict.roc_auc.value,
        average_precision=verdict.average_precision.value,
        log_loss=verdict.log_loss.value,
    )
