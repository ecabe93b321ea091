"""Reliability codes: a row for each, the edges of each, and usual ranges counted off."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from models.reliability import History, Reliability, UsualRange, judge_reliability, learn_usual_range

NAN = float("nan")
AT_ONCE = partial(np.zeros, dtype=np.int64)  # rows of one moment
OK = {"touchpoints": 9.0, "days_since_last": 5.0, "mean_gap_days": 3.0, "unheard_of_share": 0.0}


def judged(unusual: bool = False, **changed: float) -> str:
    history = History(**{name: np.array([value]) for name, value in (OK | changed).items()})
    return judge_reliability(history, np.array([unusual]))[0]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, "ok"),
        ({"touchpoints": 0, "days_since_last": NAN, "mean_gap_days": NAN}, "no_data"),
        ({"unheard_of_share": 0.51}, "unknown_vocabulary"),
        ({"unheard_of_share": 0.5}, "ok"),
        ({"unusual": True}, "unusual"),
        ({"touchpoints": 2}, "little_data"),
        ({"touchpoints": 3}, "ok"),
        ({"days_since_last": 90.5, "mean_gap_days": 9}, "stale"),
        ({"days_since_last": 90, "mean_gap_days": 1}, "ok"),
        ({"days_since_last": 100, "mean_gap_days": 10}, "ok"),
        ({"days_since_last": 100.5, "mean_gap_days": 10}, "stale"),
        ({"days_since_last": 91, "mean_gap_days": NAN}, "stale"),
    ],
)
def test_each_code_has_its_row(changed: dict[str, float], code: str) -> None:
    assert judged(**changed) == code


def test_the_first_code_that_applies_is_given() -> None:
    doubts = [
        {"days_since_last": 400},
        {"touchpoints": 1},
        {"unusual": True},
        {"unheard_of_share": 1},
        {"touchpoints": 0},
    ]
    gathered: dict[str, float] = {}
    codes = [judged(**(gathered := gathered | doubt)) for doubt in doubts]

    assert codes == ["stale", "little_data", "unusual", "unknown_vocabulary", "no_data"]


def test_rows_are_judged_one_by_one() -> None:
    history = History(
        touchpoints=np.array([0.0, 9.0, 1.0]),
        days_since_last=np.array([NAN, 5.0, 5.0]),
        mean_gap_days=np.array([NAN, 3.0, NAN]),
        unheard_of_share=np.array([0.0, 0.0, 0.0]),
    )

    assert judge_reliability(history, np.zeros(3, dtype=np.bool_)) == [
        Reliability.NO_DATA,
        Reliability.OK,
        Reliability.LITTLE_DATA,
    ]


def test_more_columns_outside_than_usual_make_a_row_unusual() -> None:
    usual = UsualRange(np.array([0, 2]), np.array([0.0, 10.0]), np.array([1.0, 20.0]), most_outside=1)
    features = np.array(
        [[0, -99, 10], [1, 99, 20], [2, 0, 15], [2, 0, 21], [-1, 0, 9], [NAN, 0, 21], [NAN, NAN, NAN]], dtype=np.float32
    )

    assert usual.unusual(features).tolist() == [False, False, False, True, True, False, False]


def test_ranges_are_learnt_without_the_outermost_thousandth() -> None:
    values = np.arange(2001, dtype=np.float32)
    usual = learn_usual_range(
        np.stack([values, -values, np.full(2001, NAN, np.float32)], axis=1), np.array([0, 1]), AT_ONCE(2001)
    )

    assert usual.low.tolist() == [1.0, -1999.0]
    assert usual.high.tolist() == [1998.0, -2.0]
    # Four rows have a column outside, fewer than one in two hundred.
    assert usual.unusual(np.stack([values, -values], axis=1)).nonzero()[0].tolist() == [0, 1, 1999, 2000]
    assert usual.most_outside == 0


def test_one_in_two_hundred_training_rows_is_unusual_at_most() -> None:
    random = np.random.default_rng(12)
    features = random.standard_t(2, size=(4000, 60)).astype(np.float32)
    usual = learn_usual_range(features, np.arange(60), AT_ONCE(4000))

    assert 0 < usual.unusual(features).mean() <= 0.005
    assert usual.unusual(features * 1e3).mean() > 0.9


def test_what_is_missing_in_part_is_learnt_from_the_rest() -> None:
    features = np.array([[NAN], [3], [NAN], [5], [4]], dtype=np.float32)
    usual = learn_usual_range(features, np.array([0]), AT_ONCE(5))

    assert (usual.low.tolist(), usual.high.tolist(), usual.most_outside) == ([3.0], [5.0], 0)


def test_a_column_that_grows_with_the_calendar_makes_no_later_row_unusual() -> None:
    days = np.arange(3000)
    features = np.column_stack([days, days % 10]).astype(np.float32)  # tenure, and what lasts
    usual = learn_usual_range(features, np.array([0, 1]), days)

    assert usual.columns.tolist() == [1]
    assert usual.unusual(np.array([[9000, 0.5], [9000, 40]], dtype=np.float32)).tolist() == [False, True]


def test_as_many_columns_may_lie_outside_as_later_training_rows_had() -> None:
    """One later row in a hundred is beyond earlier ones in ten columns at once, each column in one row of 400."""
    as_of_us = np.arange(30_000)
    features = np.tile((as_of_us % 10).astype(np.float32)[:, None], 40)
    for first in range(40):
        features[20_000 + first * 100 :: 4000, [(first + k) % 40 for k in range(10)]] = 99
    usual = learn_usual_range(features, np.arange(40), as_of_us)

    assert usual.most_outside == 10
