"""Spellings that touchpoint files may use, put into those of the wire: equal rows must give equal scores either way.

As in `features.touchpoints`: an empty text is null, an actor that is not given is the customer, a time may leave out
its seconds or the minutes of its offset, may say UTC for Z, and is cut to microseconds.
"""

from __future__ import annotations

import re
from typing import Any

from serving.schemas import Touchpoint

_OPTIONAL = Touchpoint.__struct_fields__[-len(Touchpoint.__struct_defaults__) :]
_FINER_THAN_US = re.compile(rb"\.[0-9]{7}")
_TIME = re.compile(
    r"\s*([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2})(?:(:[0-9]{2})(?:(\.[0-9]{1,6})[0-9]*)?)?"
    r"(?: ?([Zz]|UTC|[+-][0-9]{2}(?::?[0-9]{2})?))?\s*"
)


def needs_respelling(body: bytes) -> bool:
    """Whether a request may hold what msgspec reads without complaint, but otherwise than files are read."""
    return b'""' in body or _FINER_THAN_US.search(body) is not None


def respell_history(sent: Any) -> Any:
    """A history's JSON value in the wire's spellings; what is none stays as it is, for the check to refuse."""
    if not isinstance(sent, dict) or not isinstance(sent.get("touchpoints"), list):
        return sent
    return sent | {"touchpoints": [_respell_touchpoint(touchpoint) for touchpoint in sent["touchpoints"]]}


def respell_as_of(sent: Any) -> Any:
    """A score request's JSON value with its `as_of` in the wire's spelling."""
    return sent | {"as_of": _respell_time(sent["as_of"])} if isinstance(sent, dict) and "as_of" in sent else sent


def _respell_touchpoint(sent: Any) -> Any:
    if not isinstance(sent, dict):
        return sent
    respelled = {name: None if value == "" and name in _OPTIONAL else value for name, value in sent.items()}
    if respelled.get("actor", "") is None:
        del respelled["actor"]
    for name in ("occurred_at", "recorded_at"):
        if name in respelled:
            respelled[name] = _respell_time(respelled[name])
    return respelled


def _respell_time(sent: Any) -> Any:
    found = _TIME.fullmatch(sent) if isinstance(sent, str) else None
    if found is None:
        return sent
    date, minutes, seconds, fraction, offset = found.groups()
    clock = f"{date}T{minutes}{seconds or ':00'}{fraction or ''}"
    if offset is None:
        return clock  # for the check to say that the zone is missing
    if offset in ("Z", "z", "UTC"):
        return clock + "Z"
    return f"{clock}{offset[:3]}:{offset[3:].removeprefix(':') or '00'}"
