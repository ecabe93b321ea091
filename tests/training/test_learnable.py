"""What is learnt where there is too little for all of it, and what still has to be refused."""

from __future__ import annotations

import numpy as np
import pytest

from training.labels import LabelledRows
from training.learnable import learnable

UNKNOWN, NO, YES = -1, 0, 1


def rows(*converted: list[int], stage: list[int] | None = None, by_rule: bool = True) -> LabelledRows:
    """A column of outcomes for each horizon: 7, 30, 90 days."""
    n = len(converted[0])
    return LabelledRows(
        customer_id=[f"c{row}" for row in range(n)],
        customer=np.arange(n),
        as_of_us=np.zeros(n, dtype=np.int64),
        stage=np.array(stage or [UNKNOWN] * n, dtype=np.int8),
        horizons_days=(7, 30, 90)[: len(converted)],
        converted=np.array(converted, dtype=np.int8).T,
        stage_by_rule=by_rule,
        left_out={},
    )


SCARCE, ENOUGH, MORE = [YES] * 19 + [NO] * 41, [YES] * 20 + [NO] * 40, [YES] * 40 + [NO] * 20
EXPECTED = "expected at least 20 of each"


def test_twenty_of_each_are_enough() -> None:
    kept, why = learnable(rows(ENOUGH, MORE))
    assert (kept.horizons_days, why) == ((7, 30), {})


def test_a_horizon_with_too_few_is_left_out_and_said() -> None:
    kept, why = learnable(rows(SCARCE, ENOUGH, [UNKNOWN] * 41 + [YES] * 19))

    assert kept.horizons_days == (30,)
    assert kept.converted.tolist() == [[outcome] for outcome in ENOUGH]
    assert why == {
        "conversion_7d": f"found 19 rows with a conversion and 41 without, {EXPECTED}",
        "conversion_90d": f"found 19 rows with a conversion and 0 without, {EXPECTED}",
    }


def test_a_horizon_that_adds_nothing_to_the_last_one_learnt_is_left_out() -> None:
    kept, why = learnable(rows(ENOUGH, ENOUGH, MORE))

    assert kept.horizons_days == (7, 90)
    assert why == {
        "conversion_30d": "of the rows that had not converted within 7 days, all or none did later",
    }


STAGES = [0] * 20 + [1] * 40


@pytest.mark.parametrize(
    ("found", "learnt"),
    [
        (rows(SCARCE, SCARCE), (7, 30)),  # to be refused
        (rows(SCARCE, stage=STAGES), (7,)),  # rules know a stage of everybody: conversions were what was asked
        (rows(SCARCE, stage=STAGES, by_rule=False), ()),
        (rows(SCARCE, stage=[0] * 41 + [1] * 19, by_rule=False), (7,)),
    ],
)
def test_where_no_horizon_can_be_learnt_only_given_stages_stand_alone(
    found: LabelledRows, learnt: tuple[int, ...]
) -> None:
    kept, why = learnable(found)

    assert kept.horizons_days == learnt
    assert bool(why) == (learnt == ())
    assert kept.converted.shape == (60, len(learnt))
