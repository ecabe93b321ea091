"""The page at `/`: what the service is, and a customer's answer as a picture. Nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

_PAGE = Path(__file__).with_name("page.html")


async def page(_: Request) -> Response:
    """Answer with the page; its policy lets its own script run, and no other."""
    content, policy = _page()
    return Response(content, headers={"Content-Security-Policy": policy}, media_type="text/html")


@cache
def _page() -> tuple[bytes, str]:
    content = _PAGE.read_bytes()
    script, style = (_source(content, tag) for tag in (b"script", b"style"))
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return content, policy


def _source(content: bytes, tag: bytes) -> str:
    found = re.findall(b"<%s>(.*?)</%s>" % (tag, tag), content, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(inline).digest()).decode() for inline in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
