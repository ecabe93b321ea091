"""The vocabulary: which kinds are told apart, learned from a log of a few customers, and applied to another log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from features.event_log import EventLog
from features.vocabulary import OTHER, Family, Kind, Vocabulary, learn_vocabulary

START = datetime(2024, 1, 1, tzinfo=UTC)
ONE_US = timedelta(microseconds=1)


@dataclass(frozen=True)
class Touch:
    """A touchpoint in the contract's columns, without its customer."""

    channel: str = "web"
    action: str = "viewed"
    actor: str = "customer"
    campaign: str | None = None
    text: str | None = None
    occurred_at: datetime = START
    recorded_at: datetime | None = None
    event_id: str | None = None
    value: float | None = None
    variant: str | None = None
    conversation_id: str | None = None


def log_of(*touches: Touch) -> EventLog:
    """The log of one customer with these touchpoints, in this order."""
    in_order = [Touch(**(vars(touch) | {"occurred_at": START + i * ONE_US})) for i, touch in enumerate(touches)]
    return EventLog.from_records([("ada", in_order)])


def log_of_customers(*shown: tuple[int, Touch]) -> EventLog:
    """The log of customers with one touchpoint each: so many with this one, so many with that."""
    each = [touch for customers, touch in shown for _ in range(customers)]
    return EventLog.from_records([(f"c{i}", [touch]) for i, touch in enumerate(each)])


def learn(log: EventLog) -> Vocabulary:
    return learn_vocabulary(log, np.ones(len(log), dtype=np.bool_))


def kinds_of(vocabulary: Vocabulary, log: EventLog) -> list[list[int]]:
    """The kinds of each touchpoint, one for each family, as the codes of the log tell them."""
    codes = vocabulary.codes(log)
    return [
        [
            codes.any,
            codes.actor[company],
            codes.channel[channel],
            codes.action[action],
            codes.pair[codes.pair_row[channel], action],
            codes.campaign[campaign],
            codes.message[company + 2 * (text >= 0)],
        ]
        for company, channel, action, campaign, text in zip(
            log.is_company.astype(int), log.channel, log.action, log.campaign, log.text, strict=True
        )
    ]


def names(vocabulary: Vocabulary, family: Family) -> list[str]:
    return [kind.name for kind in vocabulary.kinds if kind.family == family]


SMALL = log_of_customers(
    (12, Touch("web", "viewed", campaign="spring", text="Hi")),
    (11, Touch("web", "asked", campaign="summer")),
    (10, Touch("email", "viewed", "company")),
    (9, Touch("fax", "sent", "company", campaign="fall")),
)


def test_the_kinds_of_42_customers_in_the_order_of_their_columns() -> None:
    assert learn(SMALL) == Vocabulary(
        kinds=(
            Kind("any", "touchpoint"),
            Kind("actor", "customer"),
            Kind("actor", "company"),
            Kind("channel", "email"),
            Kind("channel", "web"),
            Kind("channel", "(other)"),
            Kind("action", "asked"),
            Kind("action", "viewed"),
            Kind("action", "(other)"),
            Kind("channel and action", "email / viewed"),
            Kind("channel and action", "web / asked"),
            Kind("channel and action", "web / viewed"),
            Kind("campaign", "spring"),
            Kind("campaign", "summer"),
            Kind("campaign", "(other)"),
            Kind("message", "customer"),
            Kind("message", "company"),
        ),
        known_channels=frozenset({"web", "email", "fax"}),
        known_actions=frozenset({"viewed", "asked", "sent"}),
    )


def test_only_usable_touchpoints_are_learned_from() -> None:
    vocabulary = learn_vocabulary(SMALL, np.array([SMALL.channels[code] == "email" for code in SMALL.channel]))

    assert names(vocabulary, "channel") == ["email", OTHER]
    assert names(vocabulary, "campaign") == names(vocabulary, "message") == []
    assert (vocabulary.known_channels, vocabulary.known_actions) == ({"email"}, {"viewed"})


