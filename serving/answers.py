"""How every answer looks: JSON, its headers, its request id, and the status of each refusal."""

from __future__ import annotations

import logging
import math
import re
import uuid
from collections.abc import Callable, Mapping

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from features.errors import whereabouts
from serving.refusal import Refusal

logger = logging.getLogger("journeycast.endpoint")

_OTHERWISE = 422  # the request is well-formed, a field in it is not
_STATUS = {
    "malformed_json": 400,
    "duplicate_key": 400,
    "client_left": 400,
    "no_key": 401,
    "wrong_key": 401,
    "wrong_signature": 401,
    "not_found": 404,
    "method_not_allowed": 405,
    "body_timeout": 408,
    "in_progress": 409,
    "body_too_large": 413,
    "too_many_customers": 413,
    "too_many_touchpoints": 413,
    "unsupported_media_type": 415,
    "unsupported_encoding": 415,
    "rate_limited": 429,
    "internal_error": 500,
    "not_ready": 503,
    "draining": 503,
    "overloaded": 503,
    "deadline_exceeded": 504,
}
_SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


_SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NO_CONTENT = "default-src 'none'; frame-ancestors 'none'"  # for an answer that is no page


def answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with `content` as JSON."""
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


def refuse(request: Request, refusal: Refusal, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with the refusal and the request's id, under the status of its code."""
    error = refusal.as_error() | {"request_id": request.state.request_id}
    status = _STATUS.get(refusal.code, _OTHERWISE)
    more = dict(headers or {})
    if status == 401:
        more["WWW-Authenticate"] = "Bearer"
    if refusal.retry_after_s is not None:
        more["Retry-After"] = _retry_after(request, refusal.retry_after_s)
    return answer(error, status, more)


def refusal_of_no_http() -> bytes:
    """The whole answer to what is no HTTP request, after which the connection ends."""
    refusal = Refusal("malformed_http", "This is no HTTP/1.1 request, or one of a method that there is not.")
    content = msgspec.json.encode(refusal.as_error() | {"request_id": uuid.uuid4().hex})
    headers = _SAFE_HEADERS | {
        "Content-Security-Policy": _NO_CONTENT,
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Connection": "close",
    }
    head = ["HTTP/1.1 400 Bad Request", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*head, "", ""]).encode("ascii") + content


def _retry_after(request: Request, seconds: float) -> str:
    """Whole seconds (RFC 9110), but milliseconds for HubSpot, whose workflows read it so."""
    in_ms = "x-hubspot-signature-v3" in request.headers
    return str(max(1, math.ceil(seconds * (1000 if in_ms else 1))))


class Sealed:
    """The outermost middleware: a request id for everyone, safe headers on everything, no exception let out.

    An exception is logged by its type and the lines it passed, because its message may hold what the customer said.
    While `closing` says so, each answer is the last of its connection, so that callers go elsewhere.
    """

    def __init__(self, app: ASGIApp, closing: Callable[[], bool] = lambda: False) -> None:
        self.app = app
        self.closing = closing

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
                headers = MutableHeaders(scope=message)
                headers.update({"X-Request-ID": request_id, **_SAFE_HEADERS})
                headers.setdefault("Content-Security-Policy", _NO_CONTENT)
                if self.closing():
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self.app(scope, receive, send_sealed)
        except Exception as error:
            logger.error("request %s failed: %s", request_id, whereabouts(error))
            if not started:
                refusal = Refusal("internal_error", "Something went wrong here; the request may be sent again.")
                await refuse(Request(scope), refusal)(scope, receive, send_sealed)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _SAFE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
