import asyncio
import signal
import threading
from types import FrameType

from serving.drain import drain_on_sigterm


def signals(times: int, grace_s: float, wait_s: float) -> list[str]:
    """What happens, in order, when SIGTERM comes so many times."""
    happened: list[str] = []

    def server_ends(_: int, __: FrameType | None) -> None:
        happened.append("end")

    async def serve() -> None:
        with drain_on_sigterm(lambda: happened.append("begin"), grace_s):
            for _ in range(times):
                signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(wait_s)

    before = signal.signal(signal.SIGTERM, server_ends)
    try:
        asyncio.run(serve())
        assert signal.getsignal(signal.SIGTERM) is server_ends
    finally:
        signal.signal(signal.SIGTERM, before)
    return happened


def test_the_server_ends_after_the_grace() -> None:
    assert signals(1, grace_s=60, wait_s=0.05) == ["begin"]
    assert signals(1, grace_s=0.01, wait_s=0.1) == ["begin", "end"]


def test_a_second_signal_ends_the_grace() -> None:
    assert signals(2, grace_s=60, wait_s=0.01) == ["begin", "end"]


def test_outside_the_main_thread_nothing_happens() -> None:
    happened: list[str] = []

    async def serve() -> None:
        with drain_on_sigterm(lambda: happened.append("begin"), 0.01):
            happened.append("served")

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    thread.join()
    assert happened == ["served"]