def test_nothing_can_be_learned_from_nothing() -> None:
    families = {kind.family for kind in learn(log_of_customers()).kinds}

    assert families == {"any", "actor", "channel", "action"}


def test_campaigns_that_are_all_rare_are_left_out() -> None:
    assert names(learn(log_of_customers((9, Touch(campaign="fall")))), "campaign") == []


def test_campaigns_that_come_and_go_are_pooled() -> None:
    """They last 100, 50 and 49 of 100 days."""
    spans = {"letter": (0, 100), "spring": (10, 60), "summer": (51, 100)}
    shown = [
        Touch(campaign=name, occurred_at=START + timedelta(days=day)) for name, days in spans.items() for day in days
    ]
    log = EventLog.from_records([(f"c{i}", shown) for i in range(10)])

    assert names(learn(log), "campaign") == ["letter", "spring", OTHER]


# Rare values


@pytest.mark.parametrize(("customers", "least"), [(100, 10), (2000, 10), (2400, 12)])
def test_a_value_of_fewer_than_10_customers_and_of_one_in_200_is_pooled(customers: int, least: int) -> None:
    common = (customers - 2 * least + 1, Touch("web"))
    log = log_of_customers(common, (least, Touch("email")), (least - 1, Touch("fax")))

    assert names(learn(log), "channel") == ["email", "web", OTHER]


def test_a_value_is_counted_once_for_each_customer() -> None:
    often = [Touch("fax", occurred_at=START + i * ONE_US) for i in range(50)]
    log = EventLog.from_records([("ada", often), *((f"c{i}", [Touch("web")]) for i in range(10))])

    assert names(learn(log), "channel") == ["web", OTHER]


def test_of_a_family_the_40_most_widespread_stay() -> None:
    shown = [(11, Touch(f"channel {i:02}")) for i in range(41)]
    shown[7] = (10, Touch("channel 07"))

    assert names(learn(log_of_customers(*shown)), "channel") == [
        *(f"channel {i:02}" for i in range(41) if i != 7),
        OTHER,
    ]


# Pairs of a channel and an action


def test_pairs_are_told_apart_only_where_an_action_comes_by_several_channels() -> None:
    one_action_each = log_of_customers((10, Touch("web", "viewed")), (10, Touch("email", "opened")))
    one_channel = log_of_customers((10, Touch("web", "viewed")), (10, Touch("web", "asked")))
    both = log_of_customers((10, Touch("web", "viewed")), (10, Touch("web", "asked")), (10, Touch("email", "viewed")))

    assert names(learn(one_action_each), "channel and action") == []
    assert names(learn(one_channel), "channel and action") == []
    assert names(learn(both), "channel and action") == ["email / viewed", "web / asked", "web / viewed"]


def test_rare_pairs_are_left_out() -> None:
    log = log_of_customers(
        (10, Touch("web", "viewed")),
        (10, Touch("web", "asked")),
        (10, Touch("email", "viewed")),
        (9, Touch("email", "asked")),
    )

    assert names(learn(log), "channel and action") == ["email / viewed", "web / asked", "web / viewed"]


# Names of the caller's own making


def test_a_channel_called_other_is_pooled_with_the_others() -> None:
    log = log_of_customers((10, Touch(OTHER)), (10, Touch("web")))

    assert names(learn(log), "channel") == [OTHER, "web"]
    assert [row[2] for row in kinds_of(learn(log), log_of(Touch(OTHER), Touch("fax")))] == [3, 3]


def test_pairs_that_are_written_alike_are_one_kind() -> None:
    log = log_of_customers((10, Touch("a / b", "c")), (10, Touch("a", "b / c")), (10, Touch("a", "c")))

    assert names(learn(log), "channel and action") == ["a / b / c", "a / c"]


# Another log

