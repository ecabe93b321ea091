"""Features that alone tell an outcome too well to have been known before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from features.aggregate import Float32s
from features.event_log import Bools, Floats, Int64s
from features.phrases import VIEWS, PhraseRows, Phrases
from features.rows import FeatureRows
from features.vocabulary import PAIR_CUT
from training.boosting import telling_columns
from training.linear_heads import LEAST_OF_EACH, learn_linear_head
from training.split import FOLDS

# The strongest lone feature of the five real data sets has .76, and none is certain of any conversion.
MOST_ROC_AUC: Final = 0.95
CERTAIN: Final = 0.98  # of the rows that a feature picks, this share has the outcome
MOST_CERTAIN_SHARE: Final = 0.25  # of all rows with the outcome, found with that certainty
COMMON: Final = 0.8  # an outcome of more rows than this is certain in any large group by chance
BINS: Final = 32
MOST_ROWS: Final = 50_000
ALIKE: Final = 0.5  # features whose answers correlate more than this tell the same story
MOST_NAMED: Final = 3
WORDS: Final = "what was said"
WORDS_PENALTY: Final = 3.0  # the middle of those tried for a model: nothing is chosen here, only suspected

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class LonePredictor:
    """A feature that tells too much, and how much the best of those that tell another story does.

    `certain_share` is the share of the rows with the outcome that are found where at least 98 % have it. `alike` are
    some of the other features that tell the same story too well, those of a channel and action first.
    """

    feature: str
    alike: tuple[str, ...]
    roc_auc: float
    certain_share: float
    rest_roc_auc: float
    rows: int
    converted: int


@dataclass(frozen=True, eq=False)
class _Answer:
    """What one feature says of each row's chance, learnt from other persons; `cells` are its distinct answers."""

    feature: str
    chance: Floats
    roc_auc: float
    certain_share: float


def lone_predictors(
    rows: FeatureRows, names: Sequence[str], phrases: Phrases | None, converted: Codes, folds: Codes, seed: int
) -> list[LonePredictor]:
    """The features that alone tell too well who converts, the best of each story only, strongest first.

    `names` are those of the columns of `rows.features`; a phrase counts as present or not in each view, and all pooled
    messages together as one feature. `converted` (rows,) is 1, 0 or -1. Every answer comes from five person-wise folds:
    the conversion rate of the other persons' rows in the same of 32 bins of equal count. Of more than 50,000 rows, as
    many are drawn. Too well is a ROC AUC of .95 whose distance to 1 is a third of that of the features with another
    story; or being certain (98 %) of a quarter of the rows with an outcome that is not common, and of twice as many as
    they are.
    """
    known = np.flatnonzero(converted >= 0)
    if len(known) > MOST_ROWS:
        known = np.sort(np.random.default_rng(seed).choice(known, MOST_ROWS, replace=False))
    yes, fold = converted[known] == 1, folds[known].astype(np.int64)
    if min(yes.sum(), (~yes).sum()) < LEAST_OF_EACH:
        return []
    answers = _answers_of_columns(rows.features[known], names, yes, fold)
    answers += _answers_of_phrases(rows.phrases, phrases, known, yes, fold)
    answers += _answer_of_words(rows, known, yes, folds[known])
    return _told_apart(answers, yes)


def _answers_of_columns(features: Float32s, names: Sequence[str], yes: Bools, fold: Int64s) -> list[_Answer]:
    return [_answer(names[column], _bins(features[:, column]), yes, fold) for column in telling_columns(features)]


def _answers_of_phrases(
    said: PhraseRows | None, phrases: Phrases | None, known: Int64s, yes: Bools, fold: Int64s
) -> list[_Answer]:
    """Only those whose counts leave it possible that they tell too well: of thousands, hardly any."""
    if said is None or phrases is None or not phrases.names:
        return []
    place = np.full(len(said), -1, dtype=np.int64)
    place[known] = np.arange(len(known))
    place = np.repeat(place, np.diff(said.offsets))
    place, column = place[place >= 0], said.column[place >= 0].astype(np.int64)
    held_by_yes = np.bincount(column[yes[place]], minlength=said.width)
    held_by_no = np.bincount(column[~yes[place]], minlength=said.width)
    answers = []
    for candidate in _possible(held_by_yes, int(yes.sum()), held_by_no, int((~yes).sum())):
        view, phrase = divmod(int(candidate), len(phrases.names))
        present = np.zeros(len(known), dtype=np.int64)
        present[place[column == candidate]] = 1
        answers.append(_answer(f"the phrase '{phrases.names[phrase]}' in {VIEWS[view]}", present, yes, fold))
    return answers


def _possible(held_by_yes: Int64s, all_yes: int, held_by_no: Int64s, all_no: int) -> Int64s:
    """Phrases near either bound, whose figures out of fold are a little worse than those of their counts."""
    near = 0.9
    parts_them = np.abs(held_by_yes / all_yes - held_by_no / all_no) >= near * (2 * MOST_ROC_AUC - 1)
    held = held_by_yes + held_by_no
    certain = [
        (of_one >= near * MOST_CERTAIN_SHARE * of_all)
        & (of_one >= near * CERTAIN * held)
        & (of_one >= LEAST_OF_EACH)
        & (of_all <= COMMON * (all_yes + all_no))
        for of_one, of_all in ((held_by_yes, all_yes), (held_by_no, all_no))
    ]
    return np.flatnonzero(parts_them | certain[0] | certain[1]).astype(np.int64)


