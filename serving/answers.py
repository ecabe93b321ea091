"""How every answer looks: JSON, its headers, its request id, and the status of each refusal."""

from __future__ import annotations

import logging
import re
import traceback
import uuid
from collections.abc import Mapping

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.refusal import Refusal

logger = logging.getLogger("journeycast.endpoint")

_OTHERWISE = 422  # the request is well-formed, a field in it is not
_STATUS = {
    "malformed_json": 400,
    "duplicate_key": 400,
    "client_left": 400,
    "not_found": 404,
    "method_not_allowed": 405,
    "body_timeout": 408,
    "body_too_large": 413,
    "too_many_customers": 413,
    "too_many_touchpoints": 413,
    "unsupported_media_type": 415,
    "unsupported_encoding": 415,
    "internal_error": 500,
    "not_ready": 503,
    "deadline_exceeded": 504,
}
_SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with `content` as JSON."""
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


def refuse(request: Request, refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with the refusal and the request's id, under the status of its code."""
    error = refusal.as_error() | {"request_id": request.state.request_id}
    return answer(error, _STATUS.get(refusal.code, _OTHERWISE), headers)


class Sealed:
    """The outermost middleware: a request id for everyone, safe headers on everything, no exception let out.

    An exception is logged by its type and the lines it passed, because its message may hold what the customer said.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def send_sealed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(
                    {"X-Request-ID": request_id, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
                )
            await send(message)

        try:
            await self.app(scope, receive, send_sealed)
        except Exception as error:
            logger.error("request %s failed: %s", request_id, whereabouts(error))
            if not started:
                refusal = Refusal("internal_error", "Something went wrong here; the request may be sent again.")
                await refuse(Request(scope), refusal)(scope, receive, send_sealed)


def whereabouts(error: BaseException) -> str:
    """An exception's type and the last lines of code it passed, without its message."""
    passed = reversed(traceback.extract_tb(error.__traceback__)[-3:])
    return " < ".join([type(error).__name__, *(f"{line.name} ({line.filename}:{line.lineno})" for line in passed)])


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _SAFE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
