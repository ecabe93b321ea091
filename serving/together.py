"""Quick questions scored together: those that come in one round of the event loop cost little more than one alone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

MOST_TOGETHER = 16  # a few milliseconds of work, so that a probe need not wait
# The first reads what other callers have sent by now, the second parses it.
_ROUNDS = 2

Scorer = TypeVar("Scorer")
Asked = TypeVar("Asked")
Row = TypeVar("Row")


class _Question(NamedTuple, Generic[Scorer, Asked, Row]):
    scorer: Scorer
    asked: Asked
    row: asyncio.Future[Row]


class Together(Generic[Scorer, Asked, Row]):
    """Answers each question by its scorer, one row each, with others that wait: nobody waits for more to come.

    `score(scorer, questions)` answers several. Where it fails, each question is answered alone, so that one caller's
    failure is no other's.
    """

    def __init__(self, score: Callable[[Scorer, Sequence[Asked]], Awaitable[list[Row]]]) -> None:
        self._score = score
        self._waiting: deque[_Question[Scorer, Asked, Row]] = deque()
        self._answering: asyncio.Task[None] | None = None

    async def ask(self, scorer: Scorer, asked: Asked) -> Row:
        """The row of one question. Raises what `score` raises for it."""
        row: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Question(scorer, asked, row))
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer())
        return await row

    async def _answer(self) -> None:
        try:
            while self._waiting:
                for _ in range(_ROUNDS):
                    await asyncio.sleep(0)
                await self._answer_all(self._next())
        finally:
            self._answering = None

    def _next(self) -> list[_Question[Scorer, Asked, Row]]:
        """Those who have waited longest and ask the same scorer: a new one may have come meanwhile."""
        together = [self._waiting.popleft()]
        while self._waiting and len(together) < MOST_TOGETHER and self._waiting[0].scorer is together[0].scorer:
            together.append(self._waiting.popleft())
        return together

    async def _answer_all(self, questions: list[_Question[Scorer, Asked, Row]]) -> None:
        questions = [question for question in questions if not question.row.done()]  # its caller may have left
        if not questions:
            return
        try:
            rows = await self._score(questions[0].scorer, [question.asked for question in questions])
        except Exception as error:
            if len(questions) > 1:
                for question in questions:
                    await self._answer_all([question])
            elif not questions[0].row.done():
                questions[0].row.set_exception(error)
            return
        for question, row in zip(questions, rows, strict=True):
            if not question.row.done():
                question.row.set_result(row)
