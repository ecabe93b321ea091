"""Who answers whom in a conversation, how soon, and in how many talks: measured on times, not on words."""

from __future__ import annotations

import numpy as np
from numba import njit

from features.aggregate import Float32s
from features.catalog import Feature
from features.event_log import DAY_US, Floats, Int32s, Int64s

HOUR_US = DAY_US // 24
RECENT_MESSAGES = 3

TURN_FEATURES = (
    Feature("days the conversation spans", "days", "From the first to the last message read, of either side."),
    Feature("mean days between own messages", "days", "Over the own messages read; empty where there are not two."),
    Feature("recent length against the own mean", "ratio", "Mean length of the last 3 / of all own messages read."),
    Feature("share of the words that are the customer's", "share", "Characters of own / of all messages read."),
    Feature(
        "own messages answered",
        "share",
        "Own messages that a company message follows before the next own message / own messages read.",
    ),
    Feature("hours to the company's answer", "hours", "Mean time from an own message to the company's answer."),
    Feature("last own message unanswered", "0 or 1", "No company message came after the last own message."),
    Feature("open question", "0 or 1", "The last own message has a question mark and is unanswered."),
    Feature("talks", "talks", "Different conversations (conversation_id) among the messages read; none counts as one."),
    Feature("messages in the present talk", "messages", "Messages read of the conversation of the last message."),
)


def turn_features(
    own: Int64s,
    company: Int64s,
    occurred_us: Int64s,
    conversation: Int32s,
    own_length: Floats,
    company_length: Floats,
    last_own_asks: Floats,
) -> Float32s:
    """The columns of `TURN_FEATURES`. Shape (rows, 10).

    `own` and `company` (rows, messages) are events of one log, newest first, -1 padded, and the lengths (characters)
    are theirs. Where the company's messages fill their places, own messages older than all of them count neither as
    answered nor as unanswered: what followed them has not been read.
    """
    features = np.full((len(own), len(TURN_FEATURES)), np.nan, dtype=np.float32)
    _times(own, company, occurred_us, own_length, company_length, features)
    _answers(own, company, occurred_us, last_own_asks, features)
    _talks(own, company, conversation, features)
    return features


@njit(cache=True, nogil=True)
def _count(events):  # type: ignore[no-untyped-def]
    count = 0
    while count < len(events) and events[count] >= 0:
        count += 1
    return count


@njit(cache=True, nogil=True)
def _times(own, company, occurred_us, own_length, company_length, features):  # type: ignore[no-untyped-def]
    for row in range(len(own)):
        out = features[row]
        owns, companies = _count(own[row]), _count(company[row])
        if owns + companies == 0:
            continue
        newest = max(own[row, 0], company[row, 0])
        oldest = newest
        if owns > 0:
            oldest = min(oldest, own[row, owns - 1])
        if companies > 0:
            oldest = min(oldest, company[row, companies - 1])
        out[0] = (occurred_us[newest] - occurred_us[oldest]) / DAY_US
        if owns > 1:
            out[1] = (occurred_us[own[row, 0]] - occurred_us[own[row, owns - 1]]) / DAY_US / (owns - 1)
        mine, recent, theirs = 0.0, 0.0, 0.0
        for rank in range(owns):
            mine += own_length[row, rank]
            if rank < RECENT_MESSAGES:
                recent += own_length[row, rank]
        for rank in range(companies):
            theirs += company_length[row, rank]
        if mine > 0:
            out[2] = (recent / min(owns, RECENT_MESSAGES)) / (mine / owns)
        if mine + theirs > 0:
            out[3] = mine / (mine + theirs)


@njit(cache=True, nogil=True)
def _answers(own, company, occurred_us, last_own_asks, features):  # type: ignore[no-untyped-def]
    for row in range(len(own)):
        out = features[row]
        owns, companies = _count(own[row]), _count(company[row])
        oldest_read = company[row, companies - 1] if companies == company.shape[1] else -1
        counted, answered, hours, passed = 0, 0, 0.0, 0
        for rank in range(owns):
            if own[row, rank] < oldest_read:
                break
            answer = -1
            while passed < companies and company[row, passed] > own[row, rank]:
                answer = company[row, passed]  # in the end the first after this own message
                passed += 1
            counted += 1
            if answer >= 0:
                answered += 1
                hours += (occurred_us[answer] - occurred_us[own[row, rank]]) / HOUR_US
        if counted > 0:
            out[4] = answered / counted
        if answered > 0:
            out[5] = hours / answered
        if owns > 0:
            unanswered = company[row, 0] < own[row, 0]
            out[6] = 1.0 if unanswered else 0.0
            out[7] = 1.0 if unanswered and last_own_asks[row] > 0 else 0.0


@njit(cache=True, nogil=True)
def _talks(own, company, conversation, features):  # type: ignore[no-untyped-def]
    talks = np.empty(own.shape[1] + company.shape[1], dtype=np.int64)
    for row in range(len(own)):
        out = features[row]
        owns, companies = _count(own[row]), _count(company[row])
        if owns + companies == 0:
            continue
        for rank in range(owns):
            talks[rank] = conversation[own[row, rank]]
        for rank in range(companies):
            talks[owns + rank] = conversation[company[row, rank]]
        present = conversation[max(own[row, 0], company[row, 0])]
        heard = talks[: owns + companies]
        out[8] = len(np.unique(heard))
        out[9] = np.sum(heard == present)
