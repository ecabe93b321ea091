"""`Idempotency-Key`: a request that is sent again, because its answer was lost, is answered as it was before."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from serving.refusal import Refusal

KEPT_S = 3600.0
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass
class _Kept:
    asked: bytes
    answer: bytes | None  # None while it is being made
    until_s: float


class Answered:
    """Answers by caller and key, for an hour or until `most_bytes` of younger ones have come."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    async def once(
        self, caller: str, key: str, asked: bytes, now_s: float, work: Callable[[], Awaitable[bytes]]
    ) -> tuple[bytes, bool]:
        """The answer of `work`, and whether it is an earlier one; `asked` is all that the answer depends on.

        What fails is not kept. Raises Refusal for a key that is none, was used for something else, or is in use.
        """
        if not _KEY.fullmatch(key):
            raise Refusal("bad_idempotency_key", "An Idempotency-Key has 1 to 255 visible ASCII characters.")
        self._forget(now_s)
        place, digest = (caller, key), hashlib.sha256(asked).digest()
        kept = self._kept.get(place)
        if kept is not None:
            return _earlier(kept, digest), True
        kept = self._kept[place] = _Kept(digest, None, now_s + KEPT_S)
        try:
            kept.answer = await work()
        except BaseException:
            del self._kept[place]
            raise
        self._bytes += len(kept.answer)
        answer = kept.answer
        self._forget(now_s)
        return answer, False

    def _forget(self, now_s: float) -> None:
        """Let go of what is old, and of the oldest while there is too much; what is being made stays."""
        for place, kept in list(self._kept.items()):
            if kept.until_s > now_s and self._bytes <= self._most_bytes:
                return
            if kept.answer is not None:
                self._bytes -= len(kept.answer)
                del self._kept[place]


def _earlier(kept: _Kept, asked: bytes) -> bytes:
    if kept.asked != asked:
        raise Refusal("idempotency_conflict", "This Idempotency-Key was used for another request.")
    if kept.answer is None:
        raise Refusal("in_progress", "The request with this Idempotency-Key is being answered.", retry_after_s=1)
    return kept.answer
