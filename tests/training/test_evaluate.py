"""Judgements: what is to be beaten counted by hand, and a model that beats it on people it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics

from features.errors import BadData
from features.journey import DEFAULT_JOURNEY
from models.journey_model import JourneyModel
from training.baselines import recency, stage_recency
from training.evaluate import (
    Forecasts,
    Judgement,
    forecast_rows,
    gains_over_recency,
    is_stage_judged,
    judge,
    judge_model,
)
from training.labels import LabelledRows
from training.split import FOLDS, person_folds

NAN = float("nan")
PERSONS = ["ada", "bob", "cyd", "dan", "eve", "ada", "bob", "cyd"]
DAYS = np.array([1.0, 20.0, 3.0, 40.0, NAN, 2.0, 30.0, 5.0])


def rows_of(
    converted: Sequence[Sequence[int]],
    horizons_days: tuple[int | None, ...] = (30,),
    stage: Sequence[int] = (-1,) * 8,
    persons: Sequence[str] = PERSONS,
) -> LabelledRows:
    n = len(persons)
    return LabelledRows(
        customer_id=list(persons),
        customer=np.arange(n),
        as_of_us=np.arange(n),
        stage=np.array(stage, dtype=np.int8),
        horizons_days=horizons_days,
        converted=np.array(converted, dtype=np.int8).reshape(n, len(horizons_days)),
        stage_by_rule=True,
        left_out={},
    )


def judged(rows: LabelledRows, conversion: np.ndarray | None, stage: np.ndarray | None = None) -> Judgement:
    return judge(Forecasts(stage, conversion, DAYS), rows, rows.horizons_days, DEFAULT_JOURNEY, seed=0)


def in_folds(persons: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    folds = person_folds(persons, FOLDS, seed=0)
    return [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in sorted(set(folds.tolist()))]


def test_eight_rows_beside_their_own_rate() -> None:
    rows = rows_of([[1], [0], [0], [0], [0], [1], [0], [0]])
    verdicts = judged(rows, np.array([[0.9], [0.2], [0.3], [0.1], [0.1], [0.6], [0.1], [0.7]])).conversion[
        "conversion_30d"
    ]

    assert list(verdicts) == ["journeycast", "recency", "prevalence"]
    assert {(verdict.n, verdict.n_positive, verdict.n_persons, verdict.base_rate) for verdict in verdicts.values()} == {
        (8, 2, 5, 0.25)
    }
    assert verdicts["journeycast"].roc_auc.value == pytest.approx(11 / 12)  # one of 2 × 6 pairs stands the wrong way
    assert verdicts["prevalence"].roc_auc.value == 0.5
    assert verdicts["prevalence"].log_loss.value == pytest.approx(-0.25 * np.log(0.25) - 0.75 * np.log(0.75))
    assert verdicts["prevalence"].brier.value == pytest.approx(0.25 * 0.75)


def test_recency_is_learnt_from_other_persons() -> None:
    rows = rows_of([[1], [0], [1], [0], [0], [1], [0], [0]])
    converted = rows.converted[:, 0] == 1
    expected = np.zeros(8)
    for learn, asked in in_folds(PERSONS):
        expected[asked] = recency(DAYS[learn], converted[learn], DAYS[asked])

    verdict = judged(rows, np.full((8, 1), 0.5)).conversion["conversion_30d"]["recency"]
    assert verdict.log_loss.value == pytest.approx(sklearn.metrics.log_loss(converted, expected))
    assert verdict.roc_auc.value == pytest.approx(sklearn.metrics.roc_auc_score(converted, expected))


def test_rows_whose_outcome_is_not_known_are_not_judged() -> None:
    rows = rows_of([[1], [0], [-1], [0], [0], [1], [-1], [0]])
    probability = np.array([[0.9], [0.2], [0.5], [0.1], [0.1], [0.6], [0.5], [0.7]])
    strange = np.where(rows.converted == -1, 1.0, probability)
    one, other = (judged(rows, said).metrics() for said in (probability, strange))

    assert (one["conversion_30d/n"], one["conversion_30d/base_rate"]) == (6, 2 / 6)
    assert one == other


def test_each_horizon_is_judged_by_its_own_outcomes() -> None:
    rows = rows_of([[1, 1], [0, 1], [0, 0], [0, 0], [0, 1], [1, 1], [0, -1], [0, 0]], (30, 90))
    sure = np.clip(rows.converted, 0.01, 0.99).astype(np.float64)
    judgement = judged(rows, sure)

    assert list(judgement.conversion) == ["conversion_30d", "conversion_90d"]
    found = [verdicts["journeycast"] for verdicts in judgement.conversion.values()]
    assert [(verdict.n, verdict.n_positive, verdict.roc_auc.value) for verdict in found] == [(8, 2, 1.0), (7, 4, 1.0)]


def test_horizons_are_matched_by_their_days() -> None:
    rows = rows_of([[1], [0], [0], [0], [0], [1], [0], [0]], (90,))
    conversion = np.stack([np.full(8, 0.5), np.where(rows.converted[:, 0] == 1, 0.8, 0.1)], axis=1)
    judgement = judge(Forecasts(None, conversion, DAYS), rows, (30, 90, None), DEFAULT_JOURNEY, seed=0)

    assert list(judgement.conversion) == ["conversion_90d"]
    assert judgement.conversion["conversion_90d"]["journeycast"].roc_auc.value == 1.0


def test_a_horizon_of_which_nothing_is_known_is_left_out() -> None:
    rows = rows_of([[1, -1], [0, -1], [0, -1], [0, -1], [0, -1], [1, -1], [0, -1], [0, -1]], (30, None))

    assert list(judged(rows, np.full((8, 2), 0.5)).conversion) == ["conversion_30d"]


def test_stages_beside_their_own_shares() -> None:
    stage = [0, 1, 0, 2, 0, -1, 1, 0]
    rows = rows_of([[-1]] * 8, stage=stage)
    said = np.full((8, 4), 0.1)
    said[np.arange(8), [0, 1, 0, 2, 1, 3, 1, 0]] = 0.7
    judgement = judged(rows, None, said)

    assert judgement.conversion == {}
    assert list(judgement.stage) == ["journeycast", "recency", "prevalence"]
    assert {(verdict.n, verdict.n_by_stage, verdict.n_persons) for verdict in judgement.stage.values()} == {
        (7, (4, 2, 1, 0), 5)
    }
    assert judgement.stage["journeycast"].accuracy.value == pytest.approx(6 / 7)
    assert judgement.stage["prevalence"].accuracy.value == pytest.approx(4 / 7)
    shares = np.array([4, 2, 1]) / 7
    assert judgement.stage["prevalence"].log_loss.value == pytest.approx(-(shares * np.log(shares)).sum())


def test_stages_by_recency_are_learnt_from_other_persons() -> None:
    stage = np.array([0, 1, 0, 1, 0, 0, 1, 1])
    expected = np.zeros((8, 4))
    for learn, asked in in_folds(PERSONS):
        expected[asked] = stage_recency(DAYS[learn], stage[learn], 4, DAYS[asked])

    verdict = judged(rows_of([[-1]] * 8, stage=stage.tolist()), None, np.full((8, 4), 0.25)).stage["recency"]
    assert verdict.log_loss.value == pytest.approx(sklearn.metrics.log_loss(stage, expected[:, :2]))
    assert verdict.accuracy.value == (expected.argmax(axis=1) == stage).mean()


def test_where_no_stage_is_known_none_is_judged() -> None:
    assert judged(rows_of([[1], [0]] * 4), np.full((8, 1), 0.5), np.full((8, 4), 0.25)).stage == {}


def test_metrics_are_named_by_target_and_opponent() -> None:
    rows = rows_of([[1], [0], [0], [0], [0], [1], [0], [0]], (None,), stage=[0, 1] * 4)
    metrics = judged(rows, np.full((8, 1), 0.5), np.full((8, 4), 0.25)).metrics()

    assert {
        "conversion/roc_auc",
        "conversion/n",
        "conversion/base_rate",
        "conversion/recency/roc_auc",
        "conversion/prevalence/log_loss_high",
        "stage/macro_f1",
        "stage/f1_awareness",
        "stage/recency/n_advocacy",
        "stage/prevalence/accuracy_low",
    } <= set(metrics)
    assert metrics["conversion/prevalence/base_rate"] == 0.25
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("rows", [1, 2, 3, 9])
def test_a_single_person_can_be_judged(rows: int) -> None:
    alone = rows_of([[row % 2] for row in range(rows)], stage=[row % 3 for row in range(rows)], persons=["ada"] * rows)
    forecasts = Forecasts(np.full((rows, 4), 0.25), np.linspace(0, 1, rows)[:, None], np.arange(float(rows)))
    judgement = judge(forecasts, alone, (30,), DEFAULT_JOURNEY, seed=0)

    verdicts = [*judgement.conversion["conversion_30d"].values(), *judgement.stage.values()]
    assert {(verdict.n, verdict.n_persons) for verdict in verdicts} == {(rows, 1)}
    assert {verdict.log_loss.reason for verdict in verdicts} == {"an interval needs two persons"}


def test_judgements_are_the_same_for_a_seed() -> None:
    rows = rows_of([[1], [0], [0], [0], [1], [1], [0], [0]])
    probability = np.linspace(0.1, 0.8, 8)[:, None]

    assert judged(rows, probability).metrics() == judged(rows, probability).metrics()


@pytest.fixture(scope="module")
def unseen(fitted: JourneyModel, others, embed) -> Forecasts:
    asked = fitted.reader.read(others.log, others.rows.customer, others.rows.as_of_us, embed)
    return forecast_rows(fitted, asked)


@pytest.fixture(scope="module")
def judgement(unseen: Forecasts, others) -> Judgement:
    return judge(unseen, others.rows, (30, 90), DEFAULT_JOURNEY, seed=0)


def test_a_model_is_judged_by_its_own_forecasts(judgement: Judgement, fitted: JourneyModel, others, embed) -> None:
    assert judge_model(fitted, others.log, others.rows, embed, seed=0).metrics() == judgement.metrics()


def test_a_stage_that_is_known_by_other_means_is_not_judged(fitted: JourneyModel, others, embed) -> None:
    brought = replace(others.rows, stage_by_rule=False)
    judgement = judge_model(fitted, others.log, brought, embed, seed=0)

    assert (list(judgement.conversion), judgement.stage) == (["conversion_30d", "conversion_90d"], {})


@pytest.mark.parametrize(
    ("by_rule", "by_record", "model_by_rule", "model_reads", "is_judged"),
    [
        (True, False, True, True, True),
        (False, False, False, True, True),
        (False, True, False, False, True),
        (False, True, False, True, False),
        (False, True, True, False, False),
        (True, False, False, False, False),
    ],
    ids=["rules", "labels", "history, unseen", "history, seen", "history for rules", "rules for labels"],
)
def test_a_stage_is_judged_by_labels_that_the_model_does_not_read(
    fitted: JourneyModel, by_rule: bool, by_record: bool, model_by_rule: bool, model_reads: bool, is_judged: bool
) -> None:
    rows = replace(rows_of([[0]] * 8), stage_by_rule=by_rule, stage_by_record=by_record)
    vocabulary = replace(fitted.reader.vocabulary, stages_recorded=model_reads)
    reader = replace(fitted.reader, vocabulary=vocabulary, stage_by_rule=model_by_rule)

    assert is_stage_judged(reader, rows) == is_judged


def test_rows_that_hold_nothing_forecast_are_refused(fitted: JourneyModel, others, embed) -> None:
    elsewhere = replace(others.rows, stage_by_rule=False, horizons_days=(7, None))
    with pytest.raises(
        BadData, match=r"hold nothing that this bundle forecasts \(conversion_30d, conversion_90d and"
    ) as no:
        judge_model(fitted, others.log, elsewhere, embed, seed=0)

    assert no.value.code == "nothing_to_judge"


def test_forecasts_are_the_models(unseen: Forecasts, fitted: JourneyModel, others, embed) -> None:
    asked = fitted.reader.read(others.log, others.rows.customer, others.rows.as_of_us, embed)
    forecast = fitted.forecast(asked)

    assert unseen.stage.tolist() == forecast.stage.tolist()
    assert unseen.conversion.tolist() == forecast.conversion.tolist()
    assert np.array_equal(unseen.days_since_own_last, fitted.days_since_own_last(asked), equal_nan=True)


def test_the_model_beats_recency_and_prevalence_on_people_never_seen(judgement: Judgement) -> None:
    assert list(judgement.conversion) == ["conversion_30d", "conversion_90d"]
    for verdicts in judgement.conversion.values():
        model, by_recency, by_prevalence = verdicts.values()
        assert by_prevalence.roc_auc.value == 0.5
        for opponent in (by_recency, by_prevalence):
            assert model.roc_auc.value > opponent.roc_auc.value + 0.02
            assert model.average_precision.value > opponent.average_precision.value + 0.02
            assert model.log_loss.value < opponent.log_loss.value - 0.005
    for opponent in ("recency", "prevalence"):
        assert judgement.stage["journeycast"].macro_f1.low > judgement.stage[opponent].macro_f1.high
        assert judgement.stage["journeycast"].log_loss.high < judgement.stage[opponent].log_loss.low


def test_gains_over_recency_are_differences_of_the_two(unseen: Forecasts, judgement: Judgement, others) -> None:
    verdicts = judgement.conversion["conversion_90d"]
    gains = gains_over_recency(unseen, others.rows, 1, seed=0)

    for gain, metric in zip(gains, ("roc_auc", "average_precision", "log_loss"), strict=True):
        model, opponent = (getattr(verdicts[name], metric).value for name in ("journeycast", "recency"))
        assert gain.value == pytest.approx(model - opponent)
        assert gain.low < gain.value < gain.high


def test_without_a_forecast_there_is_no_gain(others) -> None:
    nothing = Forecasts(None, None, np.zeros(len(others.rows)))

    assert gains_over_recency(nothing, others.rows, 0, seed=0) == []
    assert judge(nothing, others.rows, (), DEFAULT_JOURNEY, seed=0).metrics() == {}


def test_forecasts_of_what_was_not_learnt_are_not_judged(unseen: Forecasts, others) -> None:
    no_stage = judge(replace(unseen, stage=None), others.rows, (30, 90), DEFAULT_JOURNEY, seed=0)
    no_conversion = judge(replace(unseen, conversion=None), others.rows, (), DEFAULT_JOURNEY, seed=0)

    assert (no_stage.stage, list(no_stage.conversion)) == ({}, ["conversion_30d", "conversion_90d"])
    assert (list(no_conversion.stage), no_conversion.conversion) == (["journeycast", "recency", "prevalence"], {})
