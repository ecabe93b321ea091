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
    numbers = WordNumbers(["channel"])

    assert numbers.number(FIRST)["channel"].to_list() == [0, 1, None]
    assert numbers.number(SECOND)["channel"].to_list() == [1, 2, 0]
    assert numbers.words().of_column["channel"].to_list() == ["web", "email", "ads"]


def test_two_lists_number_their_words_apart() -> None:
    WordNumbers(["channel"]).number(FIRST)

    assert WordNumbers(["channel"]).number(SECOND)["channel"].to_list() == [0, 1, 2]


words = st.lists(st.none() | st.text(max_size=3), max_size=20)


@given(st.lists(words, max_size=4))
def test_numbers_are_named_by_the_words_they_stood_for(frames: list[list[str | None]]) -> None:
    numbers = WordNumbers(["word"])
    written = [numbers.number(pl.DataFrame({"word": frame}, schema={"word": pl.String})) for frame in frames]
    kept = NumberedWords.from_frame(numbers.words().to_frame())

    for frame, numbered in zip(frames, written, strict=True):
        named = kept.name(numbered)["word"]
        assert named.to_list() == frame
        assert words_of(named).to_list() == sorted(words_of(named).to_list(), key=str.encode)
