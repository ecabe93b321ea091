"""Who is let in: by an API key, by a signature, or anyone where neither is set up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import BadUsage
from serving.keys import caller_of, read_keys
from serving.limits import RateLimit
from serving.refusal import Refusal
from serving.settings import Settings
from serving.signatures import Signed, is_signed, read_secrets, signer_of

if TYPE_CHECKING:
    from starlette.requests import Request


class Gate:
    """Checks requests against the keys and secrets of the settings, and counts them against the rate limit.

    Raises BadUsage where a key or secret file cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._keys = read_keys("\n".join((settings.keys, _text(settings.key_file))))
        self._secrets = read_secrets(_text(settings.secret_file))
        self._public_url = settings.public_url
        self._rate = None if settings.rate_per_s is None else RateLimit(settings.rate_per_s, settings.rate_burst)

    @property
    def lets_anyone_in(self) -> bool:
        return not self._keys and not self._secrets

    def admit(self, request: Request) -> str | None:
        """The caller's name; None where only the body can show it, by `admit_signed`.

        Raises Refusal `no_key`, `wrong_key` or `rate_limited`.
        """
        if self.lets_anyone_in:
            return self._counted(request.client.host if request.client else "")
        key = _key(request)
        if key is None:
            if self._secrets and is_signed(request.headers):
                return None
            raise Refusal("no_key", "Send an API key, as Authorization: Bearer KEY or X-API-Key: KEY.")
        caller = caller_of(key, self._keys)
        if caller is None:
            raise Refusal("wrong_key", "This API key is not known here.")
        return self._counted(caller)

    def admit_signed(self, request: Request, body: bytes) -> str:
        """The name of whoever signed the request. Raises Refusal `wrong_signature` or `rate_limited`."""
        url = self._public_url.rstrip("/") + _target(request) if self._public_url else str(request.url)
        signed = Signed(request.method, url, request.headers, body)
        signer = signer_of(signed, self._secrets, time.time())
        if signer is None:
            raise Refusal("wrong_signature", "The signature is not that of this request and time by a known secret.")
        return self._counted(signer)

    def _counted(self, caller: str) -> str:
        if self._rate is not None:
            self._rate.spend(caller, time.monotonic())
        return caller


def _key(request: Request) -> str | None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return request.headers.get("x-api-key")


def _target(request: Request) -> str:
    """The path and query as they were sent."""
    path = request.scope.get("raw_path", request.url.path.encode()).decode("ascii", "replace")
    query = request.scope["query_string"].decode("ascii", "replace")
    return f"{path}?{query}" if query else path


def _text(file: Path | None) -> str:
    try:
        return "" if file is None else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise BadUsage("unreadable_keys", f"{file} cannot be read; it should hold keys or signing secrets") from None
