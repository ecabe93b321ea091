"""Pictures of a back-test: each fold beside chance."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

from training.backtest import Backtest, BacktestRow
from training.backtest_pictures import backtest_pictures


def fold(month: int, roc_auc: float, average_precision: float, n: int = 100, n_positive: int = 10) -> BacktestRow:
    cut, until = (datetime(2026, number, 1, tzinfo=UTC) for number in (month, month + 1))
    return BacktestRow(
        "conversion_30d", cut, until, 500, n, n_positive, n_positive / n, roc_auc, average_precision, 0.3
    )


def test_three_folds_one_of_them_undefined() -> None:
    tested = Backtest((fold(1, 0.8, 0.4), fold(2, float("nan"), float("nan"), 50, 0), fold(3, 0.7, 0.3)), {})
    precision, auc = backtest_pictures(tested)

    assert precision.foot == auc.foot == "3 folds, 250 rows; base rate 8.0\u00a0%"
    assert precision.numbers == (
        ("2026-01-01", "2026-02-01", "0.400", "0.100", "100", "10"),
        ("2026-02-01", "2026-03-01", "–", "0.000", "50", "0"),
        ("2026-03-01", "2026-04-01", "0.300", "0.100", "100", "10"),
    )
    assert [line[2:4] for line in auc.numbers] == [("0.800", "0.500"), ("–", "0.500"), ("0.700", "0.500")]
    for picture in (precision, auc):
        assert ElementTree.fromstring(picture.svg)[-1].text == picture.foot
        assert "nan" not in picture.svg


def test_a_single_fold_is_no_picture() -> None:
    assert backtest_pictures(Backtest((fold(1, 0.8, 0.4),), {})) == []
