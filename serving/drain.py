"""Stopping without losing a request: first nobody new is sent here, then what has begun is answered, then the end."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def drain_on_sigterm(begin: Callable[[], None], grace_s: float) -> Iterator[None]:
    """Call `begin` at SIGTERM, and hand the signal on to the server `grace_s` seconds later.

    A server that stops listening at once resets whoever connects before its load balancer has noticed. For `grace_s` it
    answers everybody, and its readiness probe says no. A second SIGTERM ends the grace. Needs a running event loop;
    outside the main thread, where no signal arrives, it does nothing.
    """
    end = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(end):
        yield
        return
    loop = asyncio.get_running_loop()
    begun = False

    def drain(number: int, frame: FrameType | None) -> None:
        nonlocal begun
        if begun:
            end(number, frame)
            return
        begun = True
        begin()
        loop.call_soon_threadsafe(loop.call_later, grace_s, end, number, None)

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, end)
