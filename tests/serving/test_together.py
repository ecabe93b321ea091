"""Quick questions are scored together, and each caller gets the answer to its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from serving.together import MOST_TOGETHER, Together


class Doubling:
    """Answers 2 n for n, slowly where told so; cannot answer 13. Notes what it is asked."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.asked: list[tuple[str, list[int]]] = []
        self._takes_s = takes_s

    async def score(self, scorer: str, numbers: Sequence[int]) -> list[int]:
        self.asked.append((scorer, list(numbers)))
        if self._takes_s:
            await asyncio.sleep(self._takes_s)
        if 13 in numbers:
            raise ArithmeticError("thirteen")
        return [2 * number for number in numbers]


def test_what_is_asked_in_one_round_is_scored_in_one_call() -> None:
    doubling = Doubling()

    async def ask() -> list[int]:
        together = Together(doubling.score)
        return await asyncio.gather(*(together.ask("v1", number) for number in (3, 1, 2)))

    assert asyncio.run(ask()) == [6, 2, 4]
    assert doubling.asked == [("v1", [3, 1, 2])]


def test_one_alone_waits_for_nobody() -> None:
    doubling = Doubling()

    async def ask() -> list[int]:
        together = Together(doubling.score)
        return [await together.ask("v1", number) for number in (1, 2)]

    assert asyncio.run(ask()) == [2, 4]
    assert doubling.asked == [("v1", [1]), ("v1", [2])]


def test_what_comes_while_others_are_scored_is_next() -> None:
    doubling = Doubling(takes_s=0.05)

    async def ask() -> list[int]:
        together = Together(doubling.score)
        first = asyncio.create_task(together.ask("v1", 1))
        await asyncio.sleep(0.02)
        return await asyncio.gather(first, together.ask("v1", 2), together.ask("v1", 3))

    assert asyncio.run(ask()) == [2, 4, 6]
    assert doubling.asked == [("v1", [1]), ("v1", [2, 3])]


def test_each_question_is_answered_by_the_scorer_that_it_was_asked_of() -> None:
    doubling = Doubling()

    async def ask() -> list[int]:
        together = Together(doubling.score)
        questions = [("old", 1), ("old", 2), ("new", 3), ("old", 4)]
        return await asyncio.gather(*(together.ask(*question) for question in questions))

    assert asyncio.run(ask()) == [2, 4, 6, 8]
    assert doubling.asked == [("old", [1, 2]), ("new", [3]), ("old", [4])]


def test_no_more_than_so_many_at_once() -> None:
    doubling = Doubling()

    async def ask() -> list[int]:
        together = Together(doubling.score)
        return await asyncio.gather(*(together.ask("v1", number + 100) for number in range(MOST_TOGETHER + 1)))

    assert asyncio.run(ask()) == [2 * (number + 100) for number in range(MOST_TOGETHER + 1)]
    assert [len(numbers) for _, numbers in doubling.asked] == [MOST_TOGETHER, 1]


def test_the_failure_of_one_is_no_others() -> None:
    doubling = Doubling()

    async def ask() -> list[int | BaseException]:
        together = Together(doubling.score)
        failing = await asyncio.gather(*(together.ask("v1", number) for number in (1, 13, 2)), return_exceptions=True)
        return [*failing, await together.ask("v1", 5)]

    one, failed, two, later = asyncio.run(ask())
    assert (one, two, later) == (2, 4, 10)
    assert isinstance(failed, ArithmeticError)


def test_who_has_left_is_not_scored() -> None:
    doubling = Doubling()

    async def ask() -> int:
        together = Together(doubling.score)
        leaving, staying = (asyncio.create_task(together.ask("v1", number)) for number in (1, 2))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await staying

    assert asyncio.run(ask()) == 4
    assert doubling.asked == [("v1", [2])]


def test_who_leaves_while_scored_disturbs_nobody() -> None:
    doubling = Doubling(takes_s=0.05)

    async def ask() -> int:
        together = Together(doubling.score)
        leaving, staying = (asyncio.create_task(together.ask("v1", number)) for number in (1, 2))
        await asyncio.sleep(0.02)
        leaving.cancel()
        return await staying

    assert asyncio.run(ask()) == 4
    assert doubling.asked == [("v1", [1, 2])]
