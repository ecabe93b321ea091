"""Signed requests, for callers that cannot send a key: Standard Webhooks, and HubSpot's signature v3.

Sources: standardwebhooks.com; HubSpot, "Validating requests".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from features.errors import BadUsage

TOLERANCE_S = 300  # between the caller's clock and ours; older requests may be replays
STANDARD, HUBSPOT = "standard-webhooks", "hubspot-v3"
_LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64})\s+(?P<scheme>standard-webhooks|hubspot-v3)\s+(?P<secret>\S+)")
_HUBSPOT_DECODES = re.compile(r"%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)


@dataclass(frozen=True)
class Secret:
    """A caller's secret, and how requests are signed with it."""

    name: str
    scheme: str
    secret: bytes


@dataclass(frozen=True)
class Signed:
    """What a signature covers. `url` is the public one, as the caller wrote it, without a fragment."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


def read_secrets(text: str) -> tuple[Secret, ...]:
    """Secrets from lines of `name scheme secret`. Raises BadUsage, naming the line and never what it holds."""
    secrets, faults = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        found = _LINE.fullmatch(words)
        secret = None if found is None else _secret_bytes(found["scheme"], found["secret"])
        if found is None or secret is None:
            faults.append(f"line {number} of the signing secrets is not: name, {STANDARD} or {HUBSPOT}, secret")
        else:
            secrets.append(Secret(found["name"], found["scheme"], secret))
    if faults:
        raise BadUsage("bad_secrets", faults)
    return tuple(secrets)


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether a request claims to be signed."""
    return "webhook-signature" in headers or "x-hubspot-signature-v3" in headers


def signer_of(request: Signed, secrets: tuple[Secret, ...], now_s: float) -> str | None:
    """The name of whoever signed the request within the last five minutes, None where nobody known did."""
    signer = None
    for secret in secrets:
        check = _is_standard if secret.scheme == STANDARD else _is_hubspot
        if check(request, secret.secret, now_s):
            signer = secret.name
    return signer


def _is_standard(request: Signed, secret: bytes, now_s: float) -> bool:
    sent_id, sent_at = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
    if not sent_id or not _is_recent(sent_at, 1, now_s):
        return False
    expected = _sign(secret, f"{sent_id}.{sent_at}.".encode("utf-8", "surrogateescape") + request.body)
    given = request.headers.get("webhook-signature", "").split(" ")
    return any([_equal(signature, f"v1,{expected}") for signature in given])


def _is_hubspot(request: Signed, secret: bytes, now_s: float) -> bool:
    sent_at = request.headers.get("x-hubspot-request-timestamp", "")
    if not _is_recent(sent_at, 1000, now_s):
        return False
    path, mark, query = request.url.partition("?")
    url = path + mark + _HUBSPOT_DECODES.sub(lambda found: unquote(found[0]), query)
    expected = _sign(secret, f"{request.method}{url}".encode() + request.body + sent_at.encode())
    return _equal(request.headers.get("x-hubspot-signature-v3", ""), expected)


def _is_recent(sent_at: str, units_a_second: int, now_s: float) -> bool:
    return re.fullmatch(r"[0-9]{1,15}", sent_at) is not None and (
        abs(now_s - int(sent_at) / units_a_second) <= TOLERANCE_S
    )


def _sign(secret: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode()


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def _secret_bytes(scheme: str, written: str) -> bytes | None:
    if scheme == HUBSPOT:
        return written.encode()
    try:
        secret = base64.b64decode(written.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return None
    return secret if len(secret) >= 24 else None
