"""Words as numbers: a column of words as an Enum whose categories are in order, so that codes sort as the words do."""

from __future__ import annotations

from collections.abc import Collection, Sequence

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
    """Numbers each distinct word of some columns as it first comes, frame after frame.

    A column with more than `most_words` stays as it is from then on: its words would take the memory that their numbers
    save.
    """

    def __init__(self, columns: Sequence[str], most_words: int) -> None:
        self._most_words = most_words
        self._kinds = {column: pl.Categorical(pl.Categories.random()) for column in columns}
        self._held = [pl.Series(dtype=kind) for kind in self._kinds.values()]  # Polars forgets words that none holds
        self._with_many: set[str] = set()

    def number(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with numbers (UInt32) in place of these columns' words."""
        return frame.with_columns(self._numbered(frame[column]) for column in self._kinds.keys() - self._with_many)

    def words(self) -> NumberedWords:
        """The words numbered so far."""
        return NumberedWords({column: kind.categories.to_series() for column, kind in self._kinds.items()})

    def _numbered(self, column: pl.Series) -> pl.Series:
        numbers = column.cast(self._kinds[column.name]).to_physical()
        last = numbers.max()
        if isinstance(last, int) and last >= self._most_words:
            self._with_many.add(column.name)
        return numbers


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

    def name(self, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """The frames, one at least, one below the other, with words in place of the numbers of these columns.

        A column that was numbered in all of them comes as `word_codes` has it, another one as text.
        """
        as_text = {column for column in self.of_column if any(frame.schema[column] == pl.String for frame in frames)}
        whole = pl.concat([frame.with_columns(self._texts(frame, as_text)) for frame in frames], rechunk=True)
        return whole.with_columns(
            _named(whole[column], words) for column, words in self.of_column.items() if column not in as_text
        )

    def _texts(self, frame: pl.DataFrame, columns: Collection[str]) -> list[pl.Series]:
        numbered = [column for column in columns if frame.schema[column] != pl.String]
        return [self.of_column[column].gather(frame[column]).alias(column) for column in numbered]


def _named(numbers: pl.Series, words: pl.Series) -> pl.Series:
    order = words.arg_sort()
    code = np.empty(len(words), dtype=np.uint32)
    code[order.to_numpy()] = np.arange(len(words), dtype=np.uint32)
    return pl.Series(numbers.name, code).gather(numbers).cat.to(pl.Enum(words.gather(order)))
