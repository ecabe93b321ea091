"""One worker's process: the service behind uvicorn, on a socket that it shares with the other workers.

BentoML's own worker hands the socket to asyncio, which takes whoever waits there as soon as one process wakes: of eight
callers who connect at once and stay, one worker often got all (BentoML 1.4.39, uvicorn 0.54, Python 3.11; BentoML's
supervisor has no setting for it). Here a worker takes one caller at a time, and only while no other holds fewer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.answers import refusal_of_no_http
from serving.connections import Board, Counted

PATIENCE = 5  # times that a caller is left to the others; one of them may be busy
LOOK_AGAIN_S = 0.001
LOOK_LATER_S = 1.0
HEAD_TIMEOUT_S = 10.0


class BalancedServer(uvicorn.Server):
    """A uvicorn server that takes its connections one by one, in turn with the other workers."""

    def __init__(self, config: uvicorn.Config, board: Board, worker: int) -> None:
        super().__init__(config)
        self._connections = self.server_state.connections = Counted(board, worker)
        self._connections.show()
        self._left_to_others = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen on the `sockets`."""
        await super().startup(sockets=[])
        for listening in sockets or []:
            self._listen(listening)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nobody new, answer what has begun, and stop the application."""
        for listening in sockets or []:
            asyncio.get_running_loop().remove_reader(listening)
        await super().shutdown(sockets=sockets)

    def _listen(self, listening: socket.socket) -> None:
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(listening, self._look, listening)

    def _look(self, listening: socket.socket) -> None:
        """Somebody waits: take one, or leave them to a worker that holds fewer and look again a moment later."""
        loop = asyncio.get_running_loop()
        if self._left_to_others < PATIENCE and not self._connections.is_fewest:
            self._left_to_others += 1
            loop.remove_reader(listening)
            loop.call_later(LOOK_AGAIN_S, self._listen, listening)
            return
        self._left_to_others = 0
        try:
            caller, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):  # another worker was quicker; they left
            return
        except OSError as error:  # no descriptor is free: the caller waits, and would be told of again and again
            print(f"callers wait: {error.strerror}", file=sys.stderr)
            loop.remove_reader(listening)
            loop.call_later(LOOK_LATER_S, self._listen, listening)
            return
        self._connections.coming += 1
        self._connections.show()
        connecting = loop.create_task(self._connect(caller))
        self.server_state.tasks.add(connecting)
        connecting.add_done_callback(self.server_state.tasks.discard)

    async def _connect(self, caller: socket.socket) -> None:
        caller.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, caller)
        finally:
            self._connections.coming -= 1
            self._connections.show()

    def _protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


class Protocol(HttpToolsProtocol):
    """uvicorn's, but for what it answers in plain text, and for heads that never end.

    To what is no HTTP it says so in JSON as well. Who does not send a request's head in time is let go: uvicorn waits
    for it for ever, and enough of such callers take all descriptors.
    """

    _giving_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def on_message_begin(self) -> None:
        """Wait for the rest of the head."""
        super().on_message_begin()
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        """The head is there; the body has a time of its own."""
        self._wait_no_more()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the caller."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._giving_up is None:
            self._giving_up = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the signature is uvicorn's
        """Answer and close the connection."""
        self.transport.write(refusal_of_no_http())
        self.transport.close()


def run(app: ASGIApp, listening: socket.socket, board: Board, worker: int, shutdown_s: int) -> None:
    """Serve `app` until SIGTERM, or until the process that started this one is gone. Blocks."""
    config = uvicorn.Config(
        app,
        http=Protocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=shutdown_s,
        ws="none",
    )
    listening.setblocking(False)
    server = BalancedServer(config, board, worker)
    loop_factory = config.get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.get_loop().add_reader(sys.stdin.fileno(), _end_with_the_supervisor, runner.get_loop())
        runner.run(server.serve(sockets=[listening]))


def _end_with_the_supervisor(loop: asyncio.AbstractEventLoop) -> None:
    """Its end of this pipe is closed: it was killed, and nobody would ever stop this process."""
    loop.remove_reader(sys.stdin.fileno())
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """`python -m serving.worker FD BOARD WORKER WORKERS SHUTDOWN_S`, as `serving.workers` starts it."""
    descriptor, board, worker, workers, shutdown_s = sys.argv[1:]
    listening = socket.socket(fileno=int(descriptor))
    from serving.service import worker_app

    run(worker_app(int(worker)), listening, Board(Path(board), int(workers)), int(worker), int(shutdown_s))


if __name__ == "__main__":
    main()
