"""Files of scores are written so, by their endings; the same rows give the same bytes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.errors import BadUsage
from serving.score_file import check_output, write_scores
from serving.score_frame import REASONS

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


def write(scores: pl.DataFrame, path: Path, parts: int = 1) -> None:
    size = -(-scores.height // parts)
    write_scores((scores[at : at + size] for at in range(0, scores.height, size)), scores.schema, path)


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
    write(TWO_SCORES, tmp_path / "scores.csv")
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
    write(TWO_SCORES, tmp_path / f"scores.{ending}")
    lines = [json.loads(line) for line in (tmp_path / f"scores.{ending}").read_text("utf-8").splitlines()]
    times = ["2026-01-20T00:00:00.000000+00:00", "2026-01-20T00:00:00.000001+00:00"]
    assert lines == [row | {"as_of": time} for row, time in zip(TWO_SCORES.to_dicts(), times, strict=True)]
    assert [list(line) for line in lines] == [list(WITH_REASONS)] * 2


@pytest.mark.parametrize("reasons", [False, True])
def test_a_parquet_file_holds_the_frame_itself(tmp_path: Path, reasons: bool) -> None:
    written = TWO_SCORES if reasons else TWO_SCORES.drop("reasons")
    write(written, tmp_path / "scores.parquet", parts=2)
    assert pl.read_parquet(tmp_path / "scores.parquet").equals(written)
    assert list(pl.read_parquet_schema(tmp_path / "scores.parquet")) == list(WITH_REASONS if reasons else SCHEMA)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_every_number_comes_back_from_text_to_the_last_bit(tmp_path: Path, ending: str) -> None:
    numbers = [name for name, kind in SCHEMA.items() if kind == pl.Float64()]
    drawn = np.random.default_rng(0).random((1000, len(numbers))) ** 9
    scores = pl.concat([TWO_SCORES[:1]] * 1000).with_columns(
        pl.Series(name, drawn[:, at]) for at, name in enumerate(numbers)
    )
    write(scores, tmp_path / f"scores.{ending}")
    read = pl.read_csv if ending == "csv" else pl.read_ndjson
    assert read(tmp_path / f"scores.{ending}").select(numbers).equals(scores.select(numbers))


@pytest.mark.parametrize("ending", ENDINGS)
def test_without_reasons_the_file_has_no_such_column(tmp_path: Path, ending: str) -> None:
    write(TWO_SCORES.drop("reasons"), tmp_path / f"scores.{ending}")
    assert b"(what is usual)" not in (tmp_path / f"scores.{ending}").read_bytes()


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_parts_in_which_rows_come_make_no_difference(tmp_path: Path, ending: str) -> None:
    many = pl.concat([TWO_SCORES] * 150)
    for parts in (1, 3, 300):
        write(many, tmp_path / f"{parts}.{ending}", parts)
    whole, *others = (path.read_bytes() for path in tmp_path.iterdir())
    assert others == [whole, whole]


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_scores_are_a_file_with_its_columns(tmp_path: Path, ending: str) -> None:
    write_scores([], pl.Schema(WITH_REASONS), tmp_path / f"none.{ending}")
    content = (tmp_path / f"none.{ending}").read_bytes()
    if ending == "parquet":
        assert pl.read_parquet_schema(tmp_path / "none.parquet") == WITH_REASONS
    else:
        assert content.decode() == (",".join(WITH_REASONS) + "\n" if ending == "csv" else "")


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
