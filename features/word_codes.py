"""Words as numbers: a column of words as an Enum whose categories are in order, so that codes sort as the words do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl


def word_codes(column: pl.Series) -> pl.Series:
    """The column as an Enum of its distinct words, sorted by their UTF-8 bytes; an Enum is taken as it is."""
    return column if isinstance(column.dtype, pl.Enum) else column.cast(pl.Enum(column.unique().drop_nulls().sort()))


def words_of(coded: pl.Series) -> pl.Series:
    """The words that the codes of `word_codes` stand for, in order."""
    assert isinstance(coded.dtype, pl.Enum)
    return coded.dtype.categories


class WordNumbers:
    """Numbers each distinct word of some columns as it first comes, frame after frame."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._kinds = {column: pl.Categorical(pl.Categories.random()) for column in columns}
        self._held = [pl.Series(dtype=kind) for kind in self._kinds.values()]  # Polars forgets words that none holds

    def number(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with numbers (UInt32) in place of these columns' words."""
        return frame.with_columns(pl.col(column).cast(kind).to_physical() for column, kind in self._kinds.items())

    def words(self) -> NumberedWords:
        """The words numbered so far."""
        return NumberedWords({column: kind.categories.to_series() for column, kind in self._kinds.items()})


class NumberedWords:
    """The words of each column, by their numbers."""

    def __init__(self, words: dict[str, pl.Series]) -> None:
        self.of_column = words

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> NumberedWords:
        """The words of a frame that `to_frame` made."""
        return cls({column: frame[column][0] for column in frame.columns})

    def to_frame(self) -> pl.DataFrame:
        """One row: each column's words by their numbers, as a list."""
        return pl.DataFrame([words.alias(column).implode() for column, words in self.of_column.items()])

    def name(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with words, as `word_codes` has them, in place of the numbers of these columns."""
        return frame.with_columns(_named(frame[column], words) for column, words in self.of_column.items())


def _named(numbers: pl.Series, words: pl.Series) -> pl.Series:
    # Of many words, as of customers, a frame holds few; of few words it is not worth asking which.
    used = numbers.unique().drop_nulls() if len(words) > len(numbers) else pl.arange(len(words), eager=True)
    named = words.gather(used)
    order = named.arg_sort()
    code = np.zeros(len(words), dtype=np.uint32)
    code[used.gather(order).to_numpy()] = np.arange(len(used), dtype=np.uint32)
    return pl.Series(numbers.name, code).gather(numbers).cat.to(pl.Enum(named.gather(order)))
