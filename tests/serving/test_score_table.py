"""From table to table with the command line, against a real server."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import psycopg
import pytest

import journeycast
from features.errors import BadEnvironment
from serving import score_list, score_table

AS_OF = "2026-01-20T00:00:00Z"
QUERY = "SELECT who AS customer_id, at AS occurred_at, 'web' AS channel, act AS action FROM acts"


@pytest.fixture
def acts(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A table of 300 customers' acts; the working folder is empty."""
    monkeypatch.chdir(tmp_path)
    with psycopg.connect(database) as connection:
        connection.execute("DROP TABLE IF EXISTS acts, scores")
        connection.execute(
            "CREATE TABLE acts AS SELECT 'c' || n % 300 AS who, timestamptz '2026-01-01Z' + n * interval '1 min' AS at,"
            " (ARRAY['visited', 'asked', 'purchase'])[1 + n % 7 % 3] AS act FROM generate_series(1, 2000) n"
        )
    return database


def score(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["journeycast", "score", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        journeycast.main()
    return int(ended.value.code or 0)


def test_a_query_is_scored_into_a_table_as_a_file_is_into_a_file(
    acts: str, plain_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--bundle", plain_bundle, "--touchpoints", acts, "--query", QUERY, "--reasons"]
    for as_of in ("2026-01-20T00:00:00Z", "2026-01-20T00:00:00Z", "2026-02-20T00:00:00Z"):
        assert score(monkeypatch, *asked, "--as-of", as_of, "--out", f"{acts}#scores") == 0
    assert "300 scores by model" in capsys.readouterr().err.splitlines()[-1]
    assert sorted(path.name for path in Path().iterdir()) == ["scores.scores.csv.manifest.json"]
    assert score(monkeypatch, *asked, "--as-of", "2026-01-20T00:00:00Z", "--out", "scores.csv") == 0
    expected = pl.read_csv("scores.csv").select("customer_id", "conversion", "plausible_stages", "stage_new")
    with psycopg.connect(acts) as connection:
        found = connection.execute(
            "SELECT customer_id, conversion, plausible_stages, stage_new FROM scores"
            """ WHERE as_of = '2026-01-20T00:00:00Z' ORDER BY customer_id COLLATE "C" """
        ).fetchall()
        assert connection.execute("SELECT count(*), count(DISTINCT as_of) FROM scores").fetchone() == (600, 2)
        assert connection.execute("SELECT reasons -> 0 ->> 'feature' FROM scores LIMIT 1").fetchone() is not None
    assert found == expected.rows()


def test_a_table_that_does_not_fit_is_refused_before_anything_is_read(
    acts: str, plain_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--bundle", plain_bundle, "--touchpoints", acts, "--query", "SELECT nothing", "--as-of", AS_OF]
    for table in ("acts", "nowhere.scores"):
        assert score(monkeypatch, *asked, "--out", f"{acts}#{table}") == 2
        assert "sql_refused" in capsys.readouterr().err
    assert list(Path().iterdir()) == []
    with psycopg.connect(acts) as connection:
        assert connection.execute("SELECT to_regclass('scores')").fetchone() == (None,)


def test_scores_that_could_not_be_brought_into_their_table_are_not_made_anew(
    acts: str, plain_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["--bundle", plain_bundle, "--touchpoints", acts, "--query", QUERY, "--as-of", AS_OF]
    asked += ["--out", f"{acts}#scores"]

    def gone(*_: object) -> None:
        raise BadEnvironment("database_unusable", "the server has gone away")

    with monkeypatch.context() as broken:
        broken.setattr(score_table, "write_table", gone)
        assert score(broken, *asked) == 4
    assert Path("scores.scores.csv").exists()
    with monkeypatch.context() as watched:
        watched.setattr(score_list, "_partitioned", None)  # were anything read again, it would fail
        assert score(watched, *asked) == 0
    assert not Path("scores.scores.csv").exists()
    with psycopg.connect(acts) as connection:
        assert connection.execute("SELECT count(*) FROM scores").fetchone() == (300,)


@pytest.mark.parametrize("secret_place", ["--touchpoints", "--out"])
def test_no_password_is_ever_said(
    acts: str,
    plain_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    secret_place: str,
) -> None:
    wrong = acts.replace("?host=", "?host=/gone")
    words = {
        "--touchpoints": acts,
        "--out": f"{acts}#scores",
        secret_place: wrong + "#scores" * (secret_place == "--out"),
    }
    pairs = [word for pair in words.items() for word in pair]
    code = score(monkeypatch, "--bundle", plain_bundle, "--query", QUERY, "--as-of", "2026-01-20T00:00:00Z", *pairs)
    assert (code, "secret-word" in capsys.readouterr().err) == (4, False)
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert not any(b"secret-word" in path.read_bytes() for path in files)


def test_a_query_needs_a_database(
    plain_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--bundle", plain_bundle, "--touchpoints", tmp_path, "--query", "SELECT 1", "--out", "scores.csv"]
    assert score(monkeypatch, *words, "--as-of", "2026-01-20T00:00:00Z") == 2
    assert "--query needs --touchpoints postgresql://" in capsys.readouterr().err
