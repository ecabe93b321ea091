from statistics import NormalDist

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from training.metrics import (
    CONVERSION_METRICS,
    ConversionVerdict,
    Estimate,
    StageVerdict,
    judge_conversion,
    judge_stage,
    paired_difference,
)

CONVERTED = np.array([True, False, True, False, False, True])
PROBABILITY = np.array([0.9, 0.8, 0.7, 0.4, 0.3, 0.1])
TIED_CONVERTED = np.array([True, False, True, False, False, False])
TIED_PROBABILITY = np.array([0.8, 0.8, 0.5, 0.5, 0.5, 0.2])
STAGE = np.array([0, 0, 1, 1, 2, 2])
STAGE_PROBABILITIES = np.array(
    [
        [0.50, 0.25, 0.25],
        [0.25, 0.50, 0.25],
        [0.25, 0.50, 0.25],
        [0.25, 0.50, 0.25],
        [0.25, 0.25, 0.50],
        [0.50, 0.25, 0.25],
    ]
)
PERSON = ["a", "b", "c", "d", "e", "f"]


def values(verdict: ConversionVerdict) -> dict[str, float]:
    return {name: getattr(verdict, name).value for name in CONVERSION_METRICS}


def snapshots(seed: int, persons: int, each: int, distance: float = 1.0):
    """Persons of whom half convert, with `each` identical rows; ROC AUC is Φ(distance / √2) in the long run."""
    random = np.random.default_rng(seed)
    converted = random.random(persons) < 0.5
    probability = 1 / (1 + np.exp(-random.normal(converted * distance)))
    return np.repeat(converted, each), np.repeat(probability, each), np.repeat(np.arange(persons), each)


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


def test_conversion_metrics_of_six_rows():
    verdict = judge_conversion(CONVERTED, PROBABILITY, PERSON, seed=0)
    assert values(verdict) == pytest.approx(
        {
            "roc_auc": 5 / 9,  # .9 above three, .7 above two, .1 above none
            "average_precision": (1 / 1 + 2 / 3 + 3 / 6) / 3,
            "log_loss": 0.8735933,  # -ln(.9 × .2 × .7 × .6 × .7 × .1) / 6
            "brier": 0.3,  # (.01 + .64 + .09 + .16 + .09 + .81) / 6
            "ece": 2.8 / 6,  # six bins of one row: .1 + .8 + .3 + .4 + .3 + .9
            "lift_at_10_percent": 2,  # the highest .6 row converted; half of all did
        }
    )
    assert (verdict.base_rate, verdict.n, verdict.n_positive, verdict.n_persons) == (0.5, 6, 3, 6)


def test_conversion_metrics_of_six_rows_with_ties():
    verdict = judge_conversion(TIED_CONVERTED, TIED_PROBABILITY, PERSON, seed=0)
    assert verdict.roc_auc.value == pytest.approx((3.5 + 2) / 8)
    assert verdict.average_precision.value == pytest.approx(1 / 2 * 1 / 2 + 1 / 2 * 2 / 5)
    assert verdict.ece.value == pytest.approx((0.6 + 0.5 + 0.2) / 6)
    assert verdict.lift_at_10_percent.value == pytest.approx((1 / 2) / (1 / 3))


def test_ece_takes_fifteen_bins_of_equal_count():
    converted = np.array([True, False] * 15)
    probability = 0.9 - 0.01 * np.arange(30)
    verdict = judge_conversion(converted, probability, np.arange(30), seed=0)
    # Bin j holds rows 2j and 2j + 1: |1 − (1.79 − .04 j)| = .79 − .04 j, in all 15 × (.79 + .23) / 2
    assert verdict.ece.value == pytest.approx(7.65 / 30)


def test_a_constant_probability_has_no_ranking_to_speak_of():
    verdict = judge_conversion(TIED_CONVERTED, np.full(6, 0.25), PERSON, seed=0)
    assert values(verdict) == pytest.approx(
        {
            "roc_auc": 0.5,
            "average_precision": 1 / 3,
            "log_loss": 0.6538862,  # -(2 ln .25 + 4 ln .75) / 6
            "brier": (2 * 0.75**2 + 4 * 0.25**2) / 6,
            "ece": 1 / 3 - 1 / 4,
            "lift_at_10_percent": 1,
        }
    )


def test_lift_of_the_best_tenth():
    converted = np.isin(np.arange(40), [0, 1, 2, 20, 30])
    verdict = judge_conversion(converted, 1 - np.arange(40) / 40, np.arange(40), seed=0)
    assert verdict.lift_at_10_percent.value == pytest.approx((3 / 4) / (5 / 40))


