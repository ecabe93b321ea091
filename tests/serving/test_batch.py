"""Lists of scores: one row for each asked pair, in files of the contract's columns, whole or not at all."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import BadEnvironment, BadUsage
from features.event_log import EventLog, to_us
from serving import batch
from serving.batch import REASONS, Asked, check_output, score_list, write_scores
from serving.schemas import Touchpoint
from serving.scorer import Scorer

AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
SCHEMA = {
    "customer_id": pl.String(),
    "as_of": pl.Datetime("us", "UTC"),
    "stage": pl.String(),
    "stage_new": pl.Float64(),
    "stage_active": pl.Float64(),
    "plausible_stages": pl.List(pl.String()),
    "furthest_stage": pl.String(),
    "conversion": pl.Float64(),
    "conversion_low": pl.Float64(),
    "conversion_high": pl.Float64(),
    "conversion_percentile": pl.Float64(),
    "reliability": pl.String(),
    "model_version": pl.String(),
}
WITH_REASONS = SCHEMA | {"reasons": REASONS}
ENDINGS = ["parquet", "csv", "jsonl", "ndjson"]


@pytest.fixture(scope="module")
def scorer(plain_bundle: Path) -> Scorer:
    return Scorer.load(plain_bundle)


@pytest.fixture(scope="module")
def log() -> EventLog:
    def days(action: str, *days: int) -> list[Touchpoint]:
        return [Touchpoint(datetime(2026, 1, day, tzinfo=UTC), "web", action) for day in days]

    bought = days("visited", 5, 9) + days("purchase", 15)
    return EventLog.from_records([("buyer", bought), ("guest", days("visited", 5)), ("shy", days("asked", 3, 10, 19))])


def silent(done: int, total: int) -> None: ...


def pairs(*asked: tuple[str, int]) -> Asked:
    """Customers at so many days before AS_OF."""
    as_of = [AS_OF - timedelta(days=days) for _, days in asked]
    ids = [customer_id for customer_id, _ in asked]
    return Asked.pairs(pl.DataFrame({"customer_id": ids, "as_of": as_of}))


ASKED = pairs(("shy", 0), ("unknown", 0), ("buyer", 0), ("buyer", 10), ("shy", 0), ("guest", 365), ("shy", 5))


@pytest.fixture(scope="module")
def scores(scorer: Scorer, log: EventLog) -> pl.DataFrame:
    return score_list(scorer, log, ASKED, True, silent)


# Whom to score


def test_everybody_is_asked_for_once_by_id_at_the_moment(log: EventLog) -> None:
    asked = Asked.everybody(log, datetime(2026, 1, 20, 1, tzinfo=UTC))
    assert asked.customer_ids == ["buyer", "guest", "shy"]
    assert asked.as_of_us.tolist() == [to_us(AS_OF) + 3_600_000_000] * 3


def test_pairs_keep_their_order_and_repeats() -> None:
    asked = pairs(("b", 0), ("a", 1), ("b", 0))
    assert asked.customer_ids == ["b", "a", "b"]
    assert asked.as_of_us.tolist() == [to_us(AS_OF), to_us(AS_OF) - 86_400_000_000, to_us(AS_OF)]


# The answer


def test_each_asked_pair_has_its_row_in_the_order_asked(scores: pl.DataFrame) -> None:
    asked = list(zip(ASKED.customer_ids, ASKED.as_of_us.tolist(), strict=True))
    assert list(scores.select("customer_id", pl.col("as_of").dt.epoch("us")).iter_rows()) == asked
    assert scores["reliability"].to_list()[1] == scores["reliability"].to_list()[5] == "no_data"
    assert [row is None for row in scores["conversion"]] == [False, False, True, False, False, False, False]
    assert scores[0].equals(scores[4])
    assert scores[0, "conversion"] != scores[6, "conversion"]


def test_a_customer_without_touchpoints_gets_the_base_rate(scores: pl.DataFrame) -> None:
    for unknown in (scores[1], scores[5]):
        assert unknown[0, "conversion"] == pytest.approx(0.4)
        assert unknown[0, "stage_new"] == pytest.approx(0.75)
        assert unknown[0, "furthest_stage"] is None


@pytest.mark.parametrize("reasons", [False, True])
def test_columns_and_types_are_the_contracts(scorer: Scorer, log: EventLog, reasons: bool) -> None:
    scored = score_list(scorer, log, ASKED, reasons, silent)
    assert list(scored.schema.items()) == list((WITH_REASONS if reasons else SCHEMA).items())


def test_columns_and_types_hold_where_nobody_is_asked_for_and_where_all_is_null(scorer: Scorer, log: EventLog) -> None:
    nobody = score_list(scorer, log, Asked([], np.zeros(0, dtype=np.int64)), True, silent)
    assert (nobody.height, nobody.schema) == (0, pl.Schema(WITH_REASONS))
    bought = score_list(scorer, log, pairs(("buyer", 0)), True, silent)
    assert (bought["conversion"].null_count(), bought.schema) == (1, pl.Schema(WITH_REASONS))


def test_a_long_list_is_scored_in_parts_that_make_no_difference(
    scorer: Scorer, log: EventLog, scores: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "ROWS_AT_A_TIME", 3)
    told: list[tuple[int, int]] = []
    in_parts = score_list(scorer, log, ASKED, True, lambda done, total: told.append((done, total)))
    assert in_parts.equals(scores)
    assert told == [(3, 7), (6, 7), (7, 7)]


# The files


TWO_SCORES = pl.DataFrame(
    {
        "customer_id": ["a", 'b, "the second"'],
        "as_of": [AS_OF, AS_OF + timedelta(microseconds=1)],
        "stage": ["new", "active"],
        "stage_new": [0.7, 0.1],
        "stage_active": [0.3, 0.9],
        "plausible_stages": [["new", "active"], ["active"]],
        "furthest_stage": [None, "active"],
        "conversion": [0.1 + 0.2, None],
        "conversion_low": [1e-9, None],
        "conversion_high": [0.5, None],
        "conversion_percentile": [12.5, None],
        "reliability": ["no_data", "ok"],
        "model_version": ["v1", "v1"],
        "reasons": [
            [{"feature": "(what is usual)", "value": None, "effect": -0.5, "event_id": None}],
            [{"feature": "what was said", "value": 2.0, "effect": 0.25, "event_id": "e|1"}],
        ],
    },
    schema=WITH_REASONS,
)


def test_a_csv_file_is_written_so(tmp_path: Path) -> None:
    write_scores(TWO_SCORES, tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text("utf-8").splitlines() == [
        "customer_id,as_of,stage,stage_new,stage_active,plausible_stages,furthest_stage,"
        "conversion,conversion_low,conversion_high,conversion_percentile,reliability,model_version,reasons",
        "a,2026-01-20T00:00:00.000000+00:00,new,0.7,0.3,new|active,,0.30000000000000004,1e-9,0.5,12.5,no_data,v1,"
        '"[{""feature"":""(what is usual)"",""value"":null,""effect"":-0.5,""event_id"":null}]"',
        '"b, ""the second""",2026-01-20T00:00:00.000001+00:00,active,0.1,0.9,active,active,,,,,ok,v1,'
        '"[{""feature"":""what was said"",""value"":2.0,""effect"":0.25,""event_id"":""e|1""}]"',
    ]


