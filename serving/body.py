"""The body of a request: its type, its size, and the time it may take to come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request

from serving.refusal import Refusal


def require_json(request: Request) -> None:
    """Raise Refusal unless the body is said to be JSON in UTF-8, not encoded further."""
    media_type, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.strip().replace('"', "")
    if media_type.strip() != "application/json" or charset not in ("", "charset=utf-8"):
        raise Refusal("unsupported_media_type", "Send application/json, in UTF-8.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refusal("unsupported_encoding", "Send the body without a content encoding.")


async def read_body(request: Request, limit_bytes: int, timeout_s: float, take: Callable[[int], None]) -> bytes:
    """The whole body, its bytes counted as they come: a declared length may be missing or wrong.

    Each piece is first asked of `take`, which may refuse it. Raises Refusal `body_too_large` or `body_timeout`.
    """
    body = bytearray()
    if _declared_length(request) > limit_bytes:
        raise _too_large(limit_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                take(len(chunk))
                body += chunk
                if len(body) > limit_bytes:
                    raise _too_large(limit_bytes)
    except TimeoutError:
        raise Refusal("body_timeout", f"The body did not arrive within {timeout_s:g} s.") from None
    return bytes(body)


def _declared_length(request: Request) -> float:
    declared = request.headers.get("content-length", "")
    return float(declared) if declared.isdecimal() else 0


def _too_large(limit_bytes: int) -> Refusal:
    return Refusal("body_too_large", f"A body has at most {limit_bytes} bytes; ask for fewer customers at once.")
