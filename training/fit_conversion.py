"""The conversion model fitted: a hazard for each interval between horizons, calibrated out of fold on later rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from features.aggregate import Float32s
from features.errors import BadData
from features.event_log import Bools, Floats, Int64s
from features.journey import conversion_column
from features.rows import FeatureRows
from models.calibration import Blend, fit_blend, fit_shift, sigmoid
from models.conversion import ConversionModel, Hazard, cumulative
from models.intervals import fit_intervals
from training.boosting import Parameters, grow, out_of_fold, telling_columns
from training.progress import Report
from training.rank_lines import learn_logistic_rank_line
from training.text_heads import learn_text_heads
from training.tree_choice import AS_THEY_ARE, TreeChoice

LEAST_OF_EACH: Final = 20  # rows with a conversion, and without one
LEAST_TO_CALIBRATE: Final = 50  # of each
# Few, shallow, strongly regularised trees: positives are rare, and library defaults overfit them. For the same reason
# splits are at random thresholds, as in Geurts, Ernst and Wehenkel, "Extremely randomized trees" (2006).
TREES: Final[Parameters] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 5,
    "extra_trees": True,
    "min_data_in_leaf": 20,
    "lambda_l2": 20.0,
    "feature_fraction": 0.15,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 63,
}
ROUNDS: Final = (60, 120, 240, 480)  # the best out of fold is taken

Codes = npt.NDArray[np.int8]


def fit_conversion(
    rows: FeatureRows,
    as_of_us: Int64s,
    horizons_days: Sequence[int | None],
    converted: Codes,
    folds: Codes,
    seed: int,
    report: Report,
    choice: TreeChoice = AS_THEY_ARE,
) -> ConversionModel | None:
    """Fit on rows whose `converted` (rows, horizons) is 1 or 0; -1 is unknown. None where nothing is known.

    All rows teach; the later half of them, by `as_of_us` (rows,), says how many convert and how sure that is. Raises
    BadData, naming the counts, where a horizon has fewer than 20 conversions or 20 rows without one.
    """
    if (converted < 0).all():
        return None
    _refuse_too_few(horizons_days, converted)
    report("Learning what words tell of converting", 0, 1)
    last = converted[:, -1:]
    heads = learn_text_heads(rows, last[:, 0] >= 0, last == 1, folds)
    report("Learning what words tell of converting", 1, 1)
    said = np.column_stack([answers[:, 0] for answers in heads.out_of_fold] or [np.zeros((len(converted), 0))])
    hazards, chances, base, parameters = [], [], [], choice.over(TREES)
    for h, horizon in enumerate(horizons_days):
        report(f"Fitting {conversion_column(horizon)}", 0, 1)
        happened = _happened_between(converted, h)
        hazard, log_odds = _fit_hazard(rows.features, said, happened, folds, parameters, seed)
        later = _later(as_of_us, happened)
        shift = fit_shift(log_odds[later], happened[later] == 1)
        hazards.append(replace(hazard, blend=hazard.blend.moved(shift)))
        chances.append(sigmoid(log_odds + shift))
        rate = _base_log_odds(happened)
        base.append(rate + fit_shift(np.full(int(later.sum()), rate), happened[later] == 1))
        report(f"Fitting {conversion_column(horizon)}", 1, 1)
    probabilities = cumulative(np.stack(chances, axis=1))
    calibrating = [_later(as_of_us, converted[:, h]) for h in range(len(horizons_days))]
    return ConversionModel(
        horizons_days=tuple(horizons_days),
        hazards=tuple(hazards),
        intervals=tuple(
            fit_intervals(probabilities[later, h], converted[later, h] == 1) for h, later in enumerate(calibrating)
        ),
        base_log_odds=np.array(base),
        reference=np.sort(probabilities[calibrating[0], 0]),
        text_head=heads.pools,
        phrase_head=heads.phrases,
    )


def _refuse_too_few(horizons_days: Sequence[int | None], converted: Codes) -> None:
    faults = []
    for h, horizon in enumerate(horizons_days):
        yes, no = int((converted[:, h] == 1).sum()), int((converted[:, h] == 0).sum())
        if yes < LEAST_OF_EACH or no < LEAST_OF_EACH:
            faults.append(
                f"{conversion_column(horizon)}: found {yes} rows with a conversion and {no} without, expected at least "
                f"{LEAST_OF_EACH} of each; give more customers, a longer record or a longer horizon"
            )
        elif not {0, 1} <= set(np.unique(_happened_between(converted, h)).tolist()):
            faults.append(
                f"{conversion_column(horizon)}: of the rows known not to have converted within {horizons_days[h - 1]} "
                "days, all or none did later; leave one of the two horizons out of the journey file"
            )
    if faults:
        raise BadData("too_few_conversions", faults)


def _happened_between(converted: Codes, h: int) -> Codes:
    """Whether a conversion fell between horizon h-1 and h: 1, 0, or -1 for those who had converted or are unknown."""
    if h == 0:
        return converted[:, 0]
    return np.where(converted[:, h - 1] == 0, converted[:, h], -1).astype(np.int8)


def _later(as_of_us: Int64s, happened: Codes) -> Bools:
    """The known rows to calibrate on: the later half, or all where that has fewer than 50 of either kind."""
    known = happened >= 0
    later = known & (as_of_us > np.quantile(as_of_us[known], 0.5, method="inverted_cdf"))
    yes = int((happened[later] == 1).sum())
    return later if min(yes, int(later.sum()) - yes) >= LEAST_TO_CALIBRATE else known


def _fit_hazard(
    features: Float32s, said: Floats, happened: Codes, folds: Codes, parameters: Parameters, seed: int
) -> tuple[Hazard, Floats]:
    """The hazard fitted on all known rows, and log-odds of every row by parts that never saw its person."""
    known, yes = happened >= 0, happened == 1
    columns = telling_columns(features[known])
    silent = Blend((0.0,) * said.shape[1], _base_log_odds(happened))
    words = fit_blend(said[known], yes[known]) if said.any() else silent
    begun = words.log_odds(said)
    line = learn_logistic_rank_line(features, columns, known, yes, folds)
    grown = out_of_fold(features, happened, begun[:, None], columns, folds, parameters, ROUNDS, seed)[:, :, 0] - begun
    ranked = np.zeros(len(begun)) if line is None else line[1]
    scores = [np.column_stack([trees, begun, ranked]) for trees in grown]
    blends = [fit_blend(of_rounds[known], yes[known]) for of_rounds in scores]
    log_odds = [blend.log_odds(of_rounds) for blend, of_rounds in zip(blends, scores, strict=True)]
    best = int(np.argmin([_log_loss(of_rounds[known], yes[known]) for of_rounds in log_odds]))
    trees = grow(features, happened, begun[:, None], columns, parameters, ROUNDS[best], seed)
    return Hazard(words, trees, None if line is None else line[0], blends[best]), log_odds[best]


def _base_log_odds(happened: Codes) -> float:
    rate = float(happened[happened >= 0].mean())
    return float(np.log(rate / (1 - rate)))


def _log_loss(log_odds: Floats, happened: Bools) -> float:
    return float(np.mean(np.logaddexp(0.0, log_odds) - happened * log_odds))
