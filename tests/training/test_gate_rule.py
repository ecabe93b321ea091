"""The gate's rule: promoted when better beyond doubt or stale and no worse, never with harm, always with a reason."""

from dataclasses import replace
from typing import Any

import pytest

from training.comparison import Comparison, Difference
from training.gate_rule import Rule, decide

NAN = float("nan")
SAME = Difference(0.0, -0.01, 0.01)
LOWER, HIGHER = Difference(-0.02, -0.03, -0.01), Difference(0.02, 0.01, 0.03)
EQUAL = Comparison(
    rows=1_000,
    converted=100,
    persons=400,
    left_out=0,
    log_loss=SAME,
    average_precision=SAME,
    ece=SAME,
    stage_log_loss=SAME,
    stage_macro_f1=SAME,
    slices={"channel web": SAME},
    size_ratio=1.0,
    time_ratio=1.0,
    days_fresher=30.0,
)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"log_loss": LOWER}, "log loss is better beyond doubt: -0.0200 [-0.0300, -0.0100] on 1,000 rows"),
        ({"average_precision": HIGHER}, "average precision is better beyond doubt: +0.0200 [+0.0100, +0.0300]"),
        ({"stage_log_loss": LOWER}, "log loss of the stage is better beyond doubt"),
        ({"stage_macro_f1": HIGHER}, "macro-F1 of the stage is better beyond doubt"),
        ({"days_fresher": 90.0}, "the champion is stale: the challenger has learnt from rows 90 days later (limit 90)"),
    ],
)
def test_what_is_better_or_takes_a_stale_place_is_promoted(found: dict[str, Any], reason: str) -> None:
    decision = decide(replace(EQUAL, **found))

    assert decision.is_promoted
    assert decision.reasons[0].startswith(reason)


def test_equals_stay_where_they_are() -> None:
    decision = decide(EQUAL)

    assert not decision.is_promoted
    assert decision.reasons[0].startswith(
        "no difference beyond doubt on 1,000 rows (log loss +0.0000 [-0.0100, +0.0100]; average precision"
    )


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"log_loss": HIGHER}, "log loss is worse beyond doubt: +0.0200"),
        ({"average_precision": LOWER}, "average precision is worse beyond doubt"),
        ({"stage_log_loss": HIGHER}, "log loss of the stage is worse beyond doubt"),
        ({"stage_macro_f1": LOWER}, "macro-F1 of the stage is worse beyond doubt"),
        ({"ece": HIGHER}, "calibration (ECE) is worse beyond doubt: +0.0200 [+0.0100, +0.0300], more than 0.01"),
        ({"slices": {"channel web": HIGHER}}, "log loss is worse beyond doubt for channel web"),
        ({"size_ratio": 2.5}, "the bundle is 2.5 times as large (limit 2)"),
        ({"time_ratio": 3.0}, "a score takes 3.0 times as long (limit 2)"),
    ],
)
def test_harm_is_never_promoted(found: dict[str, Any], reason: str) -> None:
    """Neither by an equal nor by one that is better elsewhere, nor because the champion is stale."""
    for gain in ({}, {"log_loss": LOWER}, {"average_precision": HIGHER}, {"days_fresher": 1_000.0}):
        decision = decide(replace(EQUAL, **{**gain, **found}))
        assert not decision.is_promoted
        assert decision.reasons[0].startswith(reason)


@pytest.mark.parametrize(
    "gain", [Difference(0.009, 0.001, 0.02), Difference(0.05, -0.01, 0.1)], ids=["small", "unsure"]
)
def test_calibration_may_be_a_little_or_perhaps_worse(gain: Difference) -> None:
    assert decide(replace(EQUAL, log_loss=LOWER, ece=gain)).is_promoted


def test_too_few_rows_tell_nothing_whatever_they_say() -> None:
    for few in ({"converted": 19}, {"converted": 985}, {"rows": 0, "converted": 0}):
        decision = decide(replace(EQUAL, log_loss=LOWER, days_fresher=500.0, left_out=70, **few))
        assert not decision.is_promoted
        assert decision.reasons[0].startswith("it cannot be told: ")
        assert "(70 left out)" in decision.reasons[0]


def test_stages_alone_are_enough() -> None:
    only_stages = replace(EQUAL, log_loss=None, average_precision=None, ece=None, slices={}, converted=0)

    assert decide(replace(only_stages, stage_log_loss=LOWER)).is_promoted
    assert decide(only_stages).reasons[0].startswith("no difference beyond doubt")
    assert decide(replace(only_stages, stage_log_loss=LOWER, rows=39)).reasons[0].startswith("it cannot be told")
    assert decide(replace(only_stages, stage_log_loss=None)).reasons[0].startswith("it cannot be told")


def test_what_is_not_defined_is_neither_better_nor_worse() -> None:
    undefined = Difference(0.5, NAN, NAN)
    decision = decide(replace(EQUAL, log_loss=undefined, average_precision=undefined, slices={"a": undefined}))

    assert decision.reasons[0].startswith("no difference beyond doubt")


def test_limits_may_be_set() -> None:
    stale = replace(EQUAL, days_fresher=10.0, time_ratio=3.0)

    assert decide(stale, Rule(stale_after_days=7, most_time_ratio=4)).is_promoted
    assert not decide(stale, Rule(stale_after_days=7)).is_promoted
