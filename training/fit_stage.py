"""The stage model fitted: one class for each stage that the rows show, calibrated out of fold."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from features.event_log import Floats, Int64s
from features.rows import FeatureRows
from models.calibration import fit_class_blend
from models.intervals import fit_stage_thresholds
from models.stage import (
    COVERAGE,
    StageModel,
    always_plausible,
    beside_answers,
    class_probabilities,
    class_scores,
    weighed_sum,
)
from training.boosting import Parameters, grow, out_of_fold, telling_columns
from training.decision import learn_decision
from training.progress import Report
from training.rank_lines import learn_rank_line
from training.text_heads import learn_text_heads
from training.tree_choice import AS_THEY_ARE, TreeChoice

TREES: Final[Parameters] = {
    "objective": "multiclass",
    "learning_rate": 0.1,
    "num_leaves": 8,
    "min_data_in_leaf": 20,
    "lambda_l2": 5.0,
    "feature_fraction": 0.2,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 63,
}
ROUNDS: Final = (40, 80, 160)  # the best out of fold is taken

NONE = np.zeros(0)

Codes = npt.NDArray[np.int8]


def fit_stage(
    rows: FeatureRows,
    stage: Codes,
    n_stages: int,
    folds: Codes,
    seed: int,
    report: Report,
    choice: TreeChoice = AS_THEY_ARE,
) -> StageModel | None:
    """Fit on rows whose `stage` is known (not -1). None where no stage is known."""
    known = stage >= 0
    classes = np.unique(stage[known]).astype(np.int64)
    if len(classes) == 0:
        return None
    if len(classes) == 1:
        return StageModel(n_stages, classes, np.ones(1), None, None, NONE, NONE, np.ones(1), np.zeros(1), None, None)
    coded = np.where(known, np.searchsorted(classes, stage), -1).astype(np.int8)
    truth = coded[known].astype(np.int64)
    report("Learning what words tell of the stage", 0, 1)
    is_class, reached = coded[:, None] == np.arange(len(classes)), coded[:, None] >= np.arange(1, len(classes))
    heads = learn_text_heads(rows, known, reached, folds)
    said = class_scores(heads.out_of_fold, is_class.shape)
    start = fit_class_blend(said[:, known], truth) if len(said) else NONE
    begun = weighed_sum(said, start)
    report("Learning what words tell of the stage", 1, 1)
    report("Fitting the stage", 0, 1)
    telling = telling_columns(rows.features[known])
    line = learn_rank_line(rows.features, telling, known, is_class, folds)
    ranked = np.zeros(begun.shape) if line is None else line[1]
    seen = beside_answers(rows.features, [*heads.out_of_fold, *([] if line is None else [ranked])])
    columns = np.append(telling, np.arange(rows.features.shape[1], seen.shape[1]))
    parameters = {**choice.over(TREES), "num_class": len(classes)}
    raw = out_of_fold(seen, coded, begun, columns, folds, parameters, ROUNDS, seed)
    shares = np.bincount(truth) / len(truth)
    usual = np.broadcast_to(np.log(shares), begun.shape)
    scores = [np.stack([of_rounds - begun, begun, ranked, usual])[:, known] for of_rounds in raw]
    blends = [fit_class_blend(of_rounds, truth) for of_rounds in scores]
    probabilities = [class_probabilities(of_rounds, blend) for of_rounds, blend in zip(scores, blends, strict=True)]
    best = int(np.argmin([_log_loss(p, truth) for p in probabilities]))
    trees = grow(seen, coded, begun, columns, parameters, ROUNDS[best], seed)
    decision = learn_decision(probabilities[best], truth, seed)
    decided = (probabilities[best] * decision).argmax(axis=1).astype(np.int64)
    is_named = always_plausible(probabilities[best], decided)
    report("Fitting the stage", 1, 1)
    return StageModel(
        n_stages=n_stages,
        classes=classes,
        shares=shares,
        trees=trees,
        line=None if line is None else line[0],
        start=start,
        blend=blends[best],
        decision=decision,
        thresholds=fit_stage_thresholds(probabilities[best], truth, is_named, COVERAGE),
        text_head=heads.pools,
        phrase_head=heads.phrases,
    )


def _log_loss(probabilities: Floats, truth: Int64s) -> float:
    return float(-np.log(probabilities[np.arange(len(truth)), truth]).mean())
