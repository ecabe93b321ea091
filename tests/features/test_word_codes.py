from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from features.word_codes import NumberedWords, WordNumbers, word_codes, words_of

FIRST = pl.DataFrame({"channel": ["web", "email", None], "value": [1.0, 2.0, 3.0]})
SECOND = pl.DataFrame({"channel": ["email", "ads", "web"], "value": [4.0, 5.0, 6.0]})


def test_codes_are_those_of_the_words_in_order() -> None:
    coded = word_codes(pl.Series(["web", "Zürich", None, "ads", "web"]))

    assert words_of(coded).to_list() == ["Zürich", "ads", "web"]
    assert coded.to_physical().to_list() == [2, 0, None, 1, 2]
    assert word_codes(coded) is coded


def test_words_are_numbered_as_they_first_come_frame_after_frame() -> None:
    numbers = WordNumbers(["channel"], 9)

    assert numbers.number(FIRST)["channel"].to_list() == [0, 1, None]
    assert numbers.number(SECOND)["channel"].to_list() == [1, 2, 0]
    assert numbers.words().of_column["channel"].to_list() == ["web", "email", "ads"]


def test_two_lists_number_their_words_apart() -> None:
    WordNumbers(["channel"], 9).number(FIRST)

    assert WordNumbers(["channel"], 9).number(SECOND)["channel"].to_list() == [0, 1, 2]


def test_a_column_with_too_many_words_stays_as_it_is_from_then_on() -> None:
    numbers = WordNumbers(["channel"], 2)

    written = [numbers.number(frame) for frame in (FIRST, SECOND, FIRST)]

    assert [frame["channel"].to_list() for frame in written] == [[0, 1, None], [1, 2, 0], ["web", "email", None]]
    assert numbers.words().name(written)["channel"].to_list() == [
        *FIRST["channel"],
        *SECOND["channel"],
        *FIRST["channel"],
    ]


words = st.lists(st.none() | st.text(max_size=3), max_size=20)


@given(st.lists(words, min_size=1, max_size=4), st.integers(0, 99))
def test_numbers_are_named_by_the_words_they_stood_for(frames: list[list[str | None]], most_words: int) -> None:
    numbers = WordNumbers(["word"], most_words)
    written = [numbers.number(pl.DataFrame({"word": frame}, schema={"word": pl.String})) for frame in frames]

    named = NumberedWords.from_frame(numbers.words().to_frame()).name(written)["word"]

    assert named.to_list() == [word for frame in frames for word in frame]
    assert words_of(word_codes(named)).to_list() == sorted(words_of(word_codes(named)), key=str.encode)
