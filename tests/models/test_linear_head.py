"""The text head: three rows by hand, then the same numbers for a row alone and in a list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.conversations import Messages, pool_messages
from features.event_log import EventLog
from features.rows import TextVectors
from models.linear_head import LinearHead
from models.message_effects import message_effects

HEAD = LinearHead(
    weights=np.array([[1.0, 2.0], [-1.0, 0.0]]), intercepts=np.array([0.5, 0.25]), silent=np.array([-3.0, 3.0])
)


def test_log_odds_of_three_rows() -> None:
    pools = np.array([[1, 1], [0, -1], [0, 0]], dtype=np.float32)

    assert HEAD.log_odds(pools).tolist() == [[3.5, -0.75], [-1.5, 0.25], [-3.0, 3.0]]


def test_no_rows_have_no_log_odds() -> None:
    assert HEAD.log_odds(np.zeros((0, 2), dtype=np.float32)).shape == (0, 2)


@pytest.mark.parametrize("dimension", [3, 24, 1152])
def test_a_row_alone_has_the_log_odds_it_has_among_others(dimension: int) -> None:
    random = np.random.default_rng(dimension)
    head = LinearHead(random.normal(size=(4, dimension)), random.normal(size=4), random.normal(size=4))
    pools = random.normal(size=(50, dimension)).astype(np.float32)
    alone = np.concatenate([head.log_odds(pools[row : row + 1]) for row in range(50)])

    assert np.array_equal(alone, head.log_odds(pools))
    assert alone == pytest.approx(pools @ head.weights.T + head.intercepts, abs=1e-9)


def conversation(owns: int, companies: int, vectors: np.ndarray) -> tuple[EventLog, Messages, TextVectors, np.ndarray]:
    """One row that reads so many messages of each side, newest first; message `i` of the log has vector `i`."""
    log = replace(EventLog.from_records([]), text=np.arange(len(vectors), dtype=np.int32))
    own, company = np.full((1, 20), -1), np.full((1, 20), -1)
    own[0, :owns] = np.arange(owns)
    company[0, :companies] = owns + np.arange(companies)
    messages, said = Messages(own, company), TextVectors(np.arange(len(vectors)), vectors.astype(np.float32))
    return log, messages, said, pool_messages(log, messages, said.texts, said.vectors)


def test_what_each_of_six_messages_adds() -> None:
    """Only the first number of each pool weighs. Weights of five own messages: 1, 2^-1/4 ... in all; 1/3 of three."""
    head = LinearHead(np.array([[1.0, 0, 10, 0, 100, 0]]), np.array([0.5]), np.array([9.0]))
    vectors = np.array([[1, 5], [0, 5], [2, 5], [3, 5], [0, 5], [4, 5]])
    log, messages, said, pools = conversation(5, 1, vectors)
    own, company = message_effects(head, 0, pools, log, messages, said)
    halving = 2 ** (-np.arange(5) / 4)
    expected = halving / halving.sum() * vectors[:5, 0] + 10 / 3 * np.array([1, 0, 2, 0, 0])

    assert own[0, :5].tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert company[0, :2].tolist() == [400, 0]
    assert not own[0, 5:].any()


@pytest.mark.parametrize(("owns", "companies"), [(0, 0), (1, 0), (0, 20), (2, 3), (20, 20)])
def test_effects_and_the_intercept_sum_to_the_log_odds(owns: int, companies: int) -> None:
    random = np.random.default_rng(owns)
    head = LinearHead(random.normal(size=(2, 24)), random.normal(size=2), random.normal(size=2))
    log, messages, said, pools = conversation(owns, companies, random.normal(size=(owns + companies, 8)))
    for output in range(2):
        own, company = message_effects(head, output, pools, log, messages, said)
        start = head.intercepts[output] if owns + companies else head.silent[output]
        assert own.sum() + company.sum() + start == pytest.approx(head.log_odds(pools)[0, output], abs=1e-9)
