"""A list is scored the same however it is divided, interrupted and repeated; nothing is lost and nothing is harmed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from features import packed_touchpoints
from features.errors import BadData, BadEnvironment, BadUsage
from features.event_log import to_us
from features.touchpoints import TOUCHPOINT_TYPES
from serving import partitions, score_list, scored_parts
from serving.batch import score_partition
from serving.score_frame import UTC_US
from serving.score_list import Order
from serving.scorer import Scorer

ROOT = Path(__file__).parents[2]
AS_OF = datetime(2026, 1, 20, tzinfo=UTC)


def silent(what: str, done: int, total: int) -> None: ...


def drawn(rows: int, customers: int = 60) -> pl.DataFrame:
    """Acts of January in no order, every tenth twice."""
    rng = np.random.default_rng(rows)
    who, when = rng.integers(0, customers, rows), rng.integers(0, 30 * 86_400, rows)
    frame = pl.DataFrame(
        {
            "customer_id": [f"c{each:03}" for each in who],
            "occurred_at": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=int(each)) for each in when],
            "channel": "web",
            "action": rng.choice(["visited", "asked", "purchase"], rows, p=[0.7, 0.28, 0.02]),
            "actor": "customer",
        }
    )
    columns = [pl.col(name) if name in frame.columns else pl.lit(None).alias(name) for name in TOUCHPOINT_TYPES]
    frame = frame.select(columns).cast(dict(TOUCHPOINT_TYPES))
    return pl.concat([frame, frame.gather_every(10)]).sample(fraction=1.0, shuffle=True, seed=1)


@pytest.fixture(scope="module")
def scorer(plain_bundle: Path) -> Scorer:
    return Scorer.load(plain_bundle)


@pytest.fixture(scope="module")
def touchpoints() -> pl.DataFrame:
    return drawn(3000)


@pytest.fixture
def parquet(touchpoints: pl.DataFrame, tmp_path: Path) -> Path:
    touchpoints.write_parquet(tmp_path / "touchpoints.parquet", row_group_size=500)
    return tmp_path / "touchpoints.parquet"


@pytest.fixture
def in_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same way as a list that is a thousand times as long."""
    monkeypatch.setattr(score_list, "MOST_PARTITION_BYTES", 20_000)
    monkeypatch.setattr(partitions, "FLUSH_BYTES", 30_000)
    monkeypatch.setattr(scored_parts, "OUTPUT_ROWS", 7)


def order(*files: Path, **other: Any) -> Order:
    given = {"as_of_us": to_us(AS_OF), "snapshots": None, "other_files": [], "reasons": True}
    return Order(list(files), **{**given, "max_reject_share": 0.05, "memory_bytes": 4 * 10**9, **other})


def everybody(touchpoints: pl.DataFrame) -> pl.DataFrame:
    as_of = pl.lit(AS_OF).cast(UTC_US).alias("as_of")
    return touchpoints.select(pl.col("customer_id").unique().sort()).with_columns(as_of)


# The answer


@pytest.mark.usefixtures("in_many_parts")
@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_everybody_has_one_row_by_id_with_the_scores_of_one_part(
    scorer: Scorer, touchpoints: pl.DataFrame, tmp_path: Path, ending: str
) -> None:
    source, out = tmp_path / f"touchpoints.{ending}", tmp_path / "scores.parquet"
    times = pl.col("occurred_at", "recorded_at").dt.to_string("iso:strict")
    if ending == "parquet":
        touchpoints.write_parquet(source)
    elif ending == "csv":
        touchpoints.with_columns(times).write_csv(source)
    else:
        touchpoints.with_columns(times).write_ndjson(source)
    told: list[tuple[str, int, int]] = []
    manifest = score_list.score_list(scorer, order(source), out, None, lambda *step: told.append(step))
    expected = score_partition(scorer, touchpoints, everybody(touchpoints), True)
    assert pl.read_parquet(out).equals(expected)
    assert manifest["rows"] == 60
    assert len({step for step in told if step[0] == "Scoring customers"}) > 5
    assert told[-1] == ("Scoring customers", 60, 60)