@pytest.mark.parametrize("ending", ["jsonl", "ndjson"])
def test_a_json_lines_file_is_written_so(tmp_path: Path, ending: str) -> None:
    write_scores(TWO_SCORES, tmp_path / f"scores.{ending}")
    lines = [json.loads(line) for line in (tmp_path / f"scores.{ending}").read_text("utf-8").splitlines()]
    times = ["2026-01-20T00:00:00.000000+00:00", "2026-01-20T00:00:00.000001+00:00"]
    assert lines == [row | {"as_of": time} for row, time in zip(TWO_SCORES.to_dicts(), times, strict=True)]
    assert [list(line) for line in lines] == [list(WITH_REASONS)] * 2


@pytest.mark.parametrize("reasons", [False, True])
def test_a_parquet_file_holds_the_frame_itself(scores: pl.DataFrame, tmp_path: Path, reasons: bool) -> None:
    written = scores if reasons else scores.drop("reasons")
    write_scores(written, tmp_path / "scores.parquet")
    assert pl.read_parquet(tmp_path / "scores.parquet").equals(written)
    assert list(pl.read_parquet_schema(tmp_path / "scores.parquet")) == list(WITH_REASONS if reasons else SCHEMA)


def test_every_number_comes_back_from_text_to_the_last_bit(scores: pl.DataFrame, tmp_path: Path) -> None:
    numbers = [name for name, kind in SCHEMA.items() if kind == pl.Float64()]
    for ending, read in {"csv": pl.read_csv, "jsonl": pl.read_ndjson}.items():
        write_scores(scores, tmp_path / f"scores.{ending}")
        assert read(tmp_path / f"scores.{ending}").select(numbers).equals(scores.select(numbers))


