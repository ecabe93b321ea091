import asyncio
import logging

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from features.errors import whereabouts
from serving.answers import Sealed


async def greet(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("hello")(scope, receive, send)


async def fail(*_: object) -> None:
    raise ValueError("CANARY")


async def fail_late(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ValueError("CANARY")


def test_every_answer_has_safe_headers() -> None:
    response = TestClient(Sealed(greet)).get("/")
    assert (response.text, response.headers["cache-control"]) == ("hello", "no-store")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "connection" not in response.headers


def test_the_last_answers_before_the_end_close_their_connections() -> None:
    assert TestClient(Sealed(greet, closing=lambda: True)).get("/").headers["connection"] == "close"


@pytest.mark.parametrize("request_id", ["a", "01J8-req_7.x", "a" * 64])
def test_a_safe_request_id_is_kept(request_id: str) -> None:
    response = TestClient(Sealed(greet)).get("/", headers={"X-Request-ID": request_id})
    assert response.headers["x-request-id"] == request_id


@pytest.mark.parametrize("request_id", ["", "a" * 65, "a b", "a\tb", "ä", "<script>", "a;b"])
def test_any_other_request_id_is_replaced(request_id: str) -> None:
    response = TestClient(Sealed(greet)).get("/", headers={"X-Request-ID": request_id.encode()})
    assert len(response.headers["x-request-id"]) == 32
    assert response.headers["x-request-id"].isalnum()


def test_an_exception_becomes_an_answer_and_a_line_in_the_log_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    response = TestClient(Sealed(fail)).get("/", headers={"X-Request-ID": "r1"})
    assert (response.status_code, response.json()) == (
        500,
        {
            "code": "internal_error",
            "message": "Something went wrong here; the request may be sent again.",
            "request_id": "r1",
        },
    )
    assert caplog.messages[0].startswith("request r1 failed: ValueError < fail (")
    assert "CANARY" not in caplog.text


def test_an_exception_after_the_start_of_an_answer_is_logged_only(caplog: pytest.LogCaptureFixture) -> None:
    sent = []

    async def collect(message: dict[str, object]) -> None:
        sent.append(message["type"])

    asyncio.run(Sealed(fail_late)({"type": "http", "headers": []}, None, collect))
    assert sent == ["http.response.start"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_what_is_not_http_passes_unchanged() -> None:
    async def note(scope: Scope, *_: object) -> None:
        scope["passed"] = True

    scope = {"type": "lifespan"}
    asyncio.run(Sealed(note)(scope, None, None))
    assert scope == {"type": "lifespan", "passed": True}


def test_whereabouts_names_the_type_and_the_line_but_not_the_message() -> None:
    try:
        raise KeyError("CANARY")
    except KeyError as error:
        told = whereabouts(error)
    assert told.startswith("KeyError < test_whereabouts_names_the_type_and_the_line_but_not_the_message (")
    assert "CANARY" not in told
