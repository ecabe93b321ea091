"""How much is taken on: so many at once, so many a second. Beyond that the answer is quick, and says when to return."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serving.refusal import Refusal

MOST_CALLERS = 10_000  # whose recent requests are remembered


class Budget:
    """Something of which only so much may be in use: requests, or bytes of their bodies."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """A function that takes from the budget, or raises Refusal `overloaded`; all taken goes back at the end."""
        taken = 0

        def take(amount: int) -> None:
            nonlocal taken
            if self.used + amount > self.most:
                raise Refusal("overloaded", "Too much is being answered at once; send this again.", retry_after_s=1)
            self.used += amount
            taken += amount

        try:
            yield take
        finally:
            self.used -= taken


class RateLimit:
    """A token bucket for each caller: `per_s` requests a second in the long run, up to `burst` at once."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()  # by caller: tokens left, and when

    def spend(self, caller: str, now_s: float) -> None:
        """Take one token of the caller's. Raises Refusal `rate_limited` with the seconds until there is one."""
        left, at_s = self._tokens.pop(caller, (float(self._burst), now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_s)
        self._tokens[caller] = (left - 1 if left >= 1 else left, now_s)
        while len(self._tokens) > MOST_CALLERS:
            self._tokens.popitem(last=False)
        if left < 1:
            wait_s = (1 - left) / self._per_s
            raise Refusal("rate_limited", "Too many requests in a short time; send this later.", retry_after_s=wait_s)
