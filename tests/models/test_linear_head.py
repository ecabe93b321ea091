"""The text head: three rows by hand, then the same numbers for a row alone and in a list."""

from __future__ import annotations

import numpy as np
import pytest

from models.linear_head import LinearHead

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
