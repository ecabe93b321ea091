"""The catalog: a name, a unit and a meaning in words for each column, each name once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.aggregate import width
from features.catalog import Feature, touchpoint_features
from features.conversations import MESSAGE_FEATURES
from features.event_log import EventLog
from features.journey import Spans
from features.vocabulary import OTHER, Kind, Vocabulary, learn_vocabulary


@dataclass(frozen=True)
class Touch:
    """A touchpoint in the contract's columns, without its customer."""

    channel: str
    action: str
    campaign: str | None = None
    text: str | None = "Hi"
    occurred_at: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    actor: str = "customer"
    recorded_at: datetime | None = None
    event_id: str | None = None
    value: float | None = None
    variant: str | None = None
    conversation_id: str | None = None


VOCABULARY = Vocabulary(
    kinds=(
        Kind("any", "touchpoint"),
        Kind("actor", "company"),
        Kind("channel", "web"),
        Kind("action", OTHER),
        Kind("channel and action", "web / viewed"),
        Kind("campaign", "spring"),
        Kind("message", "customer"),
    ),
    known_channels=frozenset({"web"}),
    known_actions=frozenset({"viewed"}),
)
OF_A_KIND = [
    "times in 1 day",
    "times in 7 days",
    "times in 30 days",
    "times in 90 days",
    "times in 365 days",
    "times ever",
    "decayed count, half-life 3 days",
    "decayed count, half-life 30 days",
    "decayed count, half-life 180 days",
    "days since the last",
    "days since the first",
    "touchpoints since the last",
    "value in 30 days",
    "value ever",
    "mean value",
    "last value",
]
OF_THE_HISTORY = [
    "days since the second-last touchpoint",
    "mean gap between touchpoints",
    "spread of the gaps",
    "current gap against the own rhythm",
    "recent gaps against the own rhythm",
    "burstiness",
    "active days in 30 days",
    "active days",
    "sessions in 30 days",
    "sessions",
    "share of company acts",
    "company acts answered",
    "hours to answer",
    "share at night",
    "share at weekends",
    "variety of channels",
    "different actions",
    "share of unheard-of touchpoints",
    "trend of the gaps",
    "days from the first to the second touchpoint",
    "share in the own busiest hour of the week",
    "share of repeated actions",
    "share of backward steps",
    "furthest action reached",
    "how far along the last action is",
    "recent values against the own mean",
    "how far along the second-last action is",
    "how far along the third-last action is",
    "variety of hours of the week",
]


def names(features: list[Feature]) -> list[str]:
    return [feature.name for feature in features]


def test_every_column_is_named_in_words_in_the_order_of_the_columns() -> None:
    kinds = [
        "any touchpoint",
        "by the company",
        "channel web",
        "action (other)",
        "web / viewed",
        "campaign spring",
        "message by the customer",
    ]

    of_kinds = [f"{kind}: {measure}" for kind in kinds for measure in OF_A_KIND]
    assert names(touchpoint_features(VOCABULARY)) == of_kinds + OF_THE_HISTORY


def test_transitions_and_recorded_stages_come_last() -> None:
    vocabulary = replace(VOCABULARY, transitions=(("viewed", OTHER),), stages=("keen", "won"), stages_recorded=True)

    assert names(touchpoint_features(vocabulary))[-6:] == [
        "steps from viewed to (other)",
        "stage recorded by the CRM",
        "days in the stage recorded by the CRM",
        "changes of the recorded stage",
        "steps back of the recorded stage",
        "furthest stage recorded by the CRM",
    ]
    assert len(touchpoint_features(vocabulary)) == width(vocabulary)


def test_chosen_windows_half_lives_and_sessions_are_named() -> None:
    spans = Spans(windows_days=(14, 1), half_lives_days=(5,), session_gap_minutes=45)
    features = touchpoint_features(replace(VOCABULARY, spans=spans))

    assert names(features)[:5] == [
        "any touchpoint: times in 1 day",
        "any touchpoint: times in 14 days",
        "any touchpoint: times ever",
        "any touchpoint: decayed count, half-life 5 days",
        "any touchpoint: days since the last",
    ]
    assert len(features) == width(replace(VOCABULARY, spans=spans))
    (sessions,) = [feature for feature in features if feature.name == "sessions"]
    assert sessions.meaning == "A gap of over 45 minutes closes a session."


def test_a_feature_says_its_unit_and_what_it_means() -> None:
    by_name = {feature.name: feature for feature in touchpoint_features(VOCABULARY)}

    assert by_name["channel web: times in 1 day"] == Feature(
        "channel web: times in 1 day", "touchpoints", "How often in 1 day before as_of."
    )
    assert by_name["hours to answer"] == Feature(
        "hours to answer", "hours", "Mean time from a company act to the customer's next act."
    )
    assert all(feature.unit and feature.meaning.endswith(".") for feature in [*by_name.values(), *MESSAGE_FEATURES])


words = st.sampled_from(["web", "email", OTHER, "web / viewed", "viewed", "viewed / web", "company", "é", " "])


@given(
    shown=st.lists(st.builds(Touch, channel=words, action=words, campaign=st.none() | words), max_size=8),
    moments=st.lists(st.datetimes(timezones=st.just(UTC)), min_size=8, max_size=8),
)
def test_there_is_a_feature_for_each_column_and_no_name_comes_twice(
    shown: list[Touch], moments: list[datetime]
) -> None:
    alone = [[touch] for touch in shown]
    together = [replace(touch, occurred_at=moment) for touch, moment in zip(shown, moments, strict=False)]
    log = EventLog.from_records([(f"c{i}", history) for i, history in enumerate([*alone, together] * 10)])
    vocabulary = learn_vocabulary(log, np.ones(len(log), dtype=np.bool_))

    features = names([*touchpoint_features(vocabulary), *MESSAGE_FEATURES])
    assert len(features) == width(vocabulary) + len(MESSAGE_FEATURES)
    assert len(set(features)) == len(features)
