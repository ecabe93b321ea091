"""API keys: who may call. Only their SHA-256 is kept; they are random and long, so no slower hash is needed."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping

from features.errors import BadUsage

PREFIX = "jc_"
_ENTRY = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-f]{64})")

Keys = Mapping[str, bytes]  # each caller's name -> the SHA-256 of the key; several names may be one system's


def make_key() -> str:
    """A new key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def entry(name: str, key: str) -> str:
    """What is written down of a key: `name:sha256`. Raises BadUsage for a name that is none."""
    line = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
    if not _ENTRY.fullmatch(line):
        raise BadUsage("bad_key_name", "a key's name has 1 to 64 letters, digits, dots, hyphens and underscores")
    return line


def read_keys(text: str) -> Keys:
    """Keys from entries on lines, or between commas; empty ones and those after # are left out.

    Raises BadUsage, naming the place and never the entry.
    """
    lines = [line.partition("#")[0] for line in text.splitlines()]
    entries = [item.strip() for line in lines for item in line.split(",") if item.strip()]
    found = [_ENTRY.fullmatch(item) for item in entries]
    faults = [
        f"entry {place} of the keys is not name:sha256; `journeycast make-key NAME` makes one"
        for place, item in enumerate(found, 1)
        if item is None
    ]
    names = [item[1] for item in found if item]
    if len(set(names)) < len(names):
        faults.append("two keys have one name; give each its own, so that one can be withdrawn")
    if faults:
        raise BadUsage("bad_keys", faults)
    return {item[1]: bytes.fromhex(item[2]) for item in found if item}


def caller_of(key: str, keys: Keys) -> str | None:
    """The name of whoever holds this key. Takes the same time wherever it stands in the list, or if it does not."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
    holder = None
    for name, known in keys.items():
        if hmac.compare_digest(digest, known):
            holder = name
    return holder
