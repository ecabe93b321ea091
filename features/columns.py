"""Columns of a contract: found by name in a file, read into the contract's types."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from features.errors import BadData

UNREAD = "_unread"
"""Column `<name>_unread` holds the text that could not be read into column `<name>`, null where all is well."""

UTC_US = pl.Datetime("us", "UTC")
TEXT_TYPES = (pl.String, pl.Categorical, pl.Enum)
EXPECTED: Mapping[pl.DataType, str] = {
    pl.String(): "text or whole numbers",
    UTC_US: "timestamps with a time zone",
    pl.Float64(): "numbers",
    pl.Int32(): "whole numbers",
    pl.Boolean(): "true or false",
}

# ISO 8601 with the extended date, as databases and programs write it; "UTC" is what some of them write for "Z".
DATE_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-5][0-9](\.[0-9]+)?)?"
ZONED = rf"^{DATE_TIME} ?([Zz]|UTC|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$"
NAIVE = rf"^({DATE_TIME}|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})$"
OTHER_TIME_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")
FIRST_TIME, LAST_TIME = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def match_columns(path: Path, found: Sequence[str], known: Iterable[str], required: Iterable[str]) -> list[str]:
    """The known columns that `found` holds, in the contract's order.

    Raises BadData, naming every required column that is missing, with the near miss where there is one, every column
    that comes twice, and every one whose name is another spelling of a known name: ignoring `RecordedAt` would let the
    future in.
    """
    known, required = list(known), set(required)
    others = [name for name in dict.fromkeys(found) if name not in known]
    faults = [f"{path}: column '{name}' comes {found.count(name)} times" for name in known if found.count(name) > 1]
    faults += [
        f"{path}: {_near_miss(name, others) or 'found none'}, expected '{name}': name the column so"
        for name in known
        if name not in found and (name in required or any(_plain(name) == _plain(other) for other in others))
    ]
    if faults:
        raise BadData("bad_columns", faults)
    return [name for name in known if name in found]


def read_columns(path: Path, raw: pl.DataFrame, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The columns of `types`, read from those of `raw` that have their names; an absent one is all null.

    Text is read into the type wanted: an empty text is null; times are ISO 8601 with an offset, Z or UTC, with any
    digits of a second (cut to µs); numbers have a decimal point; booleans are true, false, 1 or 0. For each column that
    is no text comes `<name>_unread`: the text that could not be read, null elsewhere.

    Raises BadData, naming every column whose type in the file cannot be read into the type wanted.
    """
    found = [raw[name] if name in raw.columns else _nothing(name, pl.Null(), raw.height) for name in types]
    faults = [fault for column in found if (fault := _type_fault(path, column, types[column.name]))]
    if faults:
        raise BadData("bad_columns", faults)
    return pl.DataFrame([part for column in found for part in _read(column, types[column.name])])


def _near_miss(name: str, others: Sequence[str]) -> str | None:
    # Only names close to the contract's are repeated: without a header, the names are somebody's data.
    spellings = {_plain(other): other for other in others}
    near = difflib.get_close_matches(_plain(name), spellings, n=1, cutoff=0.75)
    return f"found '{spellings[near[0]]}'" if near else None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _type_fault(path: Path, column: pl.Series, wanted: pl.DataType) -> str | None:
    found = column.dtype
    if found == pl.Null or isinstance(found, TEXT_TYPES) or _fits(found, wanted):
        return None
    if wanted == UTC_US and isinstance(found, pl.Datetime | pl.Date):
        remedy = "give its times their zone before writing (in pandas: dt.tz_localize)"
        all_null = column.null_count() == len(column)
        return None if all_null else f"{path}: '{column.name}' has no time zone, expected {EXPECTED[wanted]}: {remedy}"
    return f"{path}: '{column.name}' is {found}, expected {EXPECTED[wanted]}"


def _fits(found: pl.DataType, wanted: pl.DataType) -> bool:
    if wanted == UTC_US:
        return isinstance(found, pl.Datetime) and found.time_zone is not None
    if wanted == pl.String():
        return found.is_integer()
    return found.is_numeric() or found == wanted


def _read(column: pl.Series, wanted: pl.DataType) -> list[pl.Series]:
    raw = _text(column) if isinstance(column.dtype, TEXT_TYPES) or wanted == pl.String() else column
    if wanted == pl.String():
        return [raw]
    typed = READERS[wanted](raw)
    return [typed, _unread(raw, typed).alias(column.name + UNREAD)]


def _unread(raw: pl.Series, typed: pl.Series) -> pl.Series:
    if typed.null_count() == raw.null_count():
        return _nothing("", pl.String(), len(raw))
    # A moment beyond the calendar cannot be written out: Polars ends the program.
    text = pl.repeat("out of range", len(raw), eager=True) if raw.dtype.is_temporal() else raw.cast(pl.String)
    return text.set(typed.is_not_null() | raw.is_null(), None)


def _nothing(name: str, kind: pl.DataType, rows: int) -> pl.Series:
    return pl.Series(name, dtype=kind).clear(rows)


def _text(column: pl.Series) -> pl.Series:
    text = column.cast(pl.String)
    return text.set(text == "", None)


def _times(raw: pl.Series) -> pl.Series:
    times = _times_from_text(raw) if raw.dtype == pl.String else _times_from_clock(raw)
    return times.set(~times.is_between(FIRST_TIME, LAST_TIME), None)


def _times_from_clock(raw: pl.Series) -> pl.Series:
    if isinstance(raw.dtype, pl.Datetime) and raw.dtype.time_zone is not None:
        return raw.cast(UTC_US, strict=False)
    return _nothing(raw.name, UTC_US, len(raw))  # _type_fault let only nulls pass


def _times_from_text(raw: pl.Series) -> pl.Series:
    stripped = raw.str.strip_chars()
    zoned = stripped.set(~stripped.str.contains(ZONED), None)
    times = _parse(zoned, "%+")
    if times.null_count() > zoned.null_count():
        canonical = zoned.str.replace("^(.{10})[Tt ]", "${1}T").str.replace(" ?UTC$", "Z")
        for form in OTHER_TIME_FORMATS:
            times = times.fill_null(_parse(canonical, form))
    return times


def _parse(text: pl.Series, form: str) -> pl.Series:
    return text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)


def _numbers(raw: pl.Series) -> pl.Series:
    return (raw.str.strip_chars() if raw.dtype == pl.String else raw).cast(pl.Float64, strict=False)


def _whole_numbers(raw: pl.Series) -> pl.Series:
    numbers = _numbers(raw)
    return numbers.set(numbers != numbers.round(), None).cast(pl.Int32, strict=False)


def _flags(raw: pl.Series) -> pl.Series:
    if raw.dtype == pl.String:
        raw = raw.str.strip_chars().str.to_lowercase().replace({"true": "1", "false": "0"})
    numbers = _numbers(raw)
    return numbers.set(~numbers.is_in([0.0, 1.0]), None).cast(pl.Boolean)


READERS: Mapping[pl.DataType, Callable[[pl.Series], pl.Series]] = {
    UTC_US: _times,
    pl.Float64(): _numbers,
    pl.Int32(): _whole_numbers,
    pl.Boolean(): _flags,
}