def _answer_of_words(rows: FeatureRows, known: Int64s, yes: Bools, folds: Codes) -> list[_Answer]:
    if rows.pools is None:
        return []
    all_known = np.ones(len(known), dtype=np.bool_)
    learnt = learn_linear_head(rows.pools[known], all_known, yes[:, None], folds, (WORDS_PENALTY,))
    if learnt is None:
        return []
    return [_answer(WORDS, _bins(learnt[1][:, 0].astype(np.float32)), yes, folds.astype(np.int64))]


def _bins(values: Float32s) -> Int64s:
    """The bin of each value by its rank, a last one for NaN; equal values share a bin."""
    known = ~np.isnan(values)
    inner = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
    edges = np.unique(np.quantile(values[known], inner, method="nearest")) if known.any() else np.zeros(0)
    bins: Int64s = np.where(known, np.searchsorted(edges, values, side="left"), len(edges) + 1).astype(np.int64)
    return bins


def _answer(feature: str, bins: Int64s, yes: Bools, fold: Int64s) -> _Answer:
    width = int(bins.max()) + 1
    cell = fold * width + bins
    of_all = np.bincount(cell, minlength=FOLDS * width).reshape(FOLDS, width)
    of_yes = np.bincount(cell[yes], minlength=FOLDS * width).reshape(FOLDS, width)
    others, others_yes = of_all.sum(axis=0) - of_all, of_yes.sum(axis=0) - of_yes
    chance = ((others_yes + 2 * yes.mean()) / (others + 2)).ravel()
    positives, negatives = of_yes.ravel(), (of_all - of_yes).ravel()
    return _Answer(
        feature,
        chance[cell],
        _roc_auc(chance, positives, negatives),
        max(_certain_share(chance, positives, negatives), _certain_share(-chance, negatives, positives)),
    )


def _roc_auc(chance: Floats, positives: Int64s, negatives: Int64s) -> float:
    """The area of cells that hold so many rows of each class; ties count half."""
    _, tie = np.unique(chance, return_inverse=True)
    of_yes, of_no = np.bincount(tie, positives), np.bincount(tie, negatives)
    before = np.cumsum(of_no) - of_no
    return float(of_yes @ (before + of_no / 2) / (of_yes.sum() * of_no.sum()))


def _certain_share(chance: Floats, wanted: Int64s, others: Int64s) -> float:
    """The largest share of the wanted rows in the cells of highest chance among which at least 98 % are wanted."""
    total = wanted.sum()
    if total > COMMON * (total + others.sum()):
        return 0.0
    order = np.argsort(-chance, kind="stable")
    found, picked = np.cumsum(wanted[order]), np.cumsum((wanted + others)[order])
    certain = (found >= CERTAIN * picked) & (found >= LEAST_OF_EACH)
    return float(found[certain].max(initial=0) / total)


def _told_apart(answers: list[_Answer], yes: Bools) -> list[LonePredictor]:
    """The suspects, each compared with what tells another story; of those that tell one story, the best."""
    suspects = [a for a in answers if a.roc_auc >= MOST_ROC_AUC or a.certain_share >= MOST_CERTAIN_SHARE]
    stories: list[list[_Answer]] = []
    for suspect in sorted(suspects, key=lambda a: (-max(a.roc_auc, a.certain_share), a.feature)):
        told = [story for story in stories if _correlation(suspect.chance, story[0].chance) > ALIKE]
        if told:
            told[0].append(suspect)
        else:
            stories.append([suspect])
    found = [_against_others(story, answers, yes) for story in stories]
    return [told for told in found if told is not None]


def _against_others(story: list[_Answer], answers: list[_Answer], yes: Bools) -> LonePredictor | None:
    best, *alike = story
    others = [a for a in answers if not _is_same_story(best, a, yes)]
    rest = max((a.roc_auc for a in others), default=0.5)
    rest_certain = max((a.certain_share for a in others), default=0.0)
    too_well = best.roc_auc >= MOST_ROC_AUC and 3 * (1 - best.roc_auc) <= 1 - rest
    too_certain = best.certain_share >= max(MOST_CERTAIN_SHARE, 2 * rest_certain)
    if not (too_well or too_certain):
        return None
    names = sorted((a.feature for a in alike), key=lambda name: PAIR_CUT not in name)[:MOST_NAMED]
    counts = (len(yes), int(yes.sum()))
    return LonePredictor(best.feature, tuple(names), best.roc_auc, best.certain_share, rest, *counts)


def _is_same_story(one: _Answer, other: _Answer, yes: Bools) -> bool:
    """Whether both err alike: two honest features agree on the outcome, but not among the rows of one outcome."""
    return any(_correlation(one.chance[rows], other.chance[rows]) > ALIKE for rows in (yes, ~yes))


def _correlation(one: Floats, other: Floats) -> float:
    deviations = one.std() * other.std()
    if deviations < 1e-12:
        return 1.0  # a feature that never errs leaves nothing to tell apart
    return float(abs(np.mean((one - one.mean()) * (other - other.mean()))) / deviations)
