"""What a user meets: files written whole or not at all, one clear message for each fault, and the exit code to it."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

import journeycast
from features.event_log import EventLog, from_us, to_us
from features.journey import DEFAULT_JOURNEY, StageLabels
from features.touchpoints import read_touchpoints
from models.bundle import load_bundle, save_bundle
from serving.schemas import Touchpoint
from serving.scorer import Scorer
from training import tracking
from training.labels import rows_by_rule

ROOT = Path(__file__).parents[1]
COLUMNS = [
    "customer_id", "as_of", "stage", "stage_awareness", "stage_consideration", "stage_conversion", "stage_advocacy",
    "plausible_stages", "furthest_stage", "conversion_30d", "conversion_30d_low", "conversion_30d_high",
    "conversion_90d", "conversion_90d_low", "conversion_90d_high", "conversion_percentile", "reliability",
    "model_version", "reasons",
]  # fmt: skip
PLAIN_COLUMNS = [
    "customer_id", "as_of", "stage", "stage_new", "stage_active", "plausible_stages", "furthest_stage",
    "conversion", "conversion_low", "conversion_high", "conversion_percentile", "reliability", "model_version",
]  # fmt: skip
TOUCHPOINTS = """\
customer_id,occurred_at,channel,action
b,2026-01-02T00:00:00Z,web,visited
a,2026-01-05T00:00:00Z,web,visited
a,2026-01-09T00:00:00+01:00,web,asked
a,2026-01-09T00:00:00+01:00,web,asked
c,2026-01-09T00:00:00Z,store,purchase
"""
AT = ["--as-of", "2026-01-20T00:00:00Z"]


class Ended(NamedTuple):
    """How a command ended: its exit code, and what it said."""

    code: int
    said: str


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `journeycast` with these words in this process; nothing is ever printed to where results may be piped."""

    def journeycast_with(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["journeycast", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            journeycast.main()
        printed = capsys.readouterr()
        assert (printed.out, "Traceback" in printed.err) == ("", False)
        return Ended(int(ended.value.code or 0), printed.err)

    return journeycast_with


@pytest.fixture
def folder(tmp_path: Path, plain_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with touchpoints.csv and a bundle that opens in a moment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "touchpoints.csv").write_text(TOUCHPOINTS)
    (tmp_path / "bundle").symlink_to(plain_bundle)
    return tmp_path


SCORE = ["score", "--bundle", "bundle", "--touchpoints", "touchpoints.csv"]


MARKET = ["market", "--bundle", "bundle", "--touchpoints", "touchpoints.csv"]


# A fresher market


@pytest.mark.usefixtures("folder")
def test_a_market_is_surveyed_told_and_scored_with(run: Run) -> None:
    surveyed = run(*MARKET, "--as-of", "2026-01-12T00:00:00Z", "--out", "market")
    assert surveyed.code == 0
    assert "The market at 2026-01-12T00:00:00Z" in surveyed.said
    assert surveyed.said.splitlines()[-1] == "market in market"
    plain, fresh = (run(*SCORE, *AT, "--out", out, *more).said.splitlines()[-1].split()[-3] for out, more in
                    (("plain.csv", []), ("fresh.csv", ["--market", "market"])))  # fmt: skip
    assert plain == load_bundle(Path("bundle")).version
    assert fresh.startswith(f"{plain}+")
    assert pl.read_csv("fresh.csv")["model_version"].to_list() == [fresh] * 3


@pytest.mark.usefixtures("folder")
def test_a_market_without_label_rules_is_surveyed_without_stages(run: Run, plain_bundle: Path) -> None:
    Path("bundle").unlink()
    model = load_bundle(plain_bundle).model
    journey = model.reader.journey.model_copy(update={"labels": StageLabels()})
    save_bundle(replace(model, reader=replace(model.reader, journey=journey)), None, Path("bundle"))

    surveyed = run(*MARKET, "--as-of", "2026-01-12T00:00:00Z", "--out", "market")
    assert (surveyed.code, "customers seen" in surveyed.said, "stage new" in surveyed.said) == (0, True, False)


@pytest.mark.usefixtures("folder")
def test_what_is_no_market_is_refused_and_no_input_is_written_over(run: Run) -> None:
    refused = run(*SCORE, *AT, "--out", "scores.csv", "--market", "touchpoints.csv")
    assert refused == Ended(
        4, "market_corrupt: touchpoints.csv is no market, or damaged; survey it again with `journeycast market`\n"
    )
    assert run(*MARKET, *AT, "--out", "touchpoints.csv").said.startswith("out_is_input")
    assert run("serve", "--bundle", "bundle", "--market", "none").said.endswith(
        "no_market: none is no file; survey a market with `journeycast market`\n"
    )
    assert Path("touchpoints.csv").read_text() == TOUCHPOINTS


# Scoring a list


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("reasons", [False, True])
@pytest.mark.usefixtures("folder")
def test_everybody_is_scored_at_one_moment(run: Run, ending: str, reasons: bool) -> None:
    ended = run(*SCORE, *AT, "--out", f"scores.{ending}", *(["--reasons"] * reasons))
    version = load_bundle(Path("bundle")).version
    assert ended.code == 0
    assert ended.said.splitlines()[-3:-1] == [
        "5 rows read: 4 touchpoints, 1 duplicates dropped, 0 rejected",
        "reliability: unknown_vocabulary 1, unusual 2",
    ]
    assert ended.said.splitlines()[-1] == f"3 scores by model {version} in scores.{ending}"
    read = {"parquet": pl.read_parquet, "csv": pl.read_csv, "jsonl": pl.read_ndjson}[ending]
    scores = read(Path(f"scores.{ending}"))
    assert scores.columns == PLAIN_COLUMNS + ["reasons"] * reasons
    assert scores["customer_id"].to_list() == ["a", "b", "c"]
    assert scores["furthest_stage"].to_list() == ["active", "new", "new"]
    assert [value is None for value in scores["conversion"]] == [False, False, True]


@pytest.mark.usefixtures("folder")
def test_pairs_are_scored_in_the_order_asked_repeats_and_strangers_included(run: Run) -> None:
    asked = ["c,2026-01-08T00:00:00Z", "stranger,2026-01-20T00:00:00Z", "a,2026-01-20T01:00:00+01:00"]
    asked += ["b,2026-01-20T00:00:00Z", "c,2026-01-20T00:00:00Z", asked[2]]
    Path("pairs.csv").write_text("\n".join(["customer_id,as_of", *asked, ""]))
    assert run(*SCORE, "--snapshots", "pairs.csv", "--out", "scores.parquet").code == 0
    scores = pl.read_parquet("scores.parquet")
    assert scores["customer_id"].to_list() == ["c", "stranger", "a", "b", "c", "a"]
    assert scores["as_of"].to_list() == [datetime(2026, 1, day, tzinfo=UTC) for day in (8, 20, 20, 20, 20, 20)]
    assert scores["conversion"].is_null().to_list() == [False, False, False, False, True, False]
    assert scores["reliability"].to_list()[:2] == ["no_data", "no_data"]
    assert scores[1, "conversion"] == pytest.approx(0.4)
    assert scores[2].equals(scores[5])


@pytest.mark.usefixtures("folder")
def test_touchpoints_come_from_several_files_and_globs(run: Run) -> None:
    lines = TOUCHPOINTS.splitlines()
    Path("one.csv").write_text("\n".join(lines[:3]))
    Path("two.csv").write_text("\n".join([lines[0], *lines[3:]]))
    assert run(*SCORE, *AT, "--out", "whole.csv").code == 0
    parts = ["--touchpoints", "one.csv", "--touchpoints", "t[w]o.csv"]
    assert run("score", "--bundle", "bundle", *parts, *AT, "--out", "parts.csv").code == 0
    assert Path("parts.csv").read_bytes() == Path("whole.csv").read_bytes()


@pytest.mark.usefixtures("folder")
def test_no_touchpoints_no_scores_but_a_file_with_its_columns(run: Run) -> None:
    Path("touchpoints.csv").write_text(TOUCHPOINTS.splitlines()[0] + "\n")
    assert run(*SCORE, *AT, "--reasons", "--out", "scores.csv").code == 0
    assert Path("scores.csv").read_text() == ",".join([*PLAIN_COLUMNS, "reasons"]) + "\n"


@pytest.mark.usefixtures("folder")
def test_names_that_look_like_markup_are_printed_as_they_are(run: Run) -> None:
    Path("touchpoints.csv").write_text(
        TOUCHPOINTS.replace("action\n", "action,note[/b] :smile:\n").replace("d\n", "d,\n")
    )
    ended = run(*SCORE, *AT, "--max-reject-share", "1", "--out", "scores[/i].csv")
    assert ended.code == 0
    assert "columns that are no part of the contract, ignored: note[/b] :smile:\n" in ended.said
    assert ended.said.endswith(" in scores[/i].csv\n")


# Rejects


BAD_ROWS = "d,2026-01-09T00:00:00,web,visited\n,2026-01-09T00:00:00Z,web,\nCANARY,yesterday,web,visited\n"
REJECTS = ["file,row,codes"] + [
    f"touchpoints.csv,{row},{codes}"
    for row, codes in [
        (6, "occurred_at_naive"),
        (7, "customer_id_missing;action_missing"),
        (8, "occurred_at_unreadable"),
    ]
]


def test_a_few_bad_rows_go_to_a_reject_file_with_their_row_and_reason(run: Run, folder: Path) -> None:
    with Path("touchpoints.csv").open("a") as file:
        file.write(BAD_ROWS)
    ended = run(*SCORE, *AT, "--out", "new/folder/scores.csv", "--max-reject-share", "0.4")
    assert ended.code == 0
    told = "8 rows read: 4 touchpoints, 1 duplicates dropped, 3 rejected (see new/folder/scores.csv.rejects.csv)"
    assert ended.said.splitlines()[-3] == told
    assert Path("new/folder/scores.csv.rejects.csv").read_text().splitlines() == REJECTS
    assert sorted(path.name for path in (folder / "new" / "folder").iterdir()) == [
        "scores.csv",
        "scores.csv.manifest.json",
        "scores.csv.rejects.csv",
    ]


@pytest.mark.usefixtures("folder")
def test_above_the_share_nothing_is_scored_and_every_reason_is_counted(run: Run) -> None:
    with Path("touchpoints.csv").open("a") as file:
        file.write(BAD_ROWS)
    Path("scores.csv").write_text("older")
    ended = run(*SCORE, *AT, "--out", "scores.csv", "--max-reject-share", "0.37")
    assert (ended.code, ended.said[ended.said.index("too_many") :]) == (
        3,
        "too_many_rejects: rejected 3 of 8 rows (37.5%), expected at most 37.0%: action_missing 1, "
        "customer_id_missing 1, occurred_at_naive 1, occurred_at_unreadable 1; see scores.csv.rejects.csv. "
        "Mend them or allow more with --max-reject-share\n",
    )
    assert Path("scores.csv.rejects.csv").read_text().splitlines() == REJECTS
    assert Path("scores.csv").read_text() == "older"


def test_rejects_of_an_older_run_go_but_never_a_file_to_read(run: Run, folder: Path) -> None:
    rejects = folder / "scores.csv.rejects.csv"
    rejects.write_text("file,row,codes\nolder.csv,1,channel_missing\n")
    assert run(*SCORE, *AT, "--out", "scores.csv").code == 0
    assert not rejects.exists()
    rejects.write_text(TOUCHPOINTS)
    ended = run("score", "--bundle", "bundle", "--touchpoints", rejects.name, *AT, "--out", "scores.csv")
    told = "scores.csv.rejects.csv is one of the files to read; name another reject file"
    assert ended == Ended(2, f"bad_reject_file: {told}\n")
    assert rejects.read_text() == TOUCHPOINTS


# Faults


NO_ENDING = "has no known ending; expected one of .parquet, .csv, .jsonl, .ndjson"
EITHER = "as_of_or_snapshots: give either --as-of TIME or --snapshots FILE"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, EITHER),
        ([*AT, "--snapshots", "touchpoints.csv"], 2, EITHER),
        (["--as-of", "2026-01-20T00:00:00"], 2,
         "naive_time: --as-of has no zone; add Z for UTC or an offset such as +01:00"),
        (["--as-of", "2026-01-20"], 2, "naive_time: --as-of has no zone; add Z for UTC or an offset such as +01:00"),
        (["--as-of", "yesterday"], 2, "bad_time: --as-of is no ISO time; write for example 2026-01-31T00:00:00Z"),
        (["--as-of", ""], 2, "bad_time: --as-of is no ISO time; write for example 2026-01-31T00:00:00Z"),
        (["--as-of", "9999-12-31T23:59:59-01:00"], 2,
         "bad_time: --as-of is in UTC before year 1 or after year 9999"),
        (["--as-of", "0001-01-01T00:00:00+01:00"], 2,
         "bad_time: --as-of is in UTC before year 1 or after year 9999"),
        ([*AT, "--out", "scores.xlsx"], 2, f"out_format: --out scores.xlsx {NO_ENDING}"),
        ([*AT, "--out", "touchpoints.csv"], 2,
         "out_is_input: --out touchpoints.csv is one of the files to read; name another file"),
        (["--snapshots", "scores.csv"], 2,
         "out_is_input: --out scores.csv is one of the files to read; name another file"),
        ([*AT, "--compare", "nothing.csv"], 2,
         "no_scores: --compare nothing.csv is not there; give a file that journeycast score wrote"),
        ([*AT, "--compare", "touchpoints.csv"], 3,
         "no_scores: touchpoints.csv holds no scores; expected the columns customer_id and as_of among others"),
        ([*AT, "--bundle", "nowhere"], 2,
         "no_bundle: nowhere holds no bundle (no manifest.json); train one with `journeycast train`"),
        ([*AT, "--touchpoints", "nothing.csv"], 2,
         "bad_source: nothing.csv is not there; expected a file (.parquet, .csv, .jsonl, .ndjson), a folder or a glob"),
        ([*AT, "--max-reject-share", "1.5"], 2,
         "bad_reject_share: the reject share is 1.5; expected a number from 0 to 1"),
        (["--snapshots", "naive.csv"], 3,
         "bad_snapshots: rejected 1 of 2 rows: as_of_naive 1; see scores.csv.snapshots.rejects.csv. Each asked pair "
         "must be answered: mend them or leave them out"),
        ([*AT, "--touchpoints", "broken.parquet"], 3,
         "file_unreadable: broken.parquet is cut off, damaged or not Parquet: export it again"),
        ([*AT, "--bundle", "damaged"], 4,
         "bundle_corrupt: damaged: model.json: its SHA-256 is not the manifest's; restore or retrain the bundle"),
        ([*AT, "--out", "touchpoints.csv/scores.csv"], 4,
         "out_unwritable: touchpoints.csv cannot be made: File exists"),
    ],
)  # fmt: skip
def test_a_fault_ends_with_its_message_and_code_and_the_older_file_stays(
    run: Run, folder: Path, words: list[str], code: int, said: str
) -> None:
    Path("scores.csv").write_text("older")
    Path("naive.csv").write_text("customer_id,as_of\na,2026-01-20T00:00:00Z\na,2026-01-20T00:00:00\n")
    Path("broken.parquet").write_bytes(b"PAR1 and no more")
    shutil.copytree("bundle", "damaged")
    (folder / "damaged" / "model.json").write_text("{}")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    ended = run(*SCORE, "--out", "scores.csv", *words)
    faults = [line for line in ended.said.splitlines() if " rows read: " not in line]
    assert (ended.code, len(faults)) == (code, 1)
    assert faults[0] == said
    Path("scores.csv.snapshots.rejects.csv").unlink(missing_ok=True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("folder")
def test_all_faults_of_a_file_are_told_at_once(run: Run) -> None:
    Path("touchpoints.csv").write_text("customer,occurred_at,Channel\na,2026-01-20T00:00:00Z,web\n")
    assert run(*SCORE, *AT, "--out", "scores.csv") == Ended(
        3,
        "bad_columns: touchpoints.csv: found 'customer', expected 'customer_id': name the column so\n"
        "bad_columns: touchpoints.csv: found 'Channel', expected 'channel': name the column so\n"
        "bad_columns: touchpoints.csv: found none, expected 'action': name the column so\n",
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scor"], "No such command 'scor'. Did you mean 'score'?"),
        (["score", "--no-such-option"], "No such option: --no-such-option"),
        (["score", "--touchpoints", "touchpoints.csv"], "Missing option '--bundle'."),
        ([*SCORE, *AT, "--engine", "abacus"], "'abacus' is not one of"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_words_that_are_no_command_are_usage(run: Run, words: list[str], said: str) -> None:
    ended = run(*words)
    assert (ended.code, ended.said.split(" ")[:2]) == (2, ["Usage:", "journeycast"])
    assert said in ended.said


# The real program, once


PROGRAM = """
import sys, journeycast
try:
    journeycast.main()
finally:
    print(*sys.modules, file=open("modules", "w"))
"""


def test_the_program_scores_with_the_champion_without_torch_and_leaves_nothing_behind(
    trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "tmp").mkdir()
    place = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    place["MLFLOW_TRACKING_URI"] = f"sqlite:///{trained}/mlflow.db"
    words = ["score", "--bundle", "models:/journeycast@champion", "--reasons", "--out", "scores.jsonl"]
    words += [
        "--touchpoints",
        str(trained / "simulated" / "touchpoints.parquet"),
        "--as-of",
        "2025-05-01T02:00:00+02:00",
    ]
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], cwd=tmp_path, env=os.environ | place, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (0, "")
    version = load_bundle(trained / "bundle").version
    assert ran.stderr.splitlines()[-1] == f"240 scores by model {version} in scores.jsonl"
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert {tuple(row) for row in rows} == {tuple(COLUMNS)}
    assert {row["as_of"] for row in rows} == {"2025-05-01T00:00:00.000000+00:00"}
    modules = set((tmp_path / "modules").read_text().split())
    assert {"serving.scorer", "onnxruntime"} <= modules
    assert {"torch", "transformers", "sentence_transformers", "bentoml"} & modules == set()
    assert list((tmp_path / "tmp").iterdir()) == []


# Training and judging


@pytest.mark.usefixtures("store")
def test_a_training_records_what_it_made_and_how_good_it_is(trained: Path) -> None:
    (run,) = tracking.mlflow.search_runs(experiment_names=["journeycast"], output_format="list")
    assert (run.info.status, run.info.run_name) == ("FINISHED", "bundle")
    asked = {"journey.name": "default", "fit.seed": "0", "split.kind": "time and person", "reads_text": "True"}
    assert {name: run.data.params[name] for name in asked} == asked
    quality = load_bundle(trained / "bundle").model.about["quality"]
    figures = {name: value for name, value in run.data.metrics.items() if not name.startswith("seconds/")}
    assert figures == pytest.approx(quality)
    assert {"seconds/reading", "seconds/training", "seconds/training/fitting_the_stage", "seconds/saving",
            "seconds/recording"} <= set(run.data.metrics)  # fmt: skip
    assert run.data.tags["bundle"] == load_bundle(trained / "bundle").version
    assert "| conversion_30d | journeycast |" in run.data.tags["mlflow.note.content"]
    assert {(used.dataset.name, used.tags[0].value) for used in run.inputs.dataset_inputs} == {
        ("touchpoints", "training"), ("labelled rows", "training"), ("held-out rows", "testing"),
    }  # fmt: skip
    kept = Path(tracking.mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="environment.json"))
    assert json.loads(kept.read_text())["libraries"]["lightgbm"] == version("lightgbm")
    assert {"conversion_30d/roc_auc", "conversion_90d/recency/log_loss", "stage/macro_f1", "stage/n"} <= set(quality)


JOURNEY = """
name = "visits"
stages = ["new", "active"]
conversion = { actions = ["purchase"], horizons_days = [30] }
labels = { rules = [{ stage = "new", when = "any" }, { stage = "active", when = "any", at_least = 3 }] }
"""


@pytest.fixture
def lessons(folder: Path, store: Path) -> Path:
    """Forty customers who come daily, half of them only twice; and a journey of two stages. Nobody buys."""
    rows = [
        f"c{i:02},2026-01-{day:02}T{i % 24:02}:{i:02}:00Z,web,visited"
        for i in range(40)
        for day in range(1, 9 if i % 2 else 3)
    ]
    Path("touchpoints.csv").write_text("\n".join(["customer_id,occurred_at,channel,action", *rows, ""]))
    (store / "journey.toml").write_text(JOURNEY)
    return folder


TRAIN = ["train", "--touchpoints", "touchpoints.csv", "--journey", "journey.toml", "--out", "made"]
MORE = {"bundle", "journey.toml", "mlflow.db", "touchpoints.csv"}


@pytest.mark.usefixtures("lessons")
def test_a_model_of_stages_alone_is_trained_judged_and_scores(run: Run) -> None:
    ended = run(*TRAIN, "--seed", "7")
    assert ended.code == 0
    assert "How good the forecasts are" in ended.said
    assert ended.said.splitlines()[-1].startswith(f"bundle {load_bundle(Path('made')).version} in made; MLflow run ")
    assert run("score", "--bundle", "made", "--touchpoints", "touchpoints.csv", *AT, "--out", "scores.csv").code == 0
    assert pl.read_csv("scores.csv").columns == [
        "customer_id", "as_of", "stage", "stage_new", "stage_active", "plausible_stages", "furthest_stage",
        "reliability", "model_version",
    ]  # fmt: skip
    assert load_bundle(Path("made")).model.about["seed"] == 7


@pytest.mark.usefixtures("lessons")
def test_a_search_says_what_it_gained_and_writes_a_configuration_that_train_takes(run: Run) -> None:
    words = ["tune", *TRAIN[1:5], "--trials", "2", "--out", "found.toml"]
    ended = run(*words)
    assert ended.code == 0
    said = ended.said.splitlines()
    assert said[-1] == "trees found in found.toml: journeycast train --config found.toml"
    assert re.match(r"stage: on \d+ rows of \d+ customers that no trial saw, log loss ", said[-2])
    assert run(*words).said.splitlines()[-2] == said[-2]  # both trials stand in the study
    searches = tracking.mlflow.search_runs(experiment_names=["journeycast"], output_format="list")
    names = [found.info.run_name for found in searches if found.data.tags.get("kind")]
    assert sorted(names) == ["search found", "search found", "stage trial 0", "stage trial 1"]
    assert run("train", "--config", "found.toml", "--out", "made").code == 0
    found = tomllib.loads(Path("found.toml").read_text())["stage_trees"]
    assert load_bundle(Path("made")).model.about["settings"]["stage_trees"] == found


@pytest.mark.usefixtures("lessons")
def test_bad_labels_go_to_a_reject_file_too(run: Run) -> None:
    labels = [f"c{i:02},2026-01-{day:02}T00:00:00Z,{'new' if i % 2 else 'active'}" for i in range(40) for day in (3, 5)]
    Path("labels.csv").write_text("\n".join(["customer_id,as_of,stage", *labels, "c01,2026-01-03T00:00:00,new", ""]))
    ended = run(*TRAIN, "--labels", "labels.csv")
    assert ended.code == 0
    assert ended.said.splitlines()[1] == "81 labels read, 1 rejected (see made.labels.rejects.csv)"
    assert Path("made.labels.rejects.csv").read_text() == "file,row,codes\nlabels.csv,81,as_of_naive\n"


def _history(*rows: str) -> None:
    Path("history.csv").write_text("\n".join(["customer_id,stage,since", *rows, ""]))


@pytest.mark.usefixtures("lessons")
def test_a_stage_history_is_read_as_features_and_by_the_endpoint_alike(run: Run) -> None:
    _history(*(f"c{i:02},{'active' if i % 2 else 'new'},2026-01-02T12:00:00Z" for i in range(40)), "x1,new,2026-01-02")
    ended = run(*TRAIN, "--stage-history", "history.csv")
    assert ended.code == 0
    assert ended.said.splitlines()[0] == "41 recorded stages read, 1 rejected (see made.stages.rejects.csv)"
    assert ended.said.splitlines()[1] == "200 rows read: 200 touchpoints, 0 duplicates dropped, 0 rejected"
    _history("c00,new,2026-01-02T12:00:00Z", "c01,lost,2026-01-03T00:00:00Z", "y1,active,2026-01-01T00:00:00Z")
    made = ["score", "--bundle", "made", "--touchpoints", "touchpoints.csv", *AT]
    ended = run(*made, "--stage-history", "history.csv", "--out", "scores.csv")
    assert ended.said.splitlines()[:2] == [
        "3 recorded stages read, 0 rejected",
        "the stage history holds stages that the journey does not know: lost; they count as touchpoints that training "
        "never saw",
    ]
    scores = pl.read_csv("scores.csv")
    assert scores["customer_id"].to_list() == [*(f"c{i:02}" for i in range(40)), "y1"]
    assert scores.filter(pl.col("customer_id") == "y1")["reliability"].to_list() == ["no_data"]
    scorer = Scorer.load(Path("made"))
    assert "stage recorded by the CRM" in load_bundle(Path("made")).model.reader.column_of
    sent = [
        *(Touchpoint(datetime(2026, 1, day, tzinfo=UTC), "web", "visited") for day in (1, 2)),
        Touchpoint(datetime(2026, 1, 2, 12, tzinfo=UTC), "crm", "stage: new", actor="company"),
    ]
    (answer,) = scorer.score_histories([("c00", sent)], to_us(datetime(2026, 1, 20, tzinfo=UTC)))
    assert [answer["stage_new"], answer["reliability"]] == list(scores.select("stage_new", "reliability").row(0))


@pytest.mark.usefixtures("lessons")
def test_a_stage_history_as_labels_is_not_what_the_stage_model_reads(run: Run) -> None:
    _history(*(f"c{i:02},{'active' if i % 3 else 'new'},2026-01-01T00:00:00Z" for i in range(40)))
    both = ["--labels", "history.csv", "--stage-history", "history.csv"]
    assert run(*TRAIN, *both).code == 0
    reader = load_bundle(Path("made")).model.reader
    assert (reader.vocabulary.stages_recorded, reader.stage_by_record, reader.stage_reads_record) == (True, True, False)
    words = ["evaluate", "--bundle", "made", "--touchpoints", "touchpoints.csv", *both, "--out", "judged"]
    assert run(*words).code == 0
    # The recorded stage says it all, and the touchpoints say nothing of it: who reads it would err never.
    assert json.loads(Path("judged/metrics.json").read_text())["stage/accuracy"] < 0.9


@pytest.mark.usefixtures("lessons")
def test_a_stage_that_is_its_own_label_is_not_judged(run: Run) -> None:
    rows = [f"c{i:02},2026-01-05T00:00:00Z,{'active' if i % 3 else 'new'},{i % 2}" for i in range(40)]
    Path("labels.csv").write_text("\n".join(["customer_id,as_of,stage,converted", *rows, ""]))
    _history(*(f"c{i:02},{'active' if i % 3 else 'new'},2026-01-01T00:00:00Z" for i in range(40)))
    known = ["--labels", "labels.csv", "--stage-history", "history.csv", "--allow-leak", "telling_feature"]
    assert run(*TRAIN, *known).code == 0
    words = ["evaluate", "--bundle", "made", "--touchpoints", "touchpoints.csv", "--out", "judged"]
    ended = run(*words, "--labels", "history.csv", "--stage-history", "history.csv")
    assert "reads what the CRM recorded, and so do these labels: the stage is not judged." in ended.said


def test_a_list_of_features_is_printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = load_bundle(folder / "bundle").model.reader.catalog
    monkeypatch.setattr(sys, "argv", ["journeycast", "features", "--bundle", "bundle", "--format", "json"])
    with pytest.raises(SystemExit) as ended:
        journeycast.main()
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out) == [asdict(feature) for feature in catalog]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--stage-history", "labels.csv"], 3,
         "bad_columns: labels.csv: found none, expected 'since': name the column so"),
        (["--stage-history", "history.csv"], 3,
         "unknown_stage: the stage history holds stages that the journey does not know: lost; it knows new, active: "
         "give a --journey file whose stages are the CRM's"),
        (["--split", "train"], 2, "split_without_labels: --split picks rows of a labels file; give --labels too"),
        (["--labels", "labels.csv", "--split", "x"], 2, "no_such_split: no label has split x; the labels hold: train"),
        (["--labels", "labels.csv"], 3,
         "unknown_stage: the labels hold stages that the journey 'visits' does not know: won; it knows new, active: "
         "give a --journey file whose stages are those of the labels"),
        (["--journey", "nowhere.toml"], 2,
         "no_journey: nowhere.toml: there is no such file; give a TOML file, or none for the default four stages"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_is_told_and_nothing_is_recorded(
    run: Run, lessons: Path, words: list[str], code: int, said: str
) -> None:
    Path("labels.csv").write_text("customer_id,as_of,stage,split\nc01,2026-01-05T00:00:00Z,won,train\n")
    _history("c01,lost,2026-01-05T00:00:00Z")
    ended = run(*TRAIN, *words)
    assert (ended.code, ended.said.splitlines()[-1]) == (code, said)
    assert {path.name for path in lessons.iterdir()} == MORE | {"labels.csv", "history.csv"}
    assert len(tracking.mlflow.search_runs(experiment_names=["journeycast"], output_format="list")) == 1


@pytest.mark.usefixtures("lessons")
def test_a_training_that_fails_is_recorded_as_failed_and_leaves_the_older_bundle(run: Run) -> None:
    shutil.copytree("bundle", "made")
    older = load_bundle(Path("made")).version
    with Path("touchpoints.csv").open("a") as file:
        file.write("c01,2026-01-02T00:00:00Z,web,purchase\nc02,2026-03-01T00:00:00Z,web,visited\n")
    ended = run(*TRAIN)
    assert (ended.code, ended.said.splitlines()[-1].split(":")[0]) == (3, "too_few_conversions")
    assert load_bundle(Path("made")).version == older
    latest = tracking.mlflow.search_runs(experiment_names=["journeycast"], output_format="list")[0]
    assert (latest.info.run_name, latest.info.status) == ("made", "FAILED")


def test_a_bundle_is_judged_on_labelled_rows(run: Run, trained: Path, tmp_path: Path) -> None:
    touchpoints = trained / "simulated" / "touchpoints.parquet"
    rows = rows_by_rule(DEFAULT_JOURNEY, EventLog.from_frame(read_touchpoints(touchpoints).frame))
    known = [i for i in range(len(rows)) if rows.converted[i, 0] >= 0]
    labels = {
        "customer_id": [rows.customer_id[i] for i in known],
        "as_of": [from_us(rows.as_of_us[i]) for i in known],
        "stage": [DEFAULT_JOURNEY.stages[rows.stage[i]] for i in known],
        "converted": [bool(rows.converted[i, 0]) for i in known],
        "horizon_days": [30] * len(known),
        "split": ["late" if i % 3 else "early" for i in known],
    }
    pl.DataFrame(labels).write_parquet(tmp_path / "labels.parquet")
    words = ["evaluate", "--bundle", trained / "bundle", "--touchpoints", touchpoints, "--split", "late"]
    ended = run(*words, "--labels", tmp_path / "labels.parquet", "--out", tmp_path / "new" / "judged")
    assert ended.code == 0
    assert "How good the forecasts are" in ended.said
    metrics = json.loads((tmp_path / "new" / "judged" / "metrics.json").read_text())
    assert metrics["model_version"] == load_bundle(trained / "bundle").version
    assert metrics["conversion_30d/n"] == labels["split"].count("late")
    assert metrics["conversion_30d/roc_auc"] > 0.7 > metrics["conversion_30d/prevalence/roc_auc"] == 0.5


@pytest.mark.usefixtures("folder")
def test_what_is_written_beside_a_judgement_never_spoils_a_bundle(run: Run) -> None:
    before = load_bundle(Path("bundle")).version
    judge = ["evaluate", "--bundle", "bundle", "--touchpoints", "touchpoints.csv", "--labels", "touchpoints.csv"]
    for words, out in ((judge, "bundle"), ([*MARKET, *AT], "bundle/market"), ([*SCORE, *AT], "bundle/scores.csv")):
        ended = run(*words, "--out", out)
        assert (ended.code, ended.said.split(":")[0]) == (2, "out_in_bundle")
    assert load_bundle(Path("bundle")).version == before
    refused = run(*judge, "--out", "judged", "--max-reject-share", "2")
    assert refused == Ended(2, "bad_reject_share: the reject share is 2.0; expected a number from 0 to 1\n")


@pytest.mark.usefixtures("folder")
def test_a_defect_has_an_exit_code_of_its_own_and_tells_nothing_of_customers(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("CANARY")

    monkeypatch.setattr(Scorer, "load", broken)
    ended = run(*SCORE, *AT, "--out", "scores.csv")
    assert ended.code == 70  # neither 1, "not promoted", nor a fault that a user can mend
    told = "defect: Journeycast has failed; please report these lines of its code: KeyError < broken ("
    assert ended.said.startswith(told)
    assert "CANARY" not in ended.said


def test_the_simulation_says_that_it_is_one(run: Run, tmp_path: Path) -> None:
    ended = run("simulate", "--customers", "5", "--seed", "3", "--out", tmp_path / "some")
    rows = pl.read_parquet(tmp_path / "some" / "touchpoints.parquet").height
    assert ended == Ended(0, f"{rows} simulated touchpoints of 5 customers in {tmp_path}/some\n")
    assert (tmp_path / "some" / "README.txt").read_text().startswith("Everything in this folder is simulated")
    assert run("simulate", "--customers", "4", "--out", tmp_path / "some").code == 0
    (tmp_path / "some" / "facts.json").unlink()
    refused = run("simulate", "--customers", "4", "--out", tmp_path / "some")
    assert (refused.code, refused.said.split(":")[0]) == (2, "out_exists")
    assert run("simulate", "--customers", "0", "--difficulty", "2", "--out", tmp_path / "none") == Ended(
        2,
        "bad_simulation: customers is 0; expected at least 1\n"
        "bad_simulation: difficulty is 2.0; expected a number from 0 (plain) to 1 (hardly any signal)\n",
    )


def test_the_simulation_writes_over_nothing_of_its_users(run: Run, tmp_path: Path) -> None:
    (tmp_path / "README.txt").write_text("important")
    ended = run("simulate", "--customers", "4", "--out", tmp_path)
    assert ended == Ended(2, f"out_exists: {tmp_path} holds a README.txt of another origin; give another --out\n")
    assert (tmp_path / "README.txt").read_text() == "important"


@pytest.mark.usefixtures("folder")
def test_a_panic_of_polars_is_a_defect(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: object, **__: object) -> None:
        raise pl.exceptions.PanicException("CANARY")

    monkeypatch.setattr(Scorer, "load", panic)
    ended = run(*SCORE, *AT, "--out", "scores.csv")
    assert (ended.code, "CANARY" in ended.said) == (70, False)


@pytest.mark.usefixtures("folder")
def test_nothing_is_served_where_there_is_no_bundle(run: Run) -> None:
    ended = run("serve", "--bundle", "nowhere")
    assert ended.code == 2
    assert ended.said.endswith(
        "no_bundle: nowhere holds no bundle (no manifest.json); train one with `journeycast train`\n"
    )


def test_an_address_is_refused_without_its_password(run: Run, folder: Path, plain_bundle: Path) -> None:
    source = "postgresql://anna:secret@localhost/crm"
    ended = run("score", "--bundle", plain_bundle, "--touchpoints", source, *AT, "--out", folder / "scores.csv")

    assert ended.code == 2
    assert "secret" not in ended.said


def test_a_missing_extra_is_named() -> None:
    without = "import sys; sys.modules['mlflow'] = None; import journeycast; journeycast.main()"
    words = [sys.executable, "-c", without, "train", "--touchpoints", "none.csv", "--out", "bundle"]
    ended = subprocess.run(words, capture_output=True, text=True)

    assert ended.returncode == 4
    assert ended.stderr == "missing_extra: mlflow is not installed; install journeycast[train]\n"


def test_a_training_that_is_told_to_stop_leaves_no_running_run(folder: Path, trained: Path) -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'stopped.db'}"}
    train = "import journeycast; journeycast.main()"
    words = [sys.executable, "-c", train, "train", "--embedder", "none", "--out", str(folder / "stopped")]
    training = subprocess.Popen(
        [*words, "--touchpoints", str(trained / "simulated" / "touchpoints.parquet")], cwd=folder, env=environment
    )
    while training.poll() is None and not statuses(folder / "stopped.db"):
        time.sleep(0.1)
    time.sleep(1)  # into the fitting
    training.terminate()

    assert training.wait(60) == 128 + signal.SIGTERM
    assert statuses(folder / "stopped.db") == ["KILLED"]
    assert not (folder / "stopped").exists()


def statuses(store: Path) -> list[str]:
    """How the runs in an MLflow store stand; none while the store is being made."""
    if not store.exists():
        return []
    with closing(sqlite3.connect(store, timeout=10)) as database:
        made = database.execute("select 1 from sqlite_master where name = 'runs'").fetchone()
        return [status for (status,) in database.execute("select status from runs")] if made else []
