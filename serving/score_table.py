"""Scores in a database table: the columns of a CSV file of scores, upserted by customer_id and as_of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from features.csv_file import csv_column_names
from features.postgresql import check_reachable, database_name, split_table, upsert_rows

KEY = ("customer_id", "as_of")
TYPES = {"as_of": "timestamptz", "reasons": "jsonb"}
NUMBERS = ("stage_", "conversion")
PIECE_BYTES = 1 << 20


def shown_address(address: str) -> str:
    """The address without user and password."""
    database, table = split_table(address)
    return f"{database_name(database)}#{table}"


def scores_file(address: str) -> Path:
    """Where the scores for this table are made ready, in the working folder; manifest and rejects stay beside it."""
    return Path(f"{split_table(address)[1]}.scores.csv")


def check_address(address: str) -> None:
    """Raise BadUsage where the address names no table, BadEnvironment where its database cannot be reached."""
    check_reachable(split_table(address)[0])


def check_table(address: str, columns: Sequence[str]) -> None:
    """Raise what `write_table` would raise for scores of these columns: before they are made."""
    database, table = split_table(address)
    upsert_rows(database, table, {name: _type(name) for name in columns}, KEY, [], rehearses=True)


def write_table(scores: Path, address: str) -> None:
    """Bring a CSV file of scores into the table that the address names, in one transaction.

    Sets of stages are text, joined by `|`; reasons are jsonb. A pair that is asked twice has one row. Raises what
    `upsert_rows` raises.
    """
    database, table = split_table(address)
    types = {name: _type(name) for name in csv_column_names(scores)}
    upsert_rows(database, table, types, KEY, _pieces(scores))


def _type(column: str) -> str:
    return TYPES.get(column, "double precision" if column.startswith(NUMBERS) else "text")


def _pieces(scores: Path) -> Iterator[bytes]:
    with scores.open("rb") as file:
        file.readline()  # the header
        while piece := file.read(PIECE_BYTES):
            yield piece
