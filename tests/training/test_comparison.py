"""Differences on the same rows: the figures of the metrics, and models known to be better, worse and equal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from training.comparison import Comparison, compare, compare_slices
from training.evaluate import Forecasts
from training.gate_rule import decide
from training.labels import LabelledRows
from training.metrics import judge_conversion, judge_stage

ROWS = 1_500
RANDOM = np.random.default_rng(0)
SIGNAL = RANDOM.normal(size=ROWS)
CONVERTED = (RANDOM.random(ROWS) < expit(SIGNAL * 1.5 - 1.5)).astype(np.int8)


def rows_of(
    converted: np.ndarray, horizons: tuple[int | None, ...] = (30,), stage: np.ndarray | None = None
) -> LabelledRows:
    n = len(converted)
    return LabelledRows(
        customer_id=[f"c{i // 3}" for i in range(n)],
        customer=np.arange(n),
        as_of_us=np.arange(n),
        stage=np.full(n, -1, dtype=np.int8) if stage is None else stage.astype(np.int8),
        horizons_days=horizons,
        converted=converted.reshape(n, -1).astype(np.int8),
        stage_by_rule=True,
        left_out={},
    )


def said(*columns: np.ndarray, stage: np.ndarray | None = None) -> Forecasts:
    conversion = np.column_stack(columns) if columns else None
    return Forecasts(stage, conversion, np.zeros(0))


def chances(noise: float, seed: int, bias: float = 0.0) -> np.ndarray:
    """What a model says that sees the signal through so much noise, as sure as that allows."""
    seen = SIGNAL + np.random.default_rng(seed).normal(0, noise, ROWS)
    return expit(1.5 * seen / (1 + noise**2) - 1.4 + bias)


def decided(challenger: Forecasts, champion: Forecasts, rows: LabelledRows | None = None) -> tuple[bool, str]:
    rows = rows_of(CONVERTED) if rows is None else rows
    differences = vars(compare(challenger, champion, rows, seed=0))
    counts = {"rows": ROWS, "converted": int(CONVERTED.sum()), "persons": 500, "left_out": 0}
    ratios = {"size_ratio": 1.0, "time_ratio": 1.0, "days_fresher": 0.0}
    decision = decide(Comparison(**counts, **differences, slices={}, **ratios))
    return decision.is_promoted, decision.reasons[0]


def test_differences_are_those_of_the_metrics() -> None:
    rows = rows_of(CONVERTED)
    one, other = chances(0.3, 1), chances(1.0, 2)
    verdicts = [judge_conversion(CONVERTED == 1, chance, rows.customer_id, 0, resamples=2) for chance in (one, other)]
    found = compare(said(one), said(other), rows, seed=0)

    for name in ("log_loss", "average_precision", "ece"):
        expected = getattr(verdicts[0], name).value - getattr(verdicts[1], name).value
        difference = getattr(found, name)
        assert difference.value == pytest.approx(expected, abs=1e-6)
        assert difference.low < difference.value < difference.high
    assert found.stage_log_loss is found.stage_macro_f1 is None


def test_a_better_model_is_promoted_and_a_worse_one_is_harm() -> None:
    good, bad = said(chances(0.3, 1)), said(chances(1.5, 2))

    assert decided(good, bad) == (True, decided(good, bad)[1])
    assert "log loss is better beyond doubt" in decided(good, bad)[1]
    assert decided(bad, good)[0] is False
    assert "log loss is worse beyond doubt" in decided(bad, good)[1]


def test_equal_models_stay_where_they_are() -> None:
    """Eight pairs that see equally much, each through noise of its own."""
    outcomes = [decided(said(chances(0.8, 2 * i)), said(chances(0.8, 2 * i + 1))) for i in range(8)]

    assert sum(promoted for promoted, _ in outcomes) <= 1
    assert sum(reason.startswith("no difference beyond doubt") for _, reason in outcomes) >= 6


def test_the_very_same_answers_differ_in_nothing() -> None:
    found = compare(said(chances(0.5, 1)), said(chances(0.5, 1)), rows_of(CONVERTED), seed=0)

    assert vars(found.log_loss) == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert decided(said(chances(0.5, 1)), said(chances(0.5, 1)))[0] is False


def test_a_model_that_ranks_as_well_but_is_out_of_tune_is_harm() -> None:
    promoted, reason = decided(said(chances(0.3, 1, bias=1.0)), said(chances(0.3, 1)))

    assert not promoted
    assert "worse beyond doubt" in reason


def test_horizons_count_alike() -> None:
    later = np.maximum(CONVERTED, RANDOM.random(ROWS) < 0.1)
    later[:300] = -1
    rows = rows_of(np.column_stack([CONVERTED, later]), (30, 90))
    one, other = chances(0.3, 1), chances(1.0, 2)
    both = compare(said(one, one), said(other, other), rows, seed=0)
    first = compare(said(one), said(other), rows_of(CONVERTED), seed=0)
    known = later >= 0
    second = compare(said(one[known]), said(other[known]), rows_of(later[known]), seed=0)

    assert both.log_loss.value == pytest.approx((first.log_loss.value + second.log_loss.value) / 2)


def test_a_horizon_of_one_outcome_counts_for_nothing() -> None:
    rows = rows_of(np.column_stack([CONVERTED, np.full(ROWS, -1)]), (30, 90))
    one, other = chances(0.3, 1), chances(1.0, 2)

    assert compare(said(one, one), said(other, other), rows, 0) == compare(
        said(one), said(other), rows_of(CONVERTED), 0
    )
    nothing = compare(said(one), said(other), rows_of(np.zeros(ROWS)), seed=0)
    assert set(vars(nothing).values()) == {None}


def test_stages_are_compared_where_both_forecast_them() -> None:
    stage = (SIGNAL > 0).astype(np.int64) + (SIGNAL > 1)
    sure, unsure = (np.full((ROWS, 3), (1 - p) / 2) for p in (0.8, 0.5))
    for shares, p in ((sure, 0.8), (unsure, 0.5)):
        shares[np.arange(ROWS), stage] = p
    rows = rows_of(np.zeros((ROWS, 0)), (), stage)
    rows = replace(rows, converted=np.zeros((ROWS, 0), dtype=np.int8))
    found = compare(said(stage=sure), said(stage=unsure), rows, seed=0)
    verdicts = [judge_stage(stage, shares, rows.customer_id, 0, resamples=2) for shares in (sure, unsure)]

    assert found.log_loss is None
    assert found.stage_log_loss.value == pytest.approx(verdicts[0].log_loss.value - verdicts[1].log_loss.value)
    assert found.stage_log_loss.high < 0
    assert found.stage_macro_f1.value == 0.0
    assert compare(said(stage=sure), said(), rows, seed=0).stage_log_loss is None


def test_harm_to_a_few_is_seen_among_many() -> None:
    """A tenth of the rows are told wrongly by a challenger that is better for the rest."""
    inside = np.arange(ROWS) % 10 == 0
    champion = chances(0.8, 1)
    challenger = np.where(inside, 1 - chances(0.3, 2), chances(0.3, 2))
    slices = {"channel chat": inside, "channel web": ~inside, "channel fax": np.arange(ROWS) < 15}
    found = compare_slices(said(challenger), said(champion), rows_of(CONVERTED), slices, seed=0)

    assert list(found) == ["channel chat", "channel web"]  # 15 rows tell nothing
    assert found["channel chat"].low > 0
    assert found["channel web"].high < 0
    inside_rows = rows_of(CONVERTED[inside])
    alone = compare(said(challenger[inside]), said(champion[inside]), inside_rows, seed=0)
    assert found["channel chat"].value == pytest.approx(alone.log_loss.value)


def test_without_a_conversion_there_is_no_slice() -> None:
    everyone = {"channel web": np.ones(ROWS, dtype=np.bool_)}
    assert compare_slices(said(), said(), rows_of(CONVERTED), everyone, seed=0) == {}
    assert compare_slices(said(chances(1, 1)), said(chances(1, 2)), rows_of(np.zeros(ROWS)), everyone, seed=0) == {}
