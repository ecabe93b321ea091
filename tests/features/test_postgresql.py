"""Against a real server: rows by query and rows into a table, whole or not at all, and no secret in any message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from features.errors import BadData, BadEnvironment, BadUsage, Fault
from features.postgresql import database_name, fetch_query, is_address, split_table, upsert_rows
from features.touchpoints import read_touchpoints

TYPES = {"who": "text", "at": "timestamptz", "score": "double precision"}


def rows(database: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query.encode()).fetchall()


def test_an_address_names_database_and_table() -> None:
    assert is_address("postgresql://host/db")
    assert is_address("postgres://host/db")
    assert not is_address("touchpoints.csv")
    assert split_table("postgresql://host/db?x=1#public.scores") == ("postgresql://host/db?x=1", "public.scores")
    assert database_name("postgresql://me:secret@host:5432/db?password=secret") == "postgresql://host:5432/db"
    for address in (
        "postgresql://host/db",
        "postgresql://host/db#",
        "postgresql://host/db#a.b.c",
        "postgresql://h/d#.a",
    ):
        with pytest.raises(BadUsage, match="names no table"):
            split_table(address)


def test_a_querys_rows_are_read_as_touchpoints(database: str, tmp_path: Path) -> None:
    query = """
        SELECT 'c' || n AS customer_id, '2026-01-02T03:04:05.678901+02'::timestamptz AS occurred_at, 'web' AS channel,
               'said "x", {y} 100%' AS action, 0.1::float8 + 0.2 AS value, NULL AS text
        FROM generate_series(1, 3) n; -- the end
    """.replace("; -- the end", "")
    fetch_query(database, query + ";", tmp_path / "query.csv")
    frame = read_touchpoints(tmp_path / "query.csv").frame
    assert frame["customer_id"].to_list() == ["c1", "c2", "c3"]
    assert frame["occurred_at"].dt.to_string("iso:strict")[0] == "2026-01-02T01:04:05.678901+00:00"
    assert (frame[0, "action"], frame[0, "value"], frame[0, "text"]) == ('said "x", {y} 100%', 0.1 + 0.2, None)
    assert (tmp_path / "query.csv").stat().st_mode & 0o777 == 0o600


def test_a_time_without_zone_is_rejected_there_as_everywhere(database: str, tmp_path: Path) -> None:
    fetch_query(
        database,
        "SELECT 'a' customer_id, timestamp '2026-01-02' occurred_at, 'web' channel, 'seen' action -- no zone",
        tmp_path / "query.csv",
    )
    with pytest.raises(BadData, match="occurred_at_naive 1"):
        read_touchpoints(tmp_path / "query.csv")


def test_rows_are_inserted_and_then_updated_by_key(database: str) -> None:
    first = [b"a,2026-01-01T00:00:00Z,0.1\nb,2026-01-01T00:00", b":00Z,0.30000000000000004\n"]
    upsert_rows(database, "scores", TYPES, ["who", "at"], first)
    upsert_rows(
        database,
        "public.scores",
        TYPES,
        ["who", "at"],
        [b"b,2026-01-01T01:00:00+01,\n", b'"c,",2026-01-01T00:00:00Z,1\n'],
    )
    found = rows(database, "SELECT who, at = '2026-01-01T00:00:00Z', score FROM scores ORDER BY who")
    assert found == [("a", True, 0.1), ("b", True, None), ("c,", True, 1.0)]


def test_a_pair_that_comes_twice_has_one_row(database: str) -> None:
    upsert_rows(database, "twice", TYPES, ["who", "at"], [b"a,2026-01-01T00:00:00Z,0.1\n" * 2])
    assert rows(database, "SELECT count(*) FROM twice") == [(1,)]


def test_all_rows_come_or_none(database: str) -> None:
    upsert_rows(database, "whole", TYPES, ["who", "at"], [b"a,2026-01-01T00:00:00Z,0.1\n"])
    with pytest.raises(BadData, match=r"InvalidTextRepresentation \(22P02\)") as caught:
        upsert_rows(database, "whole", TYPES, ["who", "at"], [b"a,2026-01-01T00:00:00Z,9\n", b"b,2026-01-01Z,CANARY\n"])
    assert "CANARY" not in str(caught.value)
    assert rows(database, "SELECT score FROM whole") == [(0.1,)]


@pytest.mark.parametrize(
    ("run", "kind", "said"),
    [
        (lambda at, out: fetch_query(at, "SELECT * FROM nowhere", out), BadUsage, 'relation "nowhere" does not exist'),
        (lambda at, out: fetch_query(at, "DELETE FROM pg_class", out), BadUsage, "COPY query must have a RETURNING"),
        (lambda at, out: fetch_query(at, "SELECT 1) TO PROGRAM 'true' --", out), BadUsage, "syntax error"),
        (lambda at, out: fetch_query(at.replace("host=", "host=/gone"), "SELECT 1", out), BadEnvironment, "Oper"),
        (lambda at, _: upsert_rows(at, "pg_class", TYPES, ["who"], []), BadUsage, "does not exist"),
    ],
)  # fmt: skip
def test_what_is_refused_is_told_without_a_secret(
    database: str, tmp_path: Path, run: Callable[[str, Path], None], kind: type[Fault], said: str
) -> None:
    with pytest.raises(kind) as caught:
        run(database, tmp_path / "query.csv")
    assert said in str(caught.value)
    assert "secret-word" not in str(caught.value)


def test_a_query_can_change_nothing(database: str, tmp_path: Path) -> None:
    upsert_rows(database, "kept", TYPES, ["who", "at"], [b"a,2026-01-01T00:00:00Z,0.1\n"])
    with pytest.raises(Fault, match="ReadOnlySqlTransaction"):
        fetch_query(database, "DELETE FROM kept RETURNING who", tmp_path / "query.csv")
    assert rows(database, "SELECT count(*) FROM kept") == [(1,)]
