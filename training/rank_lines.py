"""A rank line learnt: the grid from the rows alone, the weights by ridge regression, out of fold by person."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.aggregate import Float32s
from features.event_log import Bools, Floats, Int64s
from models.rank_line import RankLine, ranks
from training.linear_heads import learn_linear_head
from training.logistic_heads import learn_logistic_head

GRID_POINTS = 65

Codes = npt.NDArray[np.int8]


def learn_rank_line(
    features: Float32s, columns: Int64s, known: Bools, wanted: Bools, folds: Codes
) -> tuple[RankLine, Floats] | None:
    """The line fitted on all known rows, and the log-odds of every row by lines that never saw its person.

    Arguments and result are those of `learn_linear_head`; `columns` must hold a value in some known row each.
    """
    grid = rank_grid(features[np.ix_(known, columns)])
    learnt = learn_linear_head(ranks(features[:, columns], grid), known, wanted, folds)
    return None if learnt is None else (RankLine(columns, grid, learnt[0]), learnt[1])


def learn_logistic_rank_line(
    features: Float32s, columns: Int64s, known: Bools, wanted: Bools, folds: Codes
) -> tuple[RankLine, Floats] | None:
    """As `learn_rank_line`, by logistic regression; arguments and result are those of `learn_logistic_head`."""
    grid = rank_grid(features[np.ix_(known, columns)])
    learnt = learn_logistic_head(ranks(features[:, columns], grid), known, wanted, folds)
    return None if learnt is None else (RankLine(columns, grid, learnt[0]), learnt[1])


def rank_grid(values: Float32s) -> Float32s:
    """Each column's known values at equal steps of their rank. Shape (columns, points)."""
    steps = np.linspace(0.0, 1.0, GRID_POINTS)
    grid = [np.quantile(column[~np.isnan(column)], steps, method="nearest") for column in values.T]
    return np.array(grid, dtype=np.float32)