def test_stage_metrics_of_six_rows():
    verdict = judge_stage(STAGE, STAGE_PROBABILITIES, PERSON, seed=0)
    assert [f1.value for f1 in verdict.f1] == pytest.approx([2 / 4, 4 / 5, 2 / 3])
    assert verdict.macro_f1.value == pytest.approx((2 / 4 + 4 / 5 + 2 / 3) / 3)
    assert verdict.accuracy.value == pytest.approx(4 / 6)
    assert verdict.log_loss.value == pytest.approx(0.9241962)  # four rows ln 2, two rows 2 ln 2: 8 ln 2 / 6
    assert (verdict.n, verdict.n_by_stage, verdict.n_persons) == (6, (2, 2, 2), 6)


def test_a_decision_rule_takes_the_place_of_the_most_probable_stage():
    verdict = judge_stage(STAGE, STAGE_PROBABILITIES, PERSON, seed=0, decided=np.array([0, 0, 1, 1, 2, 0]))
    assert [f1.value for f1 in verdict.f1] == pytest.approx([4 / 5, 1, 2 / 3])
    assert verdict.accuracy.value == pytest.approx(5 / 6)
    assert verdict.log_loss.value == pytest.approx(0.9241962)


def test_a_stage_that_nobody_is_in_has_no_f1_and_does_not_lower_the_mean():
    unused = np.column_stack([STAGE_PROBABILITIES, np.zeros(6)])
    verdict = judge_stage(STAGE, unused, PERSON, seed=0)
    assert np.isnan(verdict.f1[3].value)
    assert verdict.f1[3].reason == "the stage is neither among the true nor among the decided ones"
    assert verdict.macro_f1.value == pytest.approx((2 / 4 + 4 / 5 + 2 / 3) / 3)
    assert verdict.n_by_stage == (2, 2, 2, 0)


def test_single_precision_probabilities_need_not_sum_to_exactly_one():
    verdict = judge_stage(STAGE, STAGE_PROBABILITIES + 1e-6, PERSON, seed=0)
    assert verdict.log_loss.value == pytest.approx(0.9241962, abs=1e-5)


@pytest.mark.parametrize(
    ("converted", "reason"), [([True] * 6, "every row converted"), ([False] * 6, "no row converted")]
)
def test_one_class_leaves_the_ranking_undefined_and_says_why(converted: list[bool], reason: str):
    verdict = judge_conversion(np.array(converted), PROBABILITY, PERSON, seed=0)
    for undefined in (verdict.roc_auc, verdict.average_precision, verdict.lift_at_10_percent):
        assert np.isnan([undefined.value, undefined.low, undefined.high]).all()
        assert undefined.reason == reason
    expected = sklearn.metrics.log_loss(converted, PROBABILITY, labels=[False, True])
    assert verdict.log_loss.value == pytest.approx(expected)
    assert verdict.log_loss.low < expected < verdict.log_loss.high
    assert set(verdict.as_dict()) == {
        *(f"conversion/{name}{end}" for name in ("log_loss", "brier", "ece") for end in ("", "_low", "_high")),
        *(f"conversion/{name}" for name in ("base_rate", "n", "n_positive", "n_persons")),
    }


def test_no_rows_give_nothing_but_the_reason():
    conversion = judge_conversion(np.zeros(0, bool), np.zeros(0), [], seed=0)
    stage = judge_stage(np.zeros(0, int), np.zeros((0, 3)), [], seed=0)
    assert conversion.brier.reason == stage.macro_f1.reason == stage.f1[2].reason == "there are no rows"
    assert conversion.as_dict() == {"conversion/n": 0, "conversion/n_positive": 0, "conversion/n_persons": 0}
    assert set(stage.as_dict(["a", "b", "c"]).values()) == {0}


def test_one_person_has_values_but_no_interval():
    verdict = judge_conversion(CONVERTED, PROBABILITY, ["a"] * 6, seed=0)
    assert verdict.roc_auc.value == pytest.approx(5 / 9)
    assert np.isnan([verdict.roc_auc.low, verdict.roc_auc.high]).all()
    assert verdict.roc_auc.reason == "an interval needs two persons"