ANOTHER = log_of(
    Touch("web", "asked", campaign="spring", text="Hi"),
    Touch("email", "viewed", "company", campaign="winter", text="Hello"),
    Touch("fax", "sent"),
    Touch("radio", "viewed", "company"),
    Touch("web", "sang", campaign="fall"),
    Touch("email", "asked", text="?"),
)


def test_each_touchpoint_falls_into_one_kind_of_each_family_at_most() -> None:
    #                                     any, actor, channel, action, pair, campaign, message
    assert kinds_of(learn(SMALL), ANOTHER) == [
        [0, 1, 4, 6, 10, 12, 15],
        [0, 2, 3, 7, 9, 14, 16],
        [0, 1, 5, 8, -1, -1, -1],
        [0, 2, 5, 7, -1, -1, -1],
        [0, 1, 4, 8, -1, 14, -1],
        [0, 1, 3, 6, -1, -1, 15],
    ]


def test_what_training_never_told_apart_falls_into_no_kind() -> None:
    vocabulary = learn(log_of_customers((10, Touch())))

    assert kinds_of(vocabulary, ANOTHER)[0] == [0, 1, 3, 6, -1, -1, -1]


def test_pairs_that_are_written_alike_are_one_kind_in_another_log() -> None:
    log = log_of_customers((10, Touch("a / b", "c")), (10, Touch("a", "b / c")), (10, Touch("a", "c")))
    shown = log_of(Touch("a / b", "c"), Touch("a", "b / c"), Touch("a", "c"), Touch("b", "c"), Touch("a / b", "b / c"))

    pairs = [row[4] for row in kinds_of(learn(log), shown)]
    assert [learn(log).kinds[code].name if code >= 0 else None for code in pairs] == [
        *("a / b / c", "a / b / c", "a / c", None, None),
    ]


def test_unheard_of_is_a_channel_or_an_action_that_training_never_saw() -> None:
    codes = learn(SMALL).codes(ANOTHER)

    assert [name for name, unheard in zip(ANOTHER.channels, codes.unheard_channel, strict=True) if unheard] == ["radio"]
    assert [name for name, unheard in zip(ANOTHER.actions, codes.unheard_action, strict=True) if unheard] == ["sang"]


def test_an_empty_log_has_no_codes() -> None:
    codes = learn(SMALL).codes(EventLog.from_records([]))

    assert [len(column) for column in (codes.unheard_channel, codes.unheard_action, codes.place)] == [0, 0, 0]
    assert [column.tolist() for column in (codes.channel, codes.action, codes.campaign)] == [[-1]] * 3


# The usual order of the actions


def test_the_actions_stand_in_the_order_in_which_they_usually_occur_first() -> None:
    usually = ["viewed", "asked", "bought", "viewed"]
    seldom = ["asked", "viewed", "bought", "asked"]
    histories = [usually] * 11 + [seldom] * 10 + [["bought"]] * 12
    log = EventLog.from_records(
        [
            (f"c{i}", [Touch(action=action, occurred_at=START + j * ONE_US) for j, action in enumerate(actions)])
            for i, actions in enumerate(histories)
        ]
    )

    # Others before - others after the first: viewed -22 + 0 of 21, asked 0 - 20 of 21, bought 42 + 0 of 33.
    assert names(learn(log), "action") == ["viewed", "asked", "bought", OTHER]
    assert learn(log).codes(log_of(Touch(action="bought"), Touch(action="sang"))).place.tolist() == [2, -1]


# The commonest steps


def acted(*actions: str) -> list[Touch]:
    return [Touch(action=action, occurred_at=START + i * ONE_US) for i, action in enumerate(actions)]


