"""PostgreSQL: the rows of a query as a CSV file, and CSV rows into a table. The only `import psycopg`.

Rows travel by COPY, which streams in both directions, so that neither side holds them. Nothing that is said here
repeats an address, which may hold a password, or a value, which may be a customer's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from features.errors import BadData, BadEnvironment, BadUsage

SCHEMES = ("postgresql", "postgres")
# Times with their offset and numbers to the last bit, whatever the server's own habits are.
HABITS = "SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET extra_float_digits = 1; SET client_encoding = 'UTF8'"
# Classes of SQLSTATE
STATEMENT_CLASSES = ("0A", "25", "3F", "42")  # what the statement asks for: unknown, not allowed, not possible
DATA_CLASSES = ("22", "23")


def is_address(source: str) -> bool:
    """Whether this is the address of a PostgreSQL database, postgresql://…"""
    return source.startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def split_table(address: str) -> tuple[str, str]:
    """The database's address and the table, from `postgresql://…/database#table`; the table may be `schema.table`.

    Raises BadUsage where no table is named.
    """
    database, _, table = address.partition("#")
    if not all(table.split(".")) or table.count(".") > 1:
        raise BadUsage("no_table", "the database's address names no table; add #table or #schema.table at its end")
    return database, table


def database_name(address: str) -> str:
    """What may be said of an address: host, port and database, never user or password."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def check_reachable(address: str) -> None:
    """Raise BadEnvironment where the database cannot be reached, which a long work should know before it begins."""
    with _connected(address):
        pass


def fetch_query(address: str, query: str, path: Path) -> None:
    """Write the rows of a SELECT to a CSV file, with a header, in one read-only transaction.

    Raises BadUsage for a query the database refuses, BadEnvironment where it cannot be reached or fails.
    """
    copy_out = sql.SQL("COPY ({}\n) TO STDOUT (FORMAT csv, HEADER)").format(_given(query.rstrip("; \n\t")))
    with _connected(address) as connection, path.open("wb") as file:
        path.chmod(0o600)
        connection.read_only = True
        with connection.cursor() as cursor:
            cursor.execute(HABITS)
            with cursor.copy(copy_out) as rows:
                for some in rows:
                    file.write(some)


def upsert_rows(
    address: str,
    table: str,
    types: Mapping[str, str],
    key: Sequence[str],
    csv_parts: Iterable[bytes],
    rehearses: bool = False,
) -> None:
    """Insert CSV rows (no header, columns as in `types`), or update where the key is there: all in one transaction.

    `types` are SQL types by column. A table that is not there is made, with the key as its primary key. Of rows with
    one key in the input one counts. A rehearsal does it all and takes it back. Raises BadUsage for a table that does
    not fit, BadEnvironment as `fetch_query`.
    """
    into = sql.Identifier(*table.split("."))
    definitions = sql.SQL(", ").join(sql.SQL("{} {}").format(sql.Identifier(n), _given(t)) for n, t in types.items())
    columns, keys = _names(types), _names(key)
    updates = sql.SQL(", ").join(
        sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in types if name not in key
    )
    with _connected(address) as connection, connection.cursor() as cursor:
        cursor.execute(HABITS)
        cursor.execute("SET client_min_messages = warning")
        cursor.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))").format(into, definitions, keys))
        cursor.execute(sql.SQL("CREATE TEMPORARY TABLE incoming ({}) ON COMMIT DROP").format(definitions))
        with cursor.copy(sql.SQL("COPY incoming FROM STDIN (FORMAT csv)")) as rows:
            for part in csv_parts:
                rows.write(part)
        # By key, so that two runs that write the same customers lock them in one order.
        cursor.execute(
            sql.SQL(
                "INSERT INTO {} ({columns}) SELECT DISTINCT ON ({keys}) {columns} FROM incoming ORDER BY {keys}"
                " ON CONFLICT ({keys}) DO UPDATE SET {updates}"
            ).format(into, columns=columns, keys=keys, updates=updates)
        )
        if rehearses:
            connection.rollback()


@contextmanager
def _connected(address: str) -> Iterator[psycopg.Connection]:
    """A connection whose transaction is committed at the end, or rolled back; faults are told without their data."""
    try:
        with psycopg.connect(address) as connection:
            yield connection
    except psycopg.Error as error:
        state = error.sqlstate or ""
        what = f"PostgreSQL ({database_name(address)}) refused: {type(error).__name__}" + (
            f" ({state})" if state else ""
        )
        if state.startswith(STATEMENT_CLASSES):  # about the statement: its own words, no row's
            raise BadUsage(
                "sql_refused", f"{what}: {error.diag.message_primary}; mend the query or the table"
            ) from None
        if state.startswith(DATA_CLASSES):
            raise BadData("sql_data_refused", f"{what}; mend the rows or the table") from None
        raise BadEnvironment(
            "database_unusable", f"{what}; check address, user, password and that the server is up"
        ) from None


def _names(names: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _given(words: str) -> sql.SQL:
    """The user's or this program's own SQL, to be taken as it is."""
    return sql.SQL(words)
