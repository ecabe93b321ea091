"""How a worker takes callers, and lets go of those who never ask."""

from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from serving import worker
from serving.connections import Board
from serving.worker import BalancedServer, Protocol


async def nobody(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def server(folder: Path) -> BalancedServer:
    config = uvicorn.Config(nobody, http=Protocol, log_config=None, lifespan="off", ws="none")
    config.load()
    return BalancedServer(config, Board(folder / "board", 1), 0)


async def until_closed(sent: bytes, board: Path) -> bytes:
    """What a caller reads who sends this and waits."""
    serving = server(board)
    serving.lifespan = serving.config.lifespan_class(serving.config)
    listening = await asyncio.get_running_loop().create_server(serving._protocol, "127.0.0.1", 0)
    async with listening:
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        writer.write(sent)
        read = await asyncio.wait_for(reader.read(), timeout=20)
        writer.close()
        return read


HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("sent", [b"", HEAD + b"X-Half: "])
def test_a_head_that_never_ends_is_not_waited_for(sent: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEAD_TIMEOUT_S", 0.1)
    assert asyncio.run(until_closed(sent, tmp_path)) == b""


def test_nor_is_the_next_one_of_a_caller_who_was_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEAD_TIMEOUT_S", 0.1)
    read = asyncio.run(until_closed(HEAD + b"\r\n" + HEAD, tmp_path))
    assert (read.count(b"HTTP/1.1 204"), read.count(b"HTTP/1.1")) == (1, 1)


def test_without_a_free_descriptor_callers_wait_and_it_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(worker, "LOOK_LATER_S", 0.2)

    async def refused_for_a_moment() -> int:
        looks = 0

        class Exhausted(socket.socket):
            def accept(self) -> Any:
                nonlocal looks
                looks += 1
                raise OSError(errno.EMFILE, "Too many open files")

        with Exhausted() as listening, socket.socket() as caller:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            listening.setblocking(False)
            server(tmp_path)._listen(listening)
            caller.connect(listening.getsockname())
            await asyncio.sleep(0.1)
            asyncio.get_running_loop().remove_reader(listening)
        return looks

    assert asyncio.run(refused_for_a_moment()) == 1
    assert capsys.readouterr().err == "callers wait: Too many open files\n"
