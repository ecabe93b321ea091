"""A part of a table as a file holds it: nothing read into types yet, rows numbered, unreadable rows set apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

BROKEN_ROWS = pl.Schema({"row": pl.Int64(), "codes": pl.String()})

ChooseColumns = Callable[[Sequence[str]], list[str]]
"""From the column names found in a file, those to read; raises BadData where they do not fit."""


@dataclass(frozen=True)
class RawTable:
    """The chosen columns of some rows of one file, which comes as one or several of these, in its order.

    `frame` holds those columns (text from text files, the file's own types from Parquet) and `row`, the 1-based number
    of the data row in the file. `broken` holds `row` and `codes` for each row that has no columns to speak of.
    `ignored_columns` are the names that were found and not chosen.
    """

    frame: pl.DataFrame
    broken: pl.DataFrame
    ignored_columns: tuple[str, ...]


def broken_rows(rows: npt.NDArray[np.int64], codes: str | Sequence[str]) -> pl.DataFrame:
    """The `broken` frame of these row numbers, in their order."""
    reasons = [codes] * len(rows) if isinstance(codes, str) else codes
    return pl.DataFrame({"row": rows, "codes": reasons}, schema=BROKEN_ROWS)
