"""Back-tests: which rows each fold learns from and is judged on, and what is told of all folds together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from features.errors import BadData, BadUsage
from features.event_log import DAY_US, to_us
from features.journey import DEFAULT_JOURNEY
from training.backtest import Backtest, BacktestRow, Fold, Spread, backtest, rolling_folds
from training.backtest_table import backtest_table
from training.labels import LabelledRows

NAN = float("nan")


def day(of_january: int) -> datetime:
    return datetime(2026, 1, of_january, tzinfo=UTC)


def labelled(days: list[int], converted: list[int], horizon_days: int | None = 2) -> LabelledRows:
    """A row a day of January of the persons a, b, a, b …"""
    person = [index % 2 for index in range(len(days))]
    return LabelledRows(
        customer_id=["ab"[index] for index in person],
        customer=np.array(person),
        as_of_us=np.array([to_us(day(number)) for number in days]),
        stage=np.full(len(days), -1, dtype=np.int8),
        horizons_days=(horizon_days,),
        converted=np.array(converted, dtype=np.int8)[:, None],
        stage_by_rule=False,
        left_out={},
    )


def in_words(folds: list[Fold]) -> list[tuple[list[int], list[int]]]:
    return [(fold.train_rows.tolist(), fold.test_rows.tolist()) for fold in folds]


ROWS = labelled([1, 3, 5, 7, 8, 9, 11], [0, 1, 0, 0, 1, 0, -1])


def test_folds_lie_end_to_end_with_the_horizon_as_gap_and_end_with_the_last_known_outcome() -> None:
    folds = rolling_folds(ROWS, 2, 2.0, None)

    assert in_words(folds) == [([0, 1], [3]), ([0, 1, 2], [4, 5])]
    assert [(fold.cut_us, fold.until_us) for fold in folds] == [
        (to_us(day(5)) + 1, to_us(day(7)) + 1),
        (to_us(day(7)) + 1, to_us(day(9)) + 1),
    ]


def test_without_a_length_the_later_half_of_the_time_is_divided() -> None:
    folds = rolling_folds(ROWS, 2, None, None)

    assert [round((fold.until_us - fold.cut_us) / DAY_US, 6) for fold in folds] == [2.0, 2.0]
    assert in_words(folds) == in_words(rolling_folds(ROWS, 2, 2.0, None))


def test_a_gap_that_is_named_wins() -> None:
    assert in_words(rolling_folds(ROWS, 1, 2.0, 0)) == [([0, 1, 2, 3], [4, 5])]
    assert in_words(rolling_folds(ROWS, 1, 2.0, 5)) == [([0], [4, 5])]


def test_persons_held_out_are_judged_and_not_learnt_from() -> None:
    held_out = np.array([name == "b" for name in ROWS.customer_id])

    assert in_words(rolling_folds(ROWS, 2, 2.0, None, held_out)) == [([0], [3]), ([0, 2], [5])]


def test_outcomes_without_a_horizon_need_a_gap() -> None:
    in_the_end = replace(ROWS, horizons_days=(None,))
    with pytest.raises(BadUsage, match=r"--set split\.gap_days=30"):
        rolling_folds(in_the_end, 2, 2.0, None)

    assert in_words(rolling_folds(in_the_end, 2, 2.0, 2)) == in_words(rolling_folds(ROWS, 2, 2.0, None))


def test_without_a_known_outcome_nothing_is_tested() -> None:
    with pytest.raises(BadData, match="no row has a known conversion"):
        rolling_folds(labelled([1, 2], [-1, -1]), 2, None, None)


@pytest.fixture(scope="module")
def folds(many) -> list[Fold]:
    """One without rows, one that learns from three, and one with enough."""
    late = rolling_folds(many.rows, 2, None, None)[-1]
    few = replace(late, cut_us=2, train_rows=late.train_rows[:3])
    return [Fold(0, 1, late.train_rows[:0], late.test_rows[:0]), few, late]


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def tested(many, folds: list[Fold], told: list[tuple[str, int, int]], request: pytest.FixtureRequest) -> Backtest:
    request.getfixturevalue("few_trees")
    return backtest(many.rows, folds, many.log, DEFAULT_JOURNEY, None, 0, lambda *step: told.append(step))


def test_a_fold_is_learnt_before_its_cut_and_judged_after(many, folds: list[Fold], tested: Backtest) -> None:
    late = folds[-1]
    assert tested.targets == ("conversion_30d", "conversion_90d")
    for target, horizon in (("conversion_30d", 0), ("conversion_90d", 1)):
        (row,) = tested.of_target(target)
        truth = many.rows.converted[late.test_rows, horizon]
        assert (row.n, row.n_positive, row.training_rows) == (
            (truth >= 0).sum(), (truth == 1).sum(), len(late.train_rows)
        )  # fmt: skip
        assert row.base_rate == row.n_positive / row.n
        assert many.rows.as_of_us[late.train_rows].max() + 90 * DAY_US <= to_us(row.cut)
        assert to_us(row.cut) <= many.rows.as_of_us[late.test_rows].min()
        assert row.roc_auc > 0.5


def test_a_fold_without_enough_is_left_out_and_said(many, folds: list[Fold], tested: Backtest) -> None:
    without_rows, without_enough = tested.left_out.values()
    assert without_rows == "no row with a known outcome falls into it"
    assert without_enough.startswith("conversion_30d: found 1 rows with a conversion and 1 without")
    with pytest.raises(BadData, match="fold of 1970-01-01: no row with a known outcome"):
        backtest(many.rows, folds[:1], many.log, DEFAULT_JOURNEY, None, 0)


@pytest.mark.usefixtures("tested")
def test_progress_is_told_fold_by_fold(told: list[tuple[str, int, int]]) -> None:
    assert told == [("Back-testing", done, 3) for done in range(4)]


def row(cut: int, roc_auc: float, target: str = "conversion_30d") -> BacktestRow:
    return BacktestRow(target, day(cut), day(cut + 1), 400, 100, 10, 0.1, roc_auc, 0.3, 0.25)


TESTED = Backtest((row(1, 0.75), row(1, NAN, "conversion_90d"), row(2, 0.5), row(3, 0.625), row(4, NAN)), {})


def test_the_spread_counts_the_folds_in_which_a_figure_is_defined() -> None:
    assert TESTED.spread("conversion_30d", "roc_auc") == Spread(3, 0.5, 0.625, 0.75)
    assert TESTED.spread("conversion_90d", "roc_auc").folds == 0
    assert TESTED.metrics() == {
        "backtest/folds": 4.0,
        "backtest/conversion_30d/roc_auc_lowest": 0.5,
        "backtest/conversion_30d/roc_auc_median": 0.625,
        "backtest/conversion_30d/roc_auc_highest": 0.75,
        **{f"backtest/{target}/{figure}_{name}": value
           for target in ("conversion_30d", "conversion_90d")
           for figure, value in (("average_precision", 0.3), ("log_loss", 0.25))
           for name in ("lowest", "median", "highest")},
    }  # fmt: skip


def test_a_table_tells_every_fold_and_what_was_left_out() -> None:
    console = Console(width=160, record=True, file=StringIO())
    console.print(backtest_table(replace(TESTED, left_out={day(5): "no label was known by then"})))
    printed = console.export_text().splitlines()
    lines = [line.split("│")[1:-1] for line in printed if "│" in line]
    told = [[cell.strip() for cell in line] for line in lines]

    assert told[0] == ["conversion_30d", "2026-01-01", "400", "100", "0.100", "0.750", "0.300", "0.250"]
    assert told[4] == ["conversion_30d", "lowest to highest", "", "", "", "0.500–0.750", "0.300–0.300", "0.250–0.250"]
    assert printed[-1].strip() == "left out from 2026-01-05: no label was known by then"
