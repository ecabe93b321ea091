"""What a retraining keeps from its model: later rows whose windows begin when all that was learnt is over."""

from __future__ import annotations

import numpy as np
import pytest

from features.errors import BadData
from features.event_log import DAY_US
from training.hold_out import hold_out
from training.labels import LabelledRows
from training.split import held_out_persons


def rows_of(
    days: list[int], horizons: tuple[int | None, ...], converted: list[int] | None = None, persons: int = 3
) -> LabelledRows:
    n = len(days)
    known = [0] * n if converted is None else converted
    return LabelledRows(
        customer_id=[f"c{i % persons}" for i in range(n)],
        customer=np.arange(n) % persons,
        as_of_us=np.array(days, dtype=np.int64) * DAY_US,
        stage=np.zeros(n, dtype=np.int8),
        horizons_days=horizons,
        converted=np.repeat(np.array(known, dtype=np.int8)[:, None], len(horizons), axis=1),
        stage_by_rule=True,
        left_out={"windows of 30 days that are not over": 2},
    )


def days_of(rows: LabelledRows) -> list[int]:
    return (rows.as_of_us // DAY_US).tolist()


def test_ten_rows_are_cut_in_time_with_a_gap() -> None:
    days = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    held_out = hold_out(rows_of(days, (7, 30)), seed=0)

    assert days_of(held_out.judge) == [80, 90]
    assert days_of(held_out.learn) == [0, 10, 20, 30, 40]  # the window of day 50 ends on day 80
    assert held_out.learn.left_out == {
        "windows of 30 days that are not over": 2,
        "rows kept from the model for the gate": 2,
        "rows kept for the gate whose outcome is not known": 0,
        "rows whose window reaches into the time kept for the gate": 3,
    }


def test_rows_not_known_yet_judge_nothing_and_move_no_cut() -> None:
    days = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110]
    held_out = hold_out(rows_of(days, (30,), [0] * 10 + [-1, -1]), seed=0)

    assert days_of(held_out.judge) == [80, 90]
    assert days_of(held_out.learn) == [0, 10, 20, 30, 40]
    assert list(held_out.learn.left_out.values()) == [2, 2, 2, 3]
    assert held_out.learn.left_out["rows kept for the gate whose outcome is not known"] == 2


def test_stages_alone_need_no_gap() -> None:
    held_out = hold_out(rows_of(list(range(10)), ()), seed=0)

    assert (days_of(held_out.learn), days_of(held_out.judge)) == ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9])


def test_where_no_window_ends_the_same_persons_are_kept_in_every_retraining() -> None:
    few, many = (hold_out(rows_of(list(range(n)), (30, None), persons=n // 2), seed=3) for n in (100, 400))

    for held_out in (few, many):
        assert not set(held_out.learn.customer_id) & set(held_out.judge.customer_id)
        assert len(held_out.judge) / (len(held_out.judge) + len(held_out.learn)) == pytest.approx(0.2, abs=0.1)
    assert set(few.judge.customer_id) <= set(many.judge.customer_id)
    everyone = [f"c{i}" for i in range(50)]
    assert set(few.judge.customer_id) == {
        name for name, kept in zip(everyone, held_out_persons(everyone, 0.2, 3), strict=True) if kept
    }


@pytest.mark.parametrize(
    "rows", [rows_of([0, 0, 0], (30,)), rows_of([0, 9], (30,)), rows_of([0, 50, 99], (30,), [-1] * 3)]
)  # fmt: skip
def test_a_record_too_short_to_keep_some_is_refused(rows: LabelledRows) -> None:
    with pytest.raises(BadData) as caught:
        hold_out(rows, seed=0)
    assert caught.value.code == "nothing_to_hold_out"
