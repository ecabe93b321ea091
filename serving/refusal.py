"""Why a request is not answered, in words that name the field and never repeat what was sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import msgspec

from features.errors import BadData


class Refusal(BadData):
    """One reason not to answer: a stable `code`, a `message` and, where there is one, the path of the `field` at fault.

    `retry_after_s` is given where the same request may be answered later. It knows nothing of HTTP: `serving.answers`
    alone gives each code its status.
    """

    def __init__(self, code: str, message: str, field: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(code, message)
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s

    def as_error(self) -> dict[str, str]:
        """The refusal as the wire carries it: `code`, `message` and, where there is one, `field`."""
        error = {"code": self.code, "message": self.message}
        return error if self.field is None else error | {"field": self.field}


# msgspec's words for a fault → our code and words. Its own are never passed on: some hold the value or the key sent.
_MEANINGS = (
    (r"Object missing required field `(\w+)`", "missing_field", "This field is required."),
    (r"Object contains unknown field", "unknown_field", "This object holds a key that is not in the contract."),
    (r"Expected `str` matching", "not_allowed", "This must be customer or company."),
    (r"Expected `datetime` with a timezone", "naive_time", "A time needs its zone, as in 2026-01-31T09:00:00Z."),
    (r"Invalid RFC3339", "bad_time", "A time is written as in 2026-01-31T09:00:00Z or 2026-01-31T10:00:00+01:00."),
    (r"Number out of range|Expected `float` [<>]=", "not_finite", "This must be a finite number."),
    (r"Expected `(?:str|array)` of length >=", "empty", "This must not be empty."),
    (r"Expected `([^`]+)`, got `([^`]+)`", "wrong_type", "Expected {0}, found {1}."),
    (r"", "not_in_contract", "This does not follow the contract."),
)
_JSON_WORDS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "datetime": "time"}


def explain(
    error: msgspec.ValidationError, sent: object, root: str, known_keys: Mapping[str, Sequence[str]]
) -> Refusal:
    """Put into our words what msgspec found wrong with `sent`, the JSON value at path `root` of the request.

    `known_keys` holds, by the name of the list or object (`""` for `sent` itself), the keys that an object there may
    have: for a key that comes close to one of them, that one is suggested.
    """
    words, _, tail = str(error).partition(" - at `$")
    path = tail.rstrip("`")
    field = f"{root}{path}".lstrip(".") or None
    found, code, message = next(
        (found, code, message) for pattern, code, message in _MEANINGS if (found := re.match(pattern, words))
    )
    if code == "missing_field":
        return Refusal(code, message, f"{root}{path}.{found[1]}".lstrip("."))
    if code == "unknown_field":
        message += _suggestion(_at(sent, path), known_keys[_name(path)])
    return Refusal(code, message.format(*map(_json_words, found.groups())), field)


def _suggestion(sent: Mapping[str, Any], known: Sequence[str]) -> str:
    unknown = next(key for key in sent if key not in known)
    near = get_close_matches(unknown[:64].lower(), [key for key in known if key not in sent], n=1)
    return f" Did you mean {near[0]}?" if near else ""


def _at(sent: Any, path: str) -> Any:
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        sent = sent[name] if name else sent[int(index)]
    return sent


def _name(path: str) -> str:
    return path.rpartition(".")[2].partition("[")[0]


def _json_words(types: str) -> str:
    return " or ".join(_JSON_WORDS.get(word, word) for word in types.split(" | "))
