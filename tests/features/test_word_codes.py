from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from features.word_codes import WordNumbers, word_codes, words_of

FIRST, SECOND = (pl.Series("channel", words) for words in (["web", "email", None], ["email", "ads", "web"]))


def test_codes_are_those_of_the_words_in_order() -> None:
    coded = word_codes(pl.Series(["web", "Zürich", None, "ads", "web"]))

    assert words_of(coded).to_list() == ["Zürich", "ads", "web"]
    assert coded.to_physical().to_list() == [2, 0, None, 1, 2]


def test_words_are_numbered_as_they_first_come_batch_after_batch() -> None:
    numbers = WordNumbers(["channel"], 9)

    assert list(numbers.number(FIRST)) == [0, 1, -1]
    assert list(numbers.number(SECOND)) == [1, 2, 0]
    assert numbers.words()["channel"].to_list() == ["web", "email", "ads"]


def test_two_lists_number_their_words_apart() -> None:
    WordNumbers(["channel"], 9).number(FIRST)

    assert list(WordNumbers(["channel"], 9).number(SECOND)) == [0, 1, 2]


def test_of_too_many_words_no_more_are_numbered() -> None:
    numbers = WordNumbers(["channel"], 2)

    assert [numbers.number(column) is None for column in (FIRST, SECOND, FIRST)] == [False, False, True]
    assert numbers.words()["channel"].to_list() == ["web", "email", "ads"]


@given(st.lists(st.lists(st.none() | st.text(max_size=3), max_size=20), min_size=1, max_size=4))
def test_numbers_are_those_of_the_words(columns: list[list[str | None]]) -> None:
    numbers = WordNumbers(["word"], 99)
    found = [numbers.number(pl.Series("word", column, pl.String)) for column in columns]
    words = [*numbers.words()["word"], None]

    assert [[words[number] for number in column] for column in found] == columns
