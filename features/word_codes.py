"""Words as numbers: in the order of the words, for a column that is there as a whole, or as they first come."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from features.event_log import NEVER, Int32s


def word_codes(column: pl.Series) -> pl.Series:
    """The column as an Enum of its distinct words, sorted by their UTF-8 bytes, so that codes sort as the words do."""
    return column.cast(pl.Enum(column.unique().drop_nulls().sort()))


def words_of(coded: pl.Series) -> pl.Series:
    """The words that the codes of `word_codes` stand for, in order."""
    assert isinstance(coded.dtype, pl.Enum)
    return coded.dtype.categories


class WordNumbers:
    """Numbers each distinct word of some columns as it first comes, column after column of one name.

    Of a name with more than `most_words` no more are numbered: the words would take the memory that numbers save.
    """

    def __init__(self, names: Sequence[str], most_words: int) -> None:
        self._most_words = most_words
        self._kinds = {name: pl.Categorical(pl.Categories.random()) for name in names}
        self._held = [pl.Series(dtype=kind) for kind in self._kinds.values()]  # Polars forgets words that none holds
        self._with_many: set[str] = set()

    def number(self, column: pl.Series) -> Int32s | None:
        """The number of each word, -1 for null; None where there are too many by now."""
        if column.name in self._with_many:
            return None
        numbers = column.cast(self._kinds[column.name]).to_physical().cast(pl.Int32).fill_null(NEVER).to_numpy()
        if numbers.max(initial=NEVER) >= self._most_words:
            self._with_many.add(column.name)
        return numbers

    def words(self) -> dict[str, pl.Series]:
        """The words numbered so far, by their numbers."""
        return {name: kind.categories.to_series().alias(name) for name, kind in self._kinds.items()}
