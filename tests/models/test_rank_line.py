"""Ranks by hand: ties, the unknown, and what lies beyond the grid."""

from __future__ import annotations

import numpy as np
import pytest

from models.linear_head import LinearHead
from models.rank_line import RankLine, ranks
from training.rank_lines import GRID_POINTS, rank_grid

GRID = np.float32([[0, 0, 0, 5], [1, 2, 3, 4]])
LINE = RankLine(np.array([2, 0]), GRID, LinearHead(np.array([[2.0, -1.0]]), np.array([0.5]), np.array([-3.0])))


def test_a_value_stands_in_the_middle_of_its_ties() -> None:
    values = np.float32([[0, 2], [5, 0], [3, 9], [np.nan, np.nan], [-1, 2.5]])

    assert ranks(values, GRID).tolist() == [[-0.125, -0.125], [0.375, -0.5], [0.25, 0.5], [0, 0], [-0.5, 0.0]]


def test_the_line_reads_its_columns_and_tells_what_each_adds() -> None:
    features = np.float32([[2, 7, 0], [np.nan, 7, np.nan]])

    assert LINE.ranks(features).tolist() == [[-0.125, -0.125], [0, 0]]
    assert LINE.contributions(features).tolist() == [[-0.25, 0.125, 0.5], [0, 0, -3.0]]
    assert LINE.log_odds(features)[:, 0].tolist() == LINE.contributions(features).sum(axis=1).tolist() == [0.375, -3.0]


def test_a_row_is_the_same_alone_and_among_others() -> None:
    features = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)

    assert [LINE.log_odds(features[i : i + 1]).tobytes() for i in range(50)] == [
        row.tobytes() for row in LINE.log_odds(features)
    ]


def test_the_grid_holds_the_known_values_at_equal_steps_of_their_rank() -> None:
    values = np.float32([[np.nan, 7], *([i, 7] for i in range(GRID_POINTS))])
    grid = rank_grid(values)

    assert grid[0].tolist() == list(range(GRID_POINTS))
    assert set(grid[1].tolist()) == {7}


def test_ranks_of_the_training_rows_are_spread_evenly() -> None:
    values = np.exp(np.random.default_rng(1).normal(size=(5000, 1)) * 3).astype(np.float32)
    placed = ranks(values, rank_grid(values))[:, 0]

    assert np.quantile(placed, [0.1, 0.5, 0.9]) == pytest.approx([-0.4, 0, 0.4], abs=0.02)


def test_looked_up_terms_are_the_weighed_ranks_to_the_bit() -> None:
    random = np.random.default_rng(2)
    features = random.integers(-3, 4, (150, 8)).astype(np.float32) / 2
    features[:, 4:] = random.normal(size=(150, 4))
    features[random.random(features.shape) < 0.2] = np.nan
    features[7] = np.nan
    line = RankLine(
        np.array([6, 1, 0, 7, 4]),
        rank_grid(features[:100, [6, 1, 0, 7, 4]]),
        LinearHead(random.normal(size=(2, 5)), np.array([0.5, -0.0]), np.array([-3.0, 2.0])),
    )
    expected = line.head.log_odds(line.ranks(features))

    assert expected[7].tolist() == [-3.0, 2.0]
    assert line.log_odds(features).tobytes() == expected.tobytes()
    assert line.log_odds(features[5:8]).tobytes() == expected[5:8].tobytes()
