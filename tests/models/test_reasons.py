"""Reasons: they sum to the score, few are given, and the message named is the one that moved it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit

from features.event_log import EventLog, Int64s
from features.rows import Embed
from models.calibration import Blend
from models.journey_model import Asked, JourneyModel
from models.reasons import BASE, MOST_REASONS, REST, WORDS, Reason, explain
from training.boosting import grow, telling_columns


@pytest.fixture(scope="module")
def reasons(model: JourneyModel, asked: Asked, log: EventLog, embed: Embed) -> list[list[Reason]]:
    return explain(model, asked, log, embed)


def words_of(reasons: list[Reason]) -> Reason | None:
    return next((reason for reason in reasons if reason.feature == WORDS), None)


def test_effects_sum_to_the_log_odds_of_the_first_horizon(
    reasons: list[list[Reason]], model: JourneyModel, asked: Asked
) -> None:
    first = model.forecast(asked).conversion[:, 0]
    sums = [sum(reason.effect for reason in row) for row in reasons]

    assert np.ptp(sums) > 1
    assert sums == pytest.approx(logit(first).tolist(), abs=1e-6)


def test_few_reasons_are_given_the_strongest_first(reasons: list[list[Reason]]) -> None:
    assert max(len(row) for row in reasons) == MOST_REASONS + 2
    assert max(abs(reason.effect) for row in reasons for reason in row if reason.feature == REST) > 0.01
    for row in reasons:
        named = [abs(reason.effect) for reason in row if reason.feature not in (REST, BASE)]
        assert len(named) <= MOST_REASONS
        assert named == sorted(named, reverse=True)
        assert row[-1].feature == BASE
        assert [reason.feature for reason in row].count(REST) == (len(row) == MOST_REASONS + 2)


def test_each_feature_is_named_once_with_its_value(
    reasons: list[list[Reason]], model: JourneyModel, asked: Asked
) -> None:
    names = [feature.name for feature in model.reader.catalog]
    for row, features in zip(reasons, asked.conversion.features, strict=True):
        named = [reason for reason in row if reason.feature not in (WORDS, REST, BASE)]
        assert len({reason.feature for reason in named}) == len(named)
        for reason in named:
            value = features[names.index(reason.feature)]
            assert reason.value == (None if np.isnan(value) else float(value))
            assert abs(reason.effect) > 1e-12
            assert reason.event_id is None


def test_the_rounding_of_effects_is_no_reason(model: JourneyModel, asked: Asked, log: EventLog, embed: Embed) -> None:
    """Where one column tells all, TreeSHAP leaves traces of rounding on others."""
    features = asked.conversion.features
    bought = (features[:, model.reader.column_of["action purchase: times ever"]] > 0).astype(np.int8)
    parameters = {"objective": "binary", "num_leaves": 4, "min_data_in_leaf": 5, "learning_rate": 0.3}
    trees = grow(features, bought, np.zeros((len(bought), 1)), telling_columns(features), parameters, 12, 0)
    first, second = model.conversion.hazards
    alone = replace(first, trees=trees, line=None)
    plain = replace(model, conversion=replace(model.conversion, hazards=(alone, second)))

    effects = np.abs(trees.contributions(features)[:, :-1])
    assert ((effects > 0) & (effects < 1e-12)).any()
    named = [
        reason for row in explain(plain, asked, log, embed) for reason in row if reason.feature not in (REST, BASE)
    ]
    assert min(abs(reason.effect) for reason in named) > 1e-12


def test_of_whom_nothing_is_known_only_the_base_is_said(
    reasons: list[list[Reason]], model: JourneyModel, asked: Asked
) -> None:
    unknown = np.flatnonzero(model.nothing_known(asked))

    assert len(unknown) >= 2
    for row in unknown:
        assert reasons[row] == [Reason(BASE, None, pytest.approx(np.log(1 / 9)), None)]


def test_words_are_a_reason_where_something_was_said(reasons: list[list[Reason]], asked: Asked) -> None:
    said = asked.conversion.pools.any(axis=1)

    assert 20 < said.sum() < len(said) - 20
    for row in np.flatnonzero(~said):
        assert words_of(reasons[row]) is None


def test_words_count_against_what_silence_would_say(
    reasons: list[list[Reason]], model: JourneyModel, asked: Asked
) -> None:
    conversion, hazard = model.conversion, model.conversion.hazards[0]
    silent = np.array([conversion.text_head.silent[0], conversion.phrase_head.silent[0]])
    moved = (conversion.said(asked.conversion) - silent) @ hazard.words.weights * hazard.blend.weights[1]
    told = [(row, reason) for row, of_row in enumerate(reasons) if (reason := words_of(of_row)) is not None]

    assert len(told) > 20
    for row, reason in told:
        assert reason.effect == pytest.approx(moved[row])


def test_the_message_named_is_one_of_the_rows_own_conversation(
    reasons: list[list[Reason]], log: EventLog, asked: Asked
) -> None:
    messages, several = asked.conversion.messages, 0
    for row, of_row in enumerate(reasons):
        if (words := words_of(of_row)) is not None:
            events = np.concatenate([messages.own[row], messages.company[row]])
            said = {log.event_ids[log.text[event]] for event in events[events >= 0]}
            several += len(said) > 1
            assert words.event_id in said
            assert words.value != 0
    assert several > 5


def test_what_is_measured_of_one_kind_is_one_reason(reasons: list[list[Reason]]) -> None:
    kinds = [[reason.feature.partition(": ")[0] for reason in row if ": " in reason.feature] for row in reasons]

    assert max(map(len, kinds)) > 2
    assert all(len(set(of_row)) == len(of_row) for of_row in kinds)


def test_a_message_of_the_company_may_be_named(reasons: list[list[Reason]], log: EventLog) -> None:
    named = {words.event_id for row in reasons if (words := words_of(row)) is not None}
    by_company = {log.event_ids[text] for text in log.text[log.is_company & (log.text >= 0)]}

    assert named & by_company
    assert named - by_company - {None}


def test_without_a_text_head_words_are_no_reason(
    model: JourneyModel, asked: Asked, log: EventLog, embed: Embed
) -> None:
    hazards = tuple(replace(hazard, words=Blend((), 0.2)) for hazard in model.conversion.hazards)
    wordless = replace(model, conversion=replace(model.conversion, hazards=hazards, text_head=None, phrase_head=None))
    reasons = explain(wordless, asked, log, embed)

    assert all(words_of(row) is None for row in reasons)
    sums = [sum(reason.effect for reason in row) for row in reasons]
    assert sums == pytest.approx(logit(wordless.forecast(asked).conversion[:, 0]).tolist(), abs=1e-6)


def test_a_row_alone_has_the_reasons_it_has_among_others(
    reasons: list[list[Reason]],
    model: JourneyModel,
    log: EventLog,
    rows: tuple[Int64s, Int64s],
    embed: Embed,
) -> None:
    for row in range(0, len(reasons), 29):
        asked_alone = model.reader.read(log, rows[0][row : row + 1], rows[1][row : row + 1], embed)
        assert explain(model, asked_alone, log, embed) == [reasons[row]]


def test_no_rows_have_no_reasons(model: JourneyModel, log: EventLog, embed: Embed) -> None:
    nobody = model.reader.read(log, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), embed)

    assert explain(model, nobody, log, embed) == []


def test_a_model_without_conversion_has_nothing_to_explain(
    model: JourneyModel, asked: Asked, log: EventLog, embed: Embed
) -> None:
    with pytest.raises(ValueError, match="no conversion to explain"):
        explain(replace(model, conversion=None), asked, log, embed)