def test_transitions_are_the_steps_that_enough_customers_have_taken() -> None:
    often = [acted("viewed", "viewed", "asked", "sang", "whistled", "bought") for _ in range(10)]
    rare = [acted("asked", "viewed") for _ in range(9)]
    log = EventLog.from_records([(f"c{i}", history) for i, history in enumerate(often + rare)])
    only_often = learn_vocabulary(log, np.array([log.actions[code] != "asked" for code in log.action]))

    assert names(learn(log), "action") == ["viewed", "asked", "sang", "whistled", "bought", OTHER]
    assert learn(log).transitions == (
        ("viewed", "asked"),
        ("asked", "sang"),
        ("sang", "whistled"),
        ("whistled", "bought"),
    )
    assert only_often.transitions == (("viewed", "sang"), ("sang", "whistled"), ("whistled", "bought"))


def test_rare_actions_step_as_others() -> None:
    histories = [acted("viewed", f"rare {i}", f"rarer {i}", "viewed") for i in range(10)]

    learned = learn(EventLog.from_records([(f"c{i}", history) for i, history in enumerate(histories)]))
    assert learned.transitions == (("viewed", OTHER), (OTHER, "viewed"))


def test_of_the_transitions_the_12_most_widespread_stay() -> None:
    histories = [acted(f"a{i}", f"b{i}") for i in range(13) for _ in range(10 + (i != 4))]
    log = EventLog.from_records([(f"c{i}", history) for i, history in enumerate(histories)])

    assert set(learn(log).transitions) == {(f"a{i}", f"b{i}") for i in range(13) if i != 4}


def test_transitions_that_are_written_alike_are_one() -> None:
    histories = [acted(*actions) for actions in [("a", "b to c"), ("a to b", "c")] for _ in range(10)]
    log = EventLog.from_records([(f"c{i}", history) for i, history in enumerate(histories)])

    assert len(learn(log).transitions) == 1


def test_no_step_leads_from_one_customer_to_the_next() -> None:
    log = EventLog.from_records([(f"c{i}", [Touch(action="asked" if i % 2 else "viewed")]) for i in range(40)])

    assert learn(log).transitions == ()


# What a CRM recorded


def test_recorded_stages_are_no_kind_of_touchpoint() -> None:
    recorded = [(12, Touch("crm", "stage: keen", "company")), (12, Touch("crm", "stage: lost", "company"))]
    log = log_of_customers((12, Touch("web", "viewed")), *recorded)
    learned = learn_vocabulary(log, np.ones(len(log), dtype=np.bool_), ("keen", "won"))

    assert learned.stages_recorded
    assert names(learned, "action") == ["stage: lost", "viewed", OTHER]
    assert learned.known_actions == {"viewed", "stage: lost"}
    assert learned.codes(log).stage.tolist() == [{"stage: keen": 0}.get(action, -1) for action in log.actions]
    assert log.channels[learned.codes(log).crm] == "crm"


def test_only_stages_that_some_row_may_know_are_seen() -> None:
    log = log_of_customers((12, Touch("web", "viewed")), (12, Touch("crm", "stage: keen", "company")))
    known = np.array([log.channels[code] != "crm" for code in log.channel])

    assert not learn_vocabulary(log, known, ("keen", "won")).stages_recorded
    assert not learn(log).stages_recorded  # of a journey without such a stage
    assert learn(log).codes(log_of(Touch("web"))).crm not in range(2)


# What is stored and what must not matter


def test_a_vocabulary_survives_json() -> None:
    learned = learn(SMALL)
    stored = json.dumps(
        [[asdict(kind) for kind in learned.kinds], *map(sorted, (learned.known_channels, learned.known_actions))]
    )
    kinds, channels, actions = json.loads(stored)

    assert Vocabulary(tuple(Kind(**kind) for kind in kinds), frozenset(channels), frozenset(actions)) == learned


def test_the_order_of_the_customers_does_not_matter() -> None:
    def log(order: Iterable[int]) -> EventLog:
        shown = [Touch("web"), Touch("email", "sent"), Touch("email"), Touch("fax", text="Hi"), Touch(campaign="fall")]
        return EventLog.from_records([(f"c{i}", [shown[i % 5]]) for i in order])

    assert learn(log(range(50))) == learn(log(reversed(range(50))))
