import asyncio
from collections.abc import Awaitable, Callable

import pytest

from serving.idempotency import KEPT_S, Answered
from serving.refusal import Refusal


def once(
    answered: Answered, key: str = "k", asked: bytes = b"a", now_s: float = 0.0, caller: str = "crm", size: int = 1
):
    made: list[int] = []

    async def work() -> bytes:
        made.append(1)
        return b"x" * size

    answer, earlier = asyncio.run(answered.once(caller, key, asked, now_s, work))
    assert earlier is not bool(made)
    return answer, earlier


def test_the_same_request_is_answered_once_for_each_caller_and_key() -> None:
    answered = Answered(1_000)
    assert [once(answered), once(answered), once(answered, key="l"), once(answered, caller="other")] == [
        (b"x", False), (b"x", True), (b"x", False), (b"x", False),
    ]  # fmt: skip


def test_another_request_under_the_same_key_is_refused() -> None:
    answered = Answered(1_000)
    once(answered)
    with pytest.raises(Refusal) as caught:
        once(answered, asked=b"b")
    assert caught.value.code == "idempotency_conflict"


def test_answers_are_kept_for_an_hour_and_within_the_bytes() -> None:
    answered = Answered(100)
    once(answered, size=60)
    assert once(answered, now_s=KEPT_S - 1, size=60)[1]
    assert not once(answered, now_s=KEPT_S, size=60)[1]
    once(answered, key="l", now_s=KEPT_S, size=60)  # pushes the first out
    assert once(answered, key="l", now_s=KEPT_S, size=60)[1]
    assert not once(answered, now_s=KEPT_S, size=60)[1]
    assert answered._bytes == 60


def test_what_fails_is_not_kept() -> None:
    answered = Answered(100)

    async def fail() -> bytes:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        asyncio.run(answered.once("crm", "k", b"a", 0.0, fail))
    assert not once(answered)[1]


def test_a_request_that_is_being_answered_is_not_begun_again() -> None:
    answered = Answered(100)

    async def again(work: Callable[[], Awaitable[bytes]]) -> None:
        await answered.once("crm", "k", b"a", 0.0, work)

    async def both() -> None:
        release = asyncio.Event()

        async def slow() -> bytes:
            await release.wait()
            return b"x"

        first = asyncio.create_task(again(slow))
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as caught:
            await again(slow)
        assert (caught.value.code, caught.value.retry_after_s) == ("in_progress", 1)
        release.set()
        await first

    asyncio.run(both())


@pytest.mark.parametrize("key", ["", "a b", "ä", "a" * 256, "\n"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(Refusal) as caught:
        once(Answered(100), key=key)
    assert caught.value.code == "bad_idempotency_key"
