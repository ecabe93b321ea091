"""Turns of a conversation: who answers whom, on histories short enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from features.conversation_turns import TURN_FEATURES, turn_features

HOUR_US = 3_600_000_000
PLACES = 4
NAMES = [feature.name for feature in TURN_FEATURES]


def turns(
    said: str, hours: list[float] | None = None, talks: list[int] | None = None, lengths: list[float] | None = None
) -> dict[str, float]:
    """The measures of one conversation written as o (own), ? (an own question) and c (company), in order.

    An hour passes between messages unless `hours` gives the time of each; the last four of each side are read.
    """
    sides = {
        "own": [i for i, by in enumerate(said) if by != "c"],
        "company": [i for i, by in enumerate(said) if by == "c"],
    }
    own, company = (np.array([(events[::-1] + [-1] * PLACES)[:PLACES]], dtype=np.int64) for events in sides.values())
    length = np.array([*(lengths or [10.0] * len(said)), 0.0])
    features = turn_features(
        own,
        company,
        (np.array(hours or range(len(said)), dtype=np.float64) * HOUR_US).astype(np.int64),
        np.array(talks or [-1] * len(said), dtype=np.int32),
        own_length=length[own],
        company_length=length[company],
        last_own_asks=np.array([float(own[0, 0] >= 0 and said[own[0, 0]] == "?")]),
    )
    return dict(zip(NAMES, features[0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("said", "answered"),
    [("oc", 1), ("o", 0), ("co", 0), ("ooc", 0.5), ("occ", 1), ("ococ", 1), ("oco", 0.5), ("cooco", 1 / 3)],
)
def test_an_own_message_is_answered_before_the_next_own_one(said: str, answered: float) -> None:
    assert turns(said)["own messages answered"] == pytest.approx(answered)


def test_an_answer_takes_until_the_first_message_of_the_company() -> None:
    assert turns("occoc", hours=[0, 2, 5, 10, 14])["hours to the company's answer"] == 3
    assert np.isnan(turns("co")["hours to the company's answer"])


def test_own_messages_older_than_all_that_is_read_of_a_full_company_side_do_not_count() -> None:
    # Of the company the last four are read: what answered the first of the four own messages read may be unread.
    found = turns("ococooccoc", hours=[0, 1, 2, 3, 4, 5, 6, 7, 8, 11])
    assert found["own messages answered"] == pytest.approx(2 / 3)
    assert found["hours to the company's answer"] == 2
    assert np.isnan(turns("occccc")["own messages answered"])


@pytest.mark.parametrize(
    ("said", "unanswered", "is_open"),
    [("o", 1, 0), ("?", 1, 1), ("?c", 0, 0), ("c?", 1, 1), ("?o", 1, 0), ("oc", 0, 0)],
)
def test_a_question_is_open_until_the_company_answers(said: str, unanswered: float, is_open: float) -> None:
    found = turns(said)
    assert (found["last own message unanswered"], found["open question"]) == (unanswered, is_open)


def test_how_long_and_how_often() -> None:
    found = turns("ocooc", hours=[0, 12, 24, 72, 96])
    assert (found["days the conversation spans"], found["mean days between own messages"]) == (4, 1.5)
    assert turns("ccc", hours=[0, 24, 48])["days the conversation spans"] == 2
    assert np.isnan(turns("oc")["mean days between own messages"])


def test_how_much_by_whom() -> None:
    assert turns("oc", lengths=[30, 10])["share of the words that are the customer's"] == 0.75
    assert np.isnan(turns("o", lengths=[0])["share of the words that are the customer's"])
    assert turns("ooo", lengths=[1, 2, 3])["recent length against the own mean"] == 1


def test_talks_are_told_apart_by_their_conversation() -> None:
    found = turns("oocc", talks=[4, 7, -1, 7])
    assert (found["talks"], found["messages in the present talk"]) == (3, 2)
    found = turns("ococ")
    assert (found["talks"], found["messages in the present talk"]) == (1, 4)


def test_who_said_nothing_has_no_measures() -> None:
    assert np.isnan(list(turns("").values())).all()
