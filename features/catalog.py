"""Every feature's name, meaning and unit, made from the same definitions as its column."""

from __future__ import annotations

from dataclasses import dataclass

from features.aggregate import EVER, HISTORY_MEASURES, KIND_MEASURES, RECORD_MEASURES
from features.journey import Spans
from features.vocabulary import Kind, Vocabulary, transition_name

KIND_CUT = ": "  # in a name: what is measured, and the measure


@dataclass(frozen=True)
class Feature:
    """A column of the feature rows: a name fit to be shown as a reason, its unit, and what it means in one line."""

    name: str
    unit: str
    meaning: str


_OF_A_KIND = {
    "days_since_last": (
        "days since the last",
        "days",
        "Time from the last one until as_of; empty when there was none.",
    ),
    "days_since_first": ("days since the first", "days", "Time from the first one until as_of; empty if none."),
    "touchpoints_since_last": ("touchpoints since the last", "touchpoints", "How many came after the last one."),
    "value_sum_30d": ("value in 30 days", "value", "Sum of the values in the last 30 days."),
    "value_sum": ("value ever", "value", "Sum of the values."),
    "value_mean": ("mean value", "value", "Mean of the values."),
    "value_last": ("last value", "value", "The last value."),
}
_OF_THE_HISTORY = {
    "days_since_second_last": ("days since the second-last touchpoint", "days", "Time until as_of."),
    "gap_mean_days": ("mean gap between touchpoints", "days", "Mean time from one touchpoint to the next."),
    "gap_deviation_days": ("spread of the gaps", "days", "Standard deviation of the gaps."),
    "gap_now_to_mean": ("current gap against the own rhythm", "ratio", "Time since the last one / mean gap."),
    "gap_recent_to_mean": ("recent gaps against the own rhythm", "ratio", "Mean of the last 3 gaps / mean gap."),
    "burstiness": ("burstiness", "index", "(deviation - mean) / (deviation + mean) of the gaps (Goh & Barabasi 2008)."),
    "active_days_30d": ("active days in 30 days", "days", "UTC days with a touchpoint in the last 30 days."),
    "active_days": ("active days", "days", "UTC days with a touchpoint."),
    "sessions_30d": ("sessions in 30 days", "sessions", "A gap of over {gap} minutes closes a session."),
    "sessions": ("sessions", "sessions", "A gap of over {gap} minutes closes a session."),
    "company_share": ("share of company acts", "share", "Touchpoints by the company / all touchpoints."),
    "responses": ("company acts answered", "touchpoints", "Company acts whose next touchpoint is the customer's."),
    "response_hours": ("hours to answer", "hours", "Mean time from a company act to the customer's next act."),
    "night_share": ("share at night", "share", "Touchpoints from 0 to 6 h UTC / all touchpoints."),
    "weekend_share": ("share at weekends", "share", "Touchpoints on UTC Saturdays and Sundays / all touchpoints."),
    "channel_entropy": ("variety of channels", "nats", "Entropy of the shares of the channels."),
    "distinct_actions": ("different actions", "actions", "How many kinds of action there were."),
    "unheard_of_share": ("share of unheard-of touchpoints", "share", "Channel or action never seen in training."),
    "gap_trend_days": ("trend of the gaps", "days per gap", "How much longer each gap is than the one before, fitted."),
    "gap_first_days": ("days from the first to the second touchpoint", "days", "The first gap."),
    "busiest_hour_share": (
        "share in the own busiest hour of the week",
        "share",
        "Touchpoints in the one of the week's 168 UTC hours that holds most / all touchpoints.",
    ),
    "repeat_share": (
        "share of repeated actions",
        "share",
        "Touchpoints of the same action as the one before / all but the first.",
    ),
    "backward_share": (
        "share of backward steps",
        "share",
        "Steps to an action that usually comes first earlier than the one before / all steps between usual actions.",
    ),
    "depth": (
        "furthest action reached",
        "share",
        "Its place in the usual order of actions, from 0 (first) to 1 (last).",
    ),
    "depth_of_last": (
        "how far along the last action is",
        "share",
        "Its place in the usual order of actions, from 0 (first) to 1 (last).",
    ),
    "value_trend": ("recent values against the own mean", "value", "Mean of the last 3 values - mean of all values."),
    "depth_of_second_last": (
        "how far along the second-last action is",
        "share",
        "Of the touchpoints whose action has a place in the usual order: that place, from 0 (first) to 1 (last).",
    ),
    "depth_of_third_last": (
        "how far along the third-last action is",
        "share",
        "Of the touchpoints whose action has a place in the usual order: that place, from 0 (first) to 1 (last).",
    ),
    "hour_entropy": ("variety of hours of the week", "nats", "Entropy of the shares of the week's 168 UTC hours."),
}
_OF_THE_RECORD = {
    "recorded_stage": (
        "stage recorded by the CRM",
        "stage",
        "Its place in the journey, from 0 (first); empty if none was recorded.",
    ),
    "days_in_recorded_stage": ("days in the stage recorded by the CRM", "days", "Time from its beginning until as_of."),
    "stage_changes": ("changes of the recorded stage", "changes", "How often the CRM recorded another stage."),
    "stage_steps_back": ("steps back of the recorded stage", "changes", "How often the CRM recorded an earlier stage."),
    "furthest_recorded_stage": (
        "furthest stage recorded by the CRM",
        "stage",
        "Its place in the journey, from 0 (first); empty if none was recorded.",
    ),
}


