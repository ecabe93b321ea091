"""TOML files: read, checked for their form with every fault in plain words, and written to read back alike."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from features.errors import BadUsage

LONGEST_SHOWN = 40

Location = tuple[int | str, ...]
Place = Callable[[Location], str]
Keys = Mapping[tuple[str, ...], Sequence[str]]


def read_toml(path: Path, missing: BadUsage, code: str) -> dict[str, Any]:
    """The file's tables as plain values. Raises `missing` where there is no such file.

    Raises BadUsage with `code` where it cannot be read, is not UTF-8 or no TOML.
    """
    try:
        if not path.is_file():
            raise missing
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise BadUsage(code, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadUsage(code, f"is not UTF-8 text (at line {line}); save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadUsage(code, f"is not valid TOML: {error}") from None


def toml_text(tables: Mapping[str, Mapping[str, Any]], top: Mapping[str, Any] | None = None) -> str:
    """Tables of plain values as TOML, after the values of `top`, which are in no table; each value on one line.

    A value that is None is left out: TOML has none.
    """
    parts = [_lines(top or {}), *(f"[{_key(name)}]\n{_lines(table)}" for name, table in tables.items())]
    return "\n".join(part for part in parts if part)


def plain_faults(error: ValidationError, keys: Keys, place: Place) -> list[str]:
    """Say each of pydantic's errors in plain words; an unknown key names its near miss.

    `keys` lists the known keys of each section of the file, by location without list positions; `place` names a
    location.
    """
    details = error.errors(include_url=False)
    meant = {_near_miss(detail["loc"], keys) for detail in details if detail["type"] == "extra_forbidden"}
    told = [detail for detail in details if detail["type"] != "missing" or detail["loc"] not in meant]
    return [fault for detail in told for fault in _words(detail, keys, place)]


def suggestion(found: str, known: Sequence[str]) -> str:
    """The near miss of a name among the known ones, or the known ones where none is near."""
    near = get_close_matches(found, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"expected one of {listed(known)}"


def located(location: Location, faults: Iterable[str], place: Place) -> Iterator[str]:
    """The faults, each after the place where it was found."""
    before = f"{place(location)}: " if location else ""
    return (f"{before}{fault}" for fault in faults)


def shown(found: object) -> str:
    """A value as far as an error may repeat it."""
    match found:
        case dict():
            return "a table"
        case list() | tuple():
            return f"a list of {len(found)}"
        case bool():
            return str(found).lower()
        case str():
            return repr(found[:LONGEST_SHOWN])
        case _:
            return str(found)[:LONGEST_SHOWN]


def listed(names: Sequence[str]) -> str:
    """Names in quotes, with commas."""
    return ", ".join(f"'{name}'" for name in names)


def _near_miss(location: Location, keys: Keys) -> Location:
    near = get_close_matches(str(location[-1]), _known_keys(location, keys), n=1)
    return (*location[:-1], *near)


def _known_keys(location: Location, keys: Keys) -> Sequence[str]:
    return keys[tuple(part for part in location[:-1] if isinstance(part, str))]


def _words(detail: ErrorDetails, keys: Keys, place: Place) -> list[str]:
    location, kind = detail["loc"], detail["type"]
    if kind == "extra_forbidden":
        key = str(location[-1])
        return [f"unknown key '{key}' in {place(location[:-1])}; {suggestion(key, _known_keys(location, keys))}"]
    if kind == "missing":
        return [f"{place(location[:-1])} lacks the key '{location[-1]}'; add it"]
    if kind == "value_error":
        return [*located(location, str(detail["ctx"]["error"]).split("\n"), place)]
    return [f"{place(location)}: expected {_expected(detail)}, found {shown(detail['input'])}"]


def _expected(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "string_type" | "string_too_short":
            return "a text that is not empty"
        case "int_type":
            return "a whole number"
        case "float_type":
            return "a number"
        case "timezone_aware" | "datetime_type":
            return "a time with its zone"
        case "bool_type":
            return "true or false"
        case "tuple_type":
            return "a list"
        case "too_short":
            return "at least one entry: nothing can match an empty list"
        case "too_long":
            return f"at most {detail['ctx']['max_length']} entries"
        case "model_type" | "model_attributes_type":
            return "a name, or a table of 'name' and 'examples'" if detail["loc"][0] == "stages" else "a table"
        case "greater_than_equal":
            return f"{detail['ctx']['ge']} or more"
        case "less_than_equal":
            return f"{detail['ctx']['le']} or less"
        case _:
            return detail["msg"].removeprefix("Input should be ")


def _lines(values: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in values.items() if value is not None)


def _key(name: str) -> str:
    is_bare = name.isascii() and all(letter.isalnum() or letter in "_-" for letter in name)
    return name if is_bare and name else _text(name)


def _value(value: object) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{_key(key)} = {_value(entry)}" for key, entry in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat()
        case str():
            return _text(value)
        case _:
            return repr(value)


def _text(text: str) -> str:
    # JSON's strings are TOML's but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
