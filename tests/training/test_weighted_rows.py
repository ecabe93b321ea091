import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from training.weighted_rows import DecidedRows, RankedRows

CONVERTED = np.array([True, False, True, False, False, True])
PROBABILITY = np.array([0.9, 0.8, 0.7, 0.4, 0.3, 0.1])

weighted_rows = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]), st.integers(0, 3)), min_size=2
)
weighted_decisions = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(1, 3)), min_size=1)


def test_a_row_that_weighs_two_counts_as_two_rows():
    twice = np.array([1, 2, 1, 1, 1, 1])
    repeated = RankedRows(np.repeat(CONVERTED, twice), np.repeat(PROBABILITY, twice)).measures(np.ones(7))
    weighted = RankedRows(CONVERTED, PROBABILITY).measures(twice.astype(float))
    # Average precision, for one, is (1/1 + 2/4 + 3/7) / 3. ECE is left out: its bins are those of the unweighted rows.
    assert weighted[1] == pytest.approx(9 / 14)
    assert np.delete(weighted, 4) == pytest.approx(np.delete(repeated, 4))


def test_a_row_that_weighs_nothing_does_not_count():
    without_the_last = RankedRows(CONVERTED, PROBABILITY).measures(np.array([1.0, 1, 1, 1, 1, 0]))
    assert without_the_last[0] == pytest.approx(5 / 6)
    assert without_the_last[1] == pytest.approx((1 + 2 / 3) / 2)


def test_weights_that_leave_one_class_leave_no_ranking():
    roc_auc, average_precision, *_, lift = RankedRows(CONVERTED, PROBABILITY).measures(np.array([1.0, 0, 1, 0, 0, 1]))
    assert np.isnan([roc_auc, average_precision, lift]).all()


@settings(max_examples=50, deadline=None)
@given(weighted_rows)
def test_weighted_conversion_metrics_equal_scikit_learns(rows: list[tuple[bool, float, int]]):
    converted, probability, weights = (np.array(column) for column in zip(*rows, strict=True))
    if len(set(converted[weights > 0])) < 2:
        return
    roc_auc, average_precision, log_loss, brier, *_ = RankedRows(converted, probability).measures(weights.astype(float))
    expected = [
        sklearn.metrics.roc_auc_score(converted, probability, sample_weight=weights),
        sklearn.metrics.average_precision_score(converted, probability, sample_weight=weights),
        sklearn.metrics.log_loss(converted, probability, sample_weight=weights, labels=[False, True]),
        sklearn.metrics.brier_score_loss(converted, probability, sample_weight=weights, pos_label=True),
    ]
    assert [roc_auc, average_precision, log_loss, brier] == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(weighted_decisions)
def test_weighted_stage_metrics_equal_scikit_learns(rows: list[tuple[int, int, int]]):
    stage, decided, weights = (np.array(column) for column in zip(*rows, strict=True))
    shares = np.tile([0.2, 0.3, 0.5], (len(rows), 1))
    macro_f1, accuracy, log_loss, *f1 = DecidedRows(stage, decided, shares).measures(weights.astype(float))
    expected = [
        sklearn.metrics.f1_score(stage, decided, average="macro", sample_weight=weights),
        sklearn.metrics.accuracy_score(stage, decided, sample_weight=weights),
        sklearn.metrics.log_loss(stage, shares, sample_weight=weights, labels=[0, 1, 2]),
    ]
    assert [macro_f1, accuracy, log_loss] == pytest.approx(expected)
    expected_f1 = sklearn.metrics.f1_score(
        stage, decided, average=None, labels=[0, 1, 2], sample_weight=weights, zero_division=np.nan
    )
    assert f1 == pytest.approx(expected_f1.tolist(), nan_ok=True)