@pytest.mark.parametrize("ending", ENDINGS)
def test_without_reasons_the_file_has_no_such_column(scores: pl.DataFrame, tmp_path: Path, ending: str) -> None:
    write_scores(scores.drop("reasons"), tmp_path / f"scores.{ending}")
    assert b"(what is usual)" not in (tmp_path / f"scores.{ending}").read_bytes()


# Whole or not at all


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_replaces_the_older_one_and_leaves_nothing_beside_it(tmp_path: Path, ending: str) -> None:
    out = tmp_path / "new" / "folder" / f"scores.{ending}"
    write_scores(TWO_SCORES[:1], out)
    older = out.read_bytes()
    write_scores(TWO_SCORES, out)
    assert out.read_bytes() != older
    assert (list(out.parent.iterdir()), out.stat().st_mode & 0o777) == ([out], 0o644)


def test_a_write_that_breaks_off_leaves_the_older_file_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    out.write_text("older")
    unwritable = TWO_SCORES.with_columns(odd=pl.Series([[1], [2]]))  # a CSV cell holds no list
    with pytest.raises(pl.exceptions.ComputeError):
        write_scores(unwritable, out)
    assert (out.read_text(), list(tmp_path.iterdir())) == ("older", [out])


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadEnvironment) as caught:
        write_scores(TWO_SCORES, tmp_path / "file" / "scores.csv")
    assert caught.value.code == "out_unwritable"
    assert str(caught.value) == f"{tmp_path}/file/scores.csv cannot be written: File exists"


@pytest.mark.parametrize(
    ("name", "code", "fault"),
    [
        ("scores.xlsx", "out_format", "has no known ending; expected one of .parquet, .csv, .jsonl, .ndjson"),
        ("scores", "out_format", "has no known ending; expected one of .parquet, .csv, .jsonl, .ndjson"),
        ("folder.csv", "out_folder", "is a folder; name a file in it"),
        ("link.csv", "out_is_input", "is one of the files to read; name another file"),
        ("input.csv", "out_is_input", "is one of the files to read; name another file"),
    ],
)
def test_a_path_where_no_scores_belong_is_refused(tmp_path: Path, name: str, code: str, fault: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "input.csv").write_text("")
    (tmp_path / "link.csv").symlink_to(tmp_path / "input.csv")
    with pytest.raises(BadUsage) as caught:
        check_output(tmp_path / name, [tmp_path / "input.csv"])
    assert (caught.value.code, str(caught.value)) == (code, f"--out {tmp_path / name} {fault}")


def test_a_path_that_is_none_of_the_inputs_is_fine(tmp_path: Path) -> None:
    check_output(tmp_path / "scores.csv", [tmp_path / "input.csv"])