def test_flat_names_of_a_conversion_verdict():
    estimates = [Estimate(i, i - 0.5, i + 0.5) for i in range(1, 6)]
    undefined = Estimate(np.nan, np.nan, np.nan, "no row converted")
    verdict = ConversionVerdict(*estimates, undefined, base_rate=0.25, n=8, n_positive=2, n_persons=4)
    assert verdict.as_dict("conversion_90d") == {
        "conversion_90d/roc_auc": 1,
        "conversion_90d/roc_auc_low": 0.5,
        "conversion_90d/roc_auc_high": 1.5,
        "conversion_90d/average_precision": 2,
        "conversion_90d/average_precision_low": 1.5,
        "conversion_90d/average_precision_high": 2.5,
        "conversion_90d/log_loss": 3,
        "conversion_90d/log_loss_low": 2.5,
        "conversion_90d/log_loss_high": 3.5,
        "conversion_90d/brier": 4,
        "conversion_90d/brier_low": 3.5,
        "conversion_90d/brier_high": 4.5,
        "conversion_90d/ece": 5,
        "conversion_90d/ece_low": 4.5,
        "conversion_90d/ece_high": 5.5,
        "conversion_90d/base_rate": 0.25,
        "conversion_90d/n": 8,
        "conversion_90d/n_positive": 2,
        "conversion_90d/n_persons": 4,
    }


def test_flat_names_of_a_stage_verdict():
    half = Estimate(0.5, 0.25, 0.75)
    no_interval = Estimate(0.5, np.nan, np.nan, "an interval needs two persons")
    verdict = StageVerdict(half, no_interval, no_interval, (half, no_interval), n=6, n_by_stage=(4, 2), n_persons=1)
    assert verdict.as_dict(["awareness", "advocacy"]) == {
        "stage/macro_f1": 0.5,
        "stage/macro_f1_low": 0.25,
        "stage/macro_f1_high": 0.75,
        "stage/accuracy": 0.5,
        "stage/log_loss": 0.5,
        "stage/n": 6,
        "stage/n_persons": 1,
        "stage/f1_awareness": 0.5,
        "stage/f1_awareness_low": 0.25,
        "stage/f1_awareness_high": 0.75,
        "stage/f1_advocacy": 0.5,
        "stage/n_awareness": 4,
        "stage/n_advocacy": 2,
    }


def test_several_rows_of_a_person_count_once():
    converted, probability, person = snapshots(seed=1, persons=150, each=1)
    single = judge_conversion(converted, probability, person, seed=0)
    repeated = judge_conversion(*(np.repeat(column, 4) for column in (converted, probability, person)), seed=0)
    as_if_others = judge_conversion(*(np.repeat(c, 4) for c in (converted, probability)), np.arange(600), seed=0)
    assert width(repeated.roc_auc) == pytest.approx(width(single.roc_auc))
    assert width(repeated.log_loss) == pytest.approx(width(single.log_loss))
    assert width(as_if_others.roc_auc) < 0.6 * width(single.roc_auc)


def test_intervals_cover_the_truth_and_only_by_person():
    truth = NormalDist().cdf(1 / np.sqrt(2))
    by_person = by_row = 0
    for seed in range(60):
        converted, probability, person = snapshots(seed, persons=120, each=4)
        clustered = judge_conversion(converted, probability, person, seed, resamples=200).roc_auc
        naive = judge_conversion(converted, probability, np.arange(480), seed, resamples=200).roc_auc
        by_person += clustered.low <= truth <= clustered.high
        by_row += naive.low <= truth <= naive.high
    assert by_person >= 54
    assert by_row < 48


def test_the_interval_of_a_calibrated_models_ece_holds_its_value():
    probability = np.repeat(np.arange(1, 10) / 10, 20)
    converted = np.tile(np.arange(20), 9) < 20 * probability
    ece = judge_conversion(converted, probability, np.arange(180), seed=0).ece
    assert ece.value == pytest.approx(0)
    assert ece.low == 0
    assert 0.01 < ece.high < 0.1


def test_paired_difference_of_six_rows():
    other = np.array([0.9, 0.2, 0.8, 0.3, 0.1, 0.7])
    assert paired_difference("roc_auc", CONVERTED, other, PROBABILITY, PERSON, seed=0).value == pytest.approx(4 / 9)
    assert paired_difference("brier", CONVERTED, PROBABILITY, other, PERSON, seed=0).value == pytest.approx(
        (1.80 - 0.28) / 6
    )


@pytest.mark.parametrize("metric", CONVERSION_METRICS)
def test_a_model_does_not_differ_from_itself(metric):
    assert paired_difference(metric, CONVERTED, PROBABILITY, PROBABILITY, PERSON, seed=0) == Estimate(0, 0, 0)