def touchpoint_features(vocabulary: Vocabulary) -> list[Feature]:
    """The columns of `aggregate`, in order."""
    of_kinds = [feature for kind in vocabulary.kinds for feature in _features_of(kind, vocabulary.spans)]
    of_history = [_of_the_history(measure, vocabulary.spans) for measure in HISTORY_MEASURES]
    of_record = [Feature(*_OF_THE_RECORD[measure]) for measure in RECORD_MEASURES]
    return [
        *of_kinds,
        *of_history,
        *(_step(before, after) for before, after in vocabulary.transitions),
        *(of_record if vocabulary.stages_recorded else []),
    ]


def _of_the_history(measure: str, spans: Spans) -> Feature:
    name, unit, meaning = _OF_THE_HISTORY[measure]
    return Feature(name, unit, meaning.format(gap=spans.session_gap_minutes))


def _step(before: str, after: str) -> Feature:
    name = f"steps from {transition_name(before, after)}"
    return Feature(name, "steps", "How often a touchpoint of the one action came right after one of the other.")


def _features_of(kind: Kind, spans: Spans) -> list[Feature]:
    words = kind_words(kind)
    counts = [
        Feature(f"{words}{KIND_CUT}times {_within(days)}", "touchpoints", f"How often {_within(days)} before as_of.")
        for days in (*spans.windows_days, EVER)
    ]
    decayed = [
        Feature(
            f"{words}{KIND_CUT}decayed count, half-life {days:g} days",
            "touchpoints",
            "Each counts 2^(-age / half-life).",
        )
        for days in spans.half_lives_days
    ]
    measures = [_OF_A_KIND[measure] for measure in KIND_MEASURES]
    return [
        *counts,
        *decayed,
        *(Feature(f"{words}{KIND_CUT}{name}", unit, meaning) for name, unit, meaning in measures),
    ]


def _within(days: float) -> str:
    return "ever" if days == EVER else f"in {days:g} day{'' if days == 1 else 's'}"


def kind_words(kind: Kind) -> str:
    """What a kind of touchpoint is called, in the names of its features."""
    match kind.family:
        case "any":
            return "any touchpoint"
        case "actor":
            return f"by the {kind.name}"
        case "message":
            return f"message by the {kind.name}"
        case "channel and action":
            return kind.name
        case _:
            return f"{kind.family} {kind.name}"
