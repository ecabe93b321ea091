"""The conversion model fitted: refused below twenty of each, calibrated out of fold, blind to shuffled labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from features.errors import BadData
from features.rows import FeatureRows
from models.conversion import ConversionModel
from models.journey_model import JourneyModel
from training import fit_conversion as module
from training.boosting import out_of_fold, telling_columns
from training.fit_conversion import fit_conversion
from training.linear_heads import learn_linear_head
from training.progress import silent
from training.split import FOLDS, person_folds

Codes = np.ndarray

pytestmark = pytest.mark.usefixtures("few_trees")


def rows_of(n: int, dimension: int | None = None) -> FeatureRows:
    random = np.random.default_rng(n)
    features = random.normal(size=(n, 5)).astype(np.float32)
    pools = None if dimension is None else random.normal(size=(n, dimension)).astype(np.float32)
    return FeatureRows(features, pools, None)


def folds_of(n: int) -> Codes:
    return person_folds([f"p{number}" for number in range(n)], FOLDS, seed=0)


def fitted_on(
    rows: FeatureRows,
    converted: Codes,
    horizons_days: tuple[int | None, ...],
    seed: int = 0,
    as_of_us: np.ndarray | None = None,
) -> ConversionModel | None:
    n = len(rows.features)
    moments = np.zeros(n, dtype=np.int64) if as_of_us is None else as_of_us
    return fit_conversion(rows, moments, horizons_days, converted.astype(np.int8), folds_of(n), seed, silent)


def outcomes(rows: FeatureRows) -> Codes:
    """Likelier the larger the first column; half of those who convert at all do so within the first horizon."""
    random = np.random.default_rng(23)
    later = random.random(len(rows.features)) < expit(2.0 * rows.features[:, 0])
    return np.stack([later & (random.random(len(later)) < 0.5), later], axis=1).astype(np.int8)


def test_exactly_twenty_of_each_are_enough() -> None:
    converted = (np.arange(40) < 20)[:, None]
    model = fitted_on(rows_of(40), converted, (30,))

    assert model.horizons_days == (30,)
    assert expit(model.base_log_odds).tolist() == [0.5]


@pytest.mark.parametrize(
    ("yes", "no", "found"),
    [
        (19, 100, "found 19 rows with a conversion and 100 without"),
        (100, 19, "found 100 rows with a conversion and 19 without"),
        (0, 500, "found 0 rows with a conversion and 500 without"),
    ],
)
def test_fewer_are_refused_with_their_counts(yes: int, no: int, found: str) -> None:
    converted = np.repeat([1, 0, -1], [yes, no, 50])[:, None]
    with pytest.raises(BadData, match=f"conversion_30d: {found}, expected at least 20 of each") as refused:
        fitted_on(rows_of(len(converted)), converted, (30,))

    assert refused.value.code == "too_few_conversions"


def test_all_horizons_that_have_too_few_are_told_at_once() -> None:
    converted = np.repeat([[0, 1, 1], [0, 0, 1], [0, 0, 0]], [30, 10, 19], axis=0)
    with pytest.raises(BadData) as refused:
        fitted_on(rows_of(59), converted, (7, 30, None))

    assert [fault.split(",")[0] for fault in refused.value.faults] == [
        "conversion_7d: found 0 rows with a conversion and 59 without",
        "conversion: found 40 rows with a conversion and 19 without",
    ]


@pytest.mark.parametrize(
    "groups",
    [[(1, 1), (0, 0)], [(0, 1), (-1, 0), (1, 1)], [(1, -1), (0, -1), (-1, 1), (-1, 0)]],
    ids=["none", "all", "unknown"],
)
def test_a_horizon_that_tells_nobody_apart_is_refused(groups: list[tuple[int, int]]) -> None:
    converted = np.repeat(groups, 50, axis=0)
    with pytest.raises(BadData, match=r"conversion_90d: .* within 30 days, all or none did later") as refused:
        fitted_on(rows_of(len(converted)), converted, (30, 90))

    assert refused.value.code == "too_few_conversions"


def test_where_nothing_is_known_there_is_no_model() -> None:
    assert fitted_on(rows_of(50), np.full((50, 2), -1), (30, 90)) is None
    assert fitted_on(rows_of(50), np.zeros((50, 0)), ()) is None


def test_of_whom_nothing_is_known_the_base_rates_are_said() -> None:
    # Of 200 known, 40 convert at first; of the 160 others 40 later, and of 20 of them it is not known.
    converted = np.repeat([[1, 1], [0, 1], [0, 0], [0, -1], [-1, -1]], [40, 40, 100, 20, 30], axis=0)
    rows = rows_of(230)
    probabilities = fitted_on(rows, converted, (30, 90)).probabilities(rows, np.ones(230, dtype=np.bool_))

    first, then = 40 / 200, 40 / 140
    assert probabilities == pytest.approx(np.tile([first, 1 - (1 - first) * (1 - then)], (230, 1)))


def test_what_tells_of_converting_is_found_at_each_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUNDS", (60,))
    learnt_from, asked = rows_of(1500), rows_of(1501)
    model = fitted_on(learnt_from, outcomes(learnt_from), (30, 90))
    probabilities, truth = model.probabilities(asked, np.zeros(1501, dtype=np.bool_)), outcomes(asked)

    for h in (0, 1):
        assert roc_auc_score(truth[:, h], probabilities[:, h]) > 0.7
        assert probabilities[:, h].mean() == pytest.approx(truth[:, h].mean(), abs=0.05)
    assert (probabilities[:, 1] >= probabilities[:, 0]).all()


def test_later_hazards_are_learnt_from_those_who_had_not_converted() -> None:
    """All who convert at first look alike; if they counted later on, the later hazard would single them out."""
    rows = rows_of(600)
    rows.features[:, 1:] = 0
    first = rows.features[:, 0] > 0.5
    later = first | (np.arange(600) % 4 == 0)
    model = fitted_on(rows, np.stack([first, later], axis=1), (30, 90))

    then = expit(model.hazards[1].log_odds(rows.features, np.zeros(600)))
    assert np.ptp(model.hazards[0].log_odds(rows.features, np.zeros(600))) > 0.5
    assert then[first].mean() == pytest.approx(0.25, abs=0.1)


def test_trees_that_found_nothing_have_hardly_a_say() -> None:
    by_chance = (np.random.default_rng(24).random((600, 1)) < 0.5).astype(np.int8)

    assert fitted_on(rows_of(600), by_chance, (30,)).hazards[0].blend.weights[0] < 0.3


def test_percentiles_refer_to_the_known_rows_of_the_first_horizon() -> None:
    rows = rows_of(300)
    converted = outcomes(rows)
    converted[:50] = -1
    model = fitted_on(rows, converted, (30, 90))

    assert model.reference.shape == (250,)
    assert (np.diff(model.reference) >= 0).all()
    assert model.reference.mean() == pytest.approx((converted[50:, 0] == 1).mean(), abs=0.02)


def test_the_later_half_of_the_rows_says_how_many_convert() -> None:
    """Of 2,000 by chance a tenth converts at first and three tenths later; nothing else tells them apart."""
    rows, order = rows_of(4000), np.random.default_rng(25).permutation(4000)
    converted = (np.random.default_rng(26).random(4000) < np.where(order < 2000, 0.1, 0.3)).astype(np.int8)[:, None]
    nobody, everybody = np.ones(4000, dtype=np.bool_), np.zeros(4000, dtype=np.bool_)
    by_time = fitted_on(rows, converted, (30,), as_of_us=order)
    at_once = fitted_on(rows, converted, (30,))

    assert by_time.probabilities(rows, everybody).mean() == pytest.approx(0.3, abs=0.02)
    assert at_once.probabilities(rows, everybody).mean() == pytest.approx(0.2, abs=0.01)
    assert by_time.probabilities(rows, nobody)[0] == pytest.approx(0.3, abs=0.02)
    low, high = by_time.bounds(np.array([[0.3]]))
    assert low[0, 0] <= 0.3 <= high[0, 0]
    assert by_time.reference.shape == (2000,)


def test_too_few_later_conversions_leave_the_calibration_to_all_rows() -> None:
    converted = np.zeros((1000, 1), dtype=np.int8)
    converted[:100] = 1
    converted[900:949] = 1  # 49 of the later half
    model = fitted_on(rows_of(1000), converted, (30,), as_of_us=np.arange(1000))

    assert model.reference.shape == (1000,)
    assert expit(model.base_log_odds).tolist() == pytest.approx([0.149])


def test_intervals_are_those_of_each_horizon() -> None:
    rows = rows_of(600)
    model = fitted_on(rows, outcomes(rows), (30, 90))
    probabilities = model.probabilities(rows, np.zeros(600, dtype=np.bool_))

    for h, interval in enumerate(model.intervals):
        low, high = interval.interval(probabilities[:, h])
        assert ((low <= probabilities[:, h]) & (probabilities[:, h] <= high)).all()
        assert (low.mean(), high.mean()) == pytest.approx((outcomes(rows)[:, h].mean(),) * 2, abs=0.1)


def test_words_are_learnt_from_the_longest_horizon() -> None:
    rows = rows_of(600, dimension=3)
    converted = outcomes(FeatureRows(rows.pools, None, None))
    model = fitted_on(rows, converted, (30, 90))
    expected, _ = learn_linear_head(rows.pools, np.ones(600, dtype=np.bool_), converted[:, 1:] == 1, folds_of(600))

    assert model.text_head.weights.tolist() == expected.weights.tolist()
    assert roc_auc_score(converted[:, 1], model.said(rows)[:, 0]) > 0.75
    assert [hazard.words.weights[0] > 0.2 for hazard in model.hazards] == [True, True]


def test_where_too_few_spoke_the_trees_start_from_the_base_rate() -> None:
    rows = rows_of(600, dimension=3)
    rows.pools[20:] = 0
    model = fitted_on(rows, outcomes(rows), (30, 90))

    assert model.text_head is None
    assert [hazard.words.weights for hazard in model.hazards] == [(), ()]
    assert [hazard.words.intercept for hazard in model.hazards] == pytest.approx(model.base_log_odds.tolist())


def test_models_are_the_same_for_a_seed() -> None:
    rows = rows_of(300, dimension=2)

    def texts(seed: int) -> list[str]:
        return [hazard.trees.text for hazard in fitted_on(rows, outcomes(rows), (30, 90), seed).hazards]

    assert texts(0) == texts(0)
    assert texts(0) != texts(1)


def test_shuffled_labels_cannot_be_told(fitted: JourneyModel, many, embed) -> None:
    asked = fitted.reader.read(many.log, many.rows.customer, many.rows.as_of_us, embed).conversion
    folds = person_folds(many.rows.customer_id, FOLDS, seed=0)
    known = many.rows.converted[:, 1] >= 0
    columns = telling_columns(asked.features[known])

    def auc(converted: Codes, seed: int) -> float:
        start = np.full((len(converted), 1), logit((converted[known] == 1).mean()))
        raw = out_of_fold(asked.features, converted, start, columns, folds, module.TREES, (20,), seed)
        return float(roc_auc_score(converted[known], raw[0, known, 0]))

    def shuffled(seed: int) -> Codes:
        converted = many.rows.converted[:, 1].copy()
        converted[known] = np.random.default_rng(seed).permutation(converted[known])
        return converted

    assert auc(many.rows.converted[:, 1], 0) > 0.65
    assert np.mean([auc(shuffled(seed), seed) for seed in range(4)]) == pytest.approx(0.5, abs=0.05)