@pytest.mark.usefixtures("in_many_parts")
def test_asked_pairs_keep_their_order_repeats_and_strangers(
    scorer: Scorer, touchpoints: pl.DataFrame, parquet: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    ids = [f"c{each:03}" for each in rng.integers(0, 90, 200)]  # a third of them strangers
    as_of = pl.Series([AS_OF - timedelta(days=int(each)) for each in rng.integers(0, 25, 200)], dtype=UTC_US)
    pairs = pl.DataFrame({"customer_id": ids, "as_of": as_of})
    asked = order(parquet, as_of_us=None, snapshots=pairs)
    score_list.score_list(scorer, asked, tmp_path / "scores.parquet", None, silent)
    scores = pl.read_parquet(tmp_path / "scores.parquet")
    assert scores.equals(score_partition(scorer, touchpoints, pairs, True))
    assert scores.filter(pl.col("reliability") == "no_data").height > 50


@pytest.mark.usefixtures("in_many_parts")
def test_customers_with_one_key_are_told_apart(
    scorer: Scorer, touchpoints: pl.DataFrame, parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, seeds = packed_touchpoints.customer_keys, set()

    def seldom_different(customer_ids: pl.Series, seed: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
        seeds.add(seed)
        return keys(customer_ids, seed) % np.uint64(7 if seed == 0 else 2**63)

    for module in (packed_touchpoints, partitions):
        monkeypatch.setattr(module, "customer_keys", seldom_different)
    score_list.score_list(scorer, order(parquet), tmp_path / "scores.parquet", None, silent)
    assert seeds == {0, 1}
    expected = score_partition(scorer, touchpoints, everybody(touchpoints), True)
    assert pl.read_parquet(tmp_path / "scores.parquet").equals(expected)


@pytest.mark.usefixtures("in_many_parts")
def test_each_distinct_message_is_embedded_once(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from features.embedder import Network

    monkeypatch.setenv("JOURNEYCAST_CACHE", str(tmp_path / "cache"))
    embedded: list[str] = []
    vector = Network.vector
    monkeypatch.setattr(Network, "vector", lambda self, text: embedded.append(text) or vector(self, text))
    scorer = Scorer.load(trained / "bundle", threads=2)
    embedded.clear()  # the sample
    source = trained / "simulated" / "touchpoints.parquet"
    asked = order(source, as_of_us=to_us(datetime(2025, 5, 1, tzinfo=UTC)), reasons=False)
    score_list.score_list(scorer, asked, tmp_path / "scores.csv", None, silent)
    assert len(embedded) == len(set(embedded)) > 300
    again = Scorer.load(trained / "bundle", threads=2)
    embedded.clear()
    score_list.score_list(again, asked, tmp_path / "again.csv", None, silent)
    assert embedded == []
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "scores.csv").read_bytes()


# The manifest


def test_the_manifest_tells_counts_hashes_and_settings_and_no_data(
    scorer: Scorer, touchpoints: pl.DataFrame, tmp_path: Path
) -> None:
    source, out = tmp_path / "touchpoints.csv", tmp_path / "scores.csv"
    texts = touchpoints.with_columns(pl.col("occurred_at", "recorded_at").dt.to_string("iso:strict"))
    source.write_text(texts.write_csv() + "CANARY,2026-01-05,web,visited" + "," * 8 + "\n")
    returned = score_list.score_list(scorer, order(source), out, None, silent)
    content = (tmp_path / "scores.csv.manifest.json").read_text()
    manifest = json.loads(content)
    assert manifest == returned
    assert manifest["touchpoints"] == {
        "rows_read": 3301,
        "touchpoints": 3000,
        "duplicates_dropped": 300,
        "rejected": 1,
        "reject_codes": {"occurred_at_naive": 1},
        "ignored_columns": [],
    }
    assert manifest["rows"] == sum(manifest["reliability"].values()) == 60
    assert manifest["model_version"] == scorer.model_version
    assert manifest["inputs"] == [{"file": str(source), "sha256": _sha256(source)}]
    assert manifest["output"] == {"file": "scores.csv", "bytes": out.stat().st_size, "sha256": _sha256(out)}
    assert not any(canary in content for canary in ("CANARY", "c00", "visited"))


def _sha256(path: Path) -> str:
    return subprocess.run(["sha256sum", path], capture_output=True, check=True, text=True).stdout.split()[0]


# Whole or not at all


def test_a_run_that_is_killed_anywhere_ends_in_the_same_bytes(
    plain_bundle: Path, parquet: Path, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    words = ["--bundle", plain_bundle, "--touchpoints", parquet, "--folder", tmp_path / "work"]
    words += ["--as-of-day", "20473", "--partition-bytes", "100000", "--random", "1", "--every", "7"]
    command = [sys.executable, "-m", "benchmarks.kills", *map(str, words)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    found = re.search(r"(\d+) kills around them and 1 at random moments: (\d+) of (\d+) outputs are equal", ran.stdout)
    assert found is not None
    assert int(found[2]) == int(found[3]) == int(found[1]) + 1 > 4


@pytest.mark.usefixtures("in_many_parts")
def test_parts_that_are_still_what_was_written_are_not_scored_again(
    scorer: Scorer, parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, scored = tmp_path / "scores.parquet", []
    score = scored_parts.score_log
    monkeypatch.setattr(scored_parts, "score_log", lambda *words: scored.append(1) or score(*words))
    with monkeypatch.context() as broken:
        broken.setattr(score_list, "write_scores", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(BadEnvironment, match="is full"):
            score_list.score_list(scorer, order(parquet), out, None, silent)
    parts = sorted((tmp_path / ".scores.parquet.work").glob("part-*.blocks"))
    assert (len(scored), out.exists()) == (len(parts), False)
    damaged = bytearray(parts[1].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    parts[1].write_bytes(damaged)
    scored.clear()
    score_list.score_list(scorer, order(parquet), out, None, silent)
    assert len(scored) == 1
    undisturbed = tmp_path / "undisturbed.parquet"
    score_list.score_list(scorer, order(parquet), undisturbed, None, silent)
    assert out.read_bytes() == undisturbed.read_bytes()


def test_work_of_another_format_is_begun_anew(
    scorer: Scorer, touchpoints: pl.DataFrame, parquet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scores.parquet"
    with monkeypatch.context() as older:
        older.setattr(score_list, "WORK_FORMAT", score_list.WORK_FORMAT - 1)
        older.setattr(score_list, "write_scores", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(BadEnvironment, match="is full"):
            score_list.score_list(scorer, order(parquet), out, None, silent)
    (tmp_path / ".scores.parquet.work" / "partitioned.json").write_text('{"buckets": 1, "blocks": []}')
    score_list.score_list(scorer, order(parquet), out, None, silent)
    assert pl.read_parquet(out).equals(score_partition(scorer, touchpoints, everybody(touchpoints), True))


def test_what_stands_beside_belongs_to_the_scores(scorer: Scorer, parquet: Path, tmp_path: Path) -> None:
    """Rejects and changes come and go with the scores, and with nothing before them."""
    out, older, bad = tmp_path / "scores.csv", tmp_path / "older.csv", tmp_path / "bad.parquet"
    rows = pl.read_parquet(parquet)
    rows.with_columns(channel=pl.when(pl.int_range(pl.len()) > 0).then("channel")).write_parquet(bad)
    score_list.score_list(scorer, order(parquet, as_of_us=to_us(AS_OF) - 5 * 86_400_000_000), older, None, silent)
    score_list.score_list(scorer, order(bad), out, older, silent)
    beside = {path.name for path in tmp_path.glob("scores.csv.*")}
    assert {"scores.csv.rejects.csv", "scores.csv.moved.csv", "scores.csv.retarget.rest.csv"} <= beside

    renamed = tmp_path / "renamed.parquet"
    rows.rename({"channel": "chanel"}).write_parquet(renamed)
    with pytest.raises(BadData, match="found 'chanel'"):
        score_list.score_list(scorer, order(renamed), out, None, silent)
    assert {path.name for path in tmp_path.glob("scores.csv.*")} == beside

    score_list.score_list(scorer, order(parquet), out, None, silent)
    assert {path.name for path in tmp_path.glob("scores.csv.*")} == {"scores.csv.manifest.json"}


def test_a_list_that_is_compared_with_what_it_replaces_can_be_asked_for_again(
    scorer: Scorer, parquet: Path, tmp_path: Path
) -> None:
    out, moved = tmp_path / "scores.csv", tmp_path / "scores.csv.moved.csv"
    score_list.score_list(scorer, order(parquet, as_of_us=to_us(AS_OF) - 10 * 86_400_000_000), out, None, silent)
    first = score_list.score_list(scorer, order(parquet), out, out, silent)
    told = moved.read_text()
    assert len(told.splitlines()) > 1

    assert score_list.score_list(scorer, order(parquet), out, out, silent) == first
    assert moved.read_text() == told


@pytest.mark.usefixtures("in_many_parts")
def test_another_jobs_work_is_not_taken_up(scorer: Scorer, parquet: Path, tmp_path: Path) -> None:
    out, work = tmp_path / "scores.csv", tmp_path / ".scores.csv.work"
    work.mkdir()
    for name in ("partitioned.json", "partitions.json", "part-0000.json"):
        (work / name).write_text("[]")
    (work / "job.json").write_text('{"fingerprint": "another"}')
    score_list.score_list(scorer, order(parquet), out, None, silent)
    assert (out.exists(), work.exists()) == (True, False)


def test_a_second_run_on_one_output_is_told_and_harms_nothing(scorer: Scorer, parquet: Path, tmp_path: Path) -> None:
    out, work = tmp_path / "scores.csv", tmp_path / ".scores.csv.work"
    work.mkdir()
    (work / "something").write_text("of the first run")
    out.write_text("older")
    holder = os.open(work, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with pytest.raises(BadUsage, match="another run is writing this output"):
        score_list.score_list(scorer, order(parquet), out, None, silent)
    assert ((work / "something").read_text(), out.read_text()) == ("of the first run", "older")
    os.close(holder)
    score_list.score_list(scorer, order(parquet), out, None, silent)
    assert out.read_text() != "older"


def test_a_full_disk_leaves_the_older_file(plain_bundle: Path, parquet: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for it: writing fails with an error of the system."""
    (tmp_path / "scores.csv").write_text("older")
    program = (
        "import resource, journeycast; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, -1)); journeycast.main()"
    )
    words = ["--bundle", plain_bundle, "--touchpoints", parquet, "--as-of", AS_OF.isoformat(), "--out", "scores.csv"]
    ran = subprocess.run(
        [sys.executable, "-c", program, "score", *map(str, words)],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, "Traceback" in ran.stderr) == (4, False)
    assert (tmp_path / "scores.csv").read_text() == "older"


def test_a_file_that_the_system_does_not_read_leaves_the_older_output(scorer: Scorer, tmp_path: Path) -> None:
    unreadable, out = tmp_path / "touchpoints.parquet", tmp_path / "scores.csv"
    unreadable.symlink_to("/proc/self/mem")  # a plain file whose beginning nobody may read, not even root
    out.write_text("older")
    with pytest.raises(OSError, match="Input/output error"):  # which the command line ends with exit code 4
        score_list.score_list(scorer, order(unreadable), out, None, silent)
    assert out.read_text() == "older"


def test_a_truncated_file_is_bad_data_and_leaves_nothing_behind(scorer: Scorer, parquet: Path, tmp_path: Path) -> None:
    parquet.write_bytes(parquet.read_bytes()[:-2000])
    with pytest.raises(BadData, match="cut off, damaged or not Parquet"):
        score_list.score_list(scorer, order(parquet), tmp_path / "scores.csv", None, silent)
    assert [path.name for path in tmp_path.iterdir()] == [parquet.name]


def test_a_file_that_changes_while_it_is_read_is_refused(
    scorer: Scorer, parquet: Path, tmp_path: Path, touchpoints: pl.DataFrame
) -> None:
    def change(what: str, *_: object) -> None:
        if what == "Reading touchpoints":
            touchpoints.head(10).write_parquet(parquet)

    with pytest.raises(BadData, match="changed while it was read"):
        score_list.score_list(scorer, order(parquet), tmp_path / "scores.csv", None, change)


@pytest.mark.usefixtures("in_many_parts")
def test_damaged_work_is_told(scorer: Scorer, parquet: Path, tmp_path: Path) -> None:
    def damage(step: str, *_: object) -> None:
        if step == "Scoring customers":
            blocks = tmp_path / ".scores.csv.work" / "touchpoints.blocks"
            blocks.write_bytes(b"x" * blocks.stat().st_size)

    with pytest.raises(BadEnvironment, match="is not what was written; run the command again"):
        score_list.score_list(scorer, order(parquet), tmp_path / "scores.csv", None, damage)
    score_list.score_list(scorer, order(parquet), tmp_path / "scores.csv", None, silent)


def test_too_little_memory_is_refused_with_the_least(scorer: Scorer, parquet: Path, tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="give at least"):
        score_list.score_list(scorer, order(parquet, memory_bytes=10**8), tmp_path / "scores.csv", None, silent)
