from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from features.simulated_journeys import ADVOCATE, AWARE, CONSIDERING, CONVERTED, DORMANT
from features.simulated_messages import compose


def say(action: str, state: int, difficulty: float = 0.5, messages: int = 4000) -> pl.Series:
    states = np.full(messages, state)
    return compose(np.full(messages, action, dtype=object), states, difficulty, np.random.default_rng(5))


def share(messages: pl.Series, pattern: str) -> float:
    return float(messages.str.contains(pattern).mean())  # type: ignore[arg-type]


def test_same_generator_same_words() -> None:
    assert say("posted", AWARE).equals(say("posted", AWARE))


def test_no_slot_is_left_open() -> None:
    for action in ("posted", "asked", "complained", "reviewed", "replied"):
        assert share(say(action, CONSIDERING), r"[{}]") == 0.0


@pytest.mark.parametrize(
    ("state", "telling"),
    [
        (AWARE, "first time here|never heard of it|curious"),
        (CONSIDERING, "shortlist|still deciding|weighing it up"),
        (CONVERTED, "order of|second crate|came today"),
        (ADVOCATE, "recommend|gave .* my code|still in love"),
        (AWARE + DORMANT, "not now|too busy|for ages"),
    ],
)
def test_wording_depends_on_the_stage_in_part(state: int, telling: str) -> None:
    states = (AWARE, CONSIDERING, CONVERTED, ADVOCATE, AWARE + DORMANT)
    own = share(say("posted", state), telling)
    others = [share(say("posted", other), telling) for other in states if other != state]
    assert 0.1 < own < 0.4
    assert max(others) < own / 3


def test_the_harder_the_less_the_words_tell() -> None:
    shares = [share(say("posted", CONSIDERING, difficulty), "shortlist|deciding") for difficulty in (0.0, 0.5, 1.0)]
    assert shares[0] > shares[1] * 1.2 > shares[2] * 1.2**2


def test_some_messages_of_every_stage_are_in_other_languages_or_emoji() -> None:
    for stage in range(DORMANT):
        assert (
            0.05
            < share(say("posted", stage), "👍|😍|🍝|🤔|😂|👏|guten|danke|hola|gracias|merci|ciao|ありがとう")
            < 0.15
        )


def test_some_customers_misspell_and_the_company_never_does() -> None:
    misspelt = r"\b(dlivery|pckaging|alergens|rcipes|prtion|aswers|anoying|cashed|hndled)\b"
    assert 0.06 < share(say("complained", CONVERTED), misspelt) < 0.11
    assert share(say("replied", CONVERTED), misspelt) == 0.0


def test_the_same_words_come_back_only_now_and_then() -> None:
    messages = say("posted", CONSIDERING)
    assert messages.n_unique() > messages.len() / 2


def test_a_reply_tells_nothing_of_the_stage() -> None:
    assert say("replied", AWARE).equals(say("replied", ADVOCATE))