def test_a_paired_difference_is_surer_than_two_intervals():
    converted, probability, person = snapshots(seed=2, persons=200, each=2)
    worse = 0.6 * probability + 0.4 * np.random.default_rng(0).random(400)
    difference = paired_difference("roc_auc", converted, probability, worse, person, seed=0)
    better_alone = judge_conversion(converted, probability, person, seed=0).roc_auc
    worse_alone = judge_conversion(converted, worse, person, seed=0).roc_auc
    assert better_alone.low < worse_alone.high
    assert difference.low > 0
    assert width(difference) < 0.8 * width(better_alone)


def test_a_paired_difference_of_one_class_says_why():
    difference = paired_difference("roc_auc", np.zeros(6, bool), PROBABILITY, PROBABILITY, PERSON, seed=0)
    assert np.isnan(difference.value)
    assert difference.reason == "no row converted"


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(12)), st.integers(0, 9))
def test_the_order_of_rows_changes_nothing(order: list[int], seed: int):
    converted, probability = np.tile(TIED_CONVERTED, 2), np.tile(TIED_PROBABILITY, 2)
    person = np.array([*PERSON, *"aabbcc"])
    here = judge_conversion(converted, probability, person, seed, resamples=20)
    there = judge_conversion(converted[order], probability[order], person[order], seed, resamples=20)
    assert there.as_dict() == pytest.approx(here.as_dict())
    stage, probabilities = np.tile(STAGE, 2), np.tile(STAGE_PROBABILITIES, (2, 1))
    here_stage = judge_stage(stage, probabilities, person, seed, resamples=20)
    there_stage = judge_stage(stage[order], probabilities[order], person[order], seed, resamples=20)
    assert there_stage.as_dict("xyz") == pytest.approx(here_stage.as_dict("xyz"))


def test_the_seed_is_all_that_chance_depends_on():
    verdict = judge_conversion(CONVERTED, PROBABILITY, PERSON, seed=3)
    assert judge_conversion(CONVERTED, PROBABILITY, PERSON, seed=3) == verdict
    other = judge_conversion(CONVERTED, PROBABILITY, PERSON, seed=4)
    assert other.brier.value == verdict.brier.value
    assert other.brier.low != verdict.brier.low


@pytest.mark.parametrize(
    ("converted", "probability", "person", "message"),
    [
        (CONVERTED.astype(float), PROBABILITY, PERSON, "converted is float64, expected bool"),
        (CONVERTED, PROBABILITY[:5], PERSON, r"probability \(5,\), person \(6,\): give one of each"),
        (CONVERTED, PROBABILITY, PERSON[:5], r"probability \(6,\), person \(5,\): give one of each"),
        (CONVERTED, PROBABILITY + 0.2, PERSON, r"1 probabilities are NaN or outside \[0, 1\]"),
        (CONVERTED, np.array([0.1, np.nan, 0.1, np.nan, 0.1, 0.1]), PERSON, "2 probabilities are NaN"),
    ],
)
def test_conversions_that_cannot_be_judged_are_refused(converted, probability, person, message):
    with pytest.raises(ValueError, match=message):
        judge_conversion(converted, probability, person, seed=0)


@pytest.mark.parametrize(
    ("stage", "probabilities", "decided", "message"),
    [
        (STAGE - 1, STAGE_PROBABILITIES, None, "stage has 2 values outside 0 … 2"),
        (STAGE, STAGE_PROBABILITIES, STAGE + 1, "decided has 2 values outside 0 … 2"),
        (STAGE, STAGE_PROBABILITIES, STAGE[:5], r"decided \(5,\), probabilities \(6, 3\)"),
        (STAGE[:5], STAGE_PROBABILITIES, None, r"stage has shape \(5,\)"),
        (STAGE, STAGE_PROBABILITIES / 2, None, "6 rows that do not sum to 1"),
        (STAGE, STAGE_PROBABILITIES - 0.4, None, "12 probabilities are NaN or outside"),
    ],
)
def test_stages_that_cannot_be_judged_are_refused(stage, probabilities, decided, message):
    with pytest.raises(ValueError, match=message):
        judge_stage(stage, probabilities, PERSON, seed=0, decided=decided)


def test_an_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="metric is 'auc'; expected one of roc_auc, average_precision, log_loss"):
        paired_difference("auc", CONVERTED, PROBABILITY, PROBABILITY, PERSON, seed=0)
