"""On a cluster of separate processes: the scores, rejects and counts of one machine, whatever happens to an executor.

Two executors of one core; they and the Python processes they start share nothing with this one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from features.errors import BadData, BadUsage
from features.event_log import to_us
from features.touchpoints import TOUCHPOINT_TYPES, drop_duplicates
from serving.cluster_list import ClusterOrder
from serving.feature_rows import FeatureScorer
from serving.schemas import Touchpoint
from serving.score_frame import UTC_US
from serving.score_list import Order, score_list
from serving.scorer import Scorer

if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("Spark needs Java, and there is none on this machine", allow_module_level=True)

ROOT = Path(__file__).parents[2]
AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
NO_PANDAS = "ignore:PySpark does not yet fully support pandas:FutureWarning"


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """A session on two executors, each a process of its own."""
    import pyspark

    from serving.spark import open_session

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_MASTER", "local-cluster[2,1,1024]")
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        opened = open_session()
        opened.sparkContext.setLogLevel("OFF")
        application = opened.sparkContext.applicationId
        yield opened
        opened.stop()
    shutil.rmtree(Path(pyspark.__file__).parent / "work" / application, ignore_errors=True)


@pytest.fixture(scope="module")
def scorer(plain_bundle: Path) -> Scorer:
    return Scorer.load(plain_bundle)


@pytest.fixture(scope="module")
def touchpoints() -> pl.DataFrame:
    """Acts of January by 60 customers, in no order, every tenth twice."""
    return drawn(3000)


def drawn(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(rows)
    who, when = rng.integers(0, 60, rows), rng.integers(0, 30 * 86_400, rows)
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


def here(scorer: Scorer, out: Path, *files: Path, **other: Any) -> dict[str, Any]:
    """The manifest of the list as one machine scores it."""
    given = {"as_of_us": to_us(AS_OF), "snapshots": None, "other_files": [], "reasons": False, "max_reject_share": 0.5}
    return score_list(scorer, Order(list(files), **{**given, "memory_bytes": 8 * 10**9, **other}), out, None, _silent)


def _silent(*_: object) -> None: ...


def there(session: Any, scorer: Scorer, bundle: Path, out: Path, *sources: Path | str, **other: Any) -> dict[str, Any]:
    """The manifest of the list as the cluster scores it."""
    from serving.spark import score_on_cluster

    given = {"as_of_us": to_us(AS_OF), "snapshots": None, "stage_history": None, "reasons": False}
    order = ClusterOrder(list(map(str, sources)), **{**given, "max_reject_share": 0.5, **other})
    return score_on_cluster(session, scorer, bundle, other.get("market"), order, str(out))


def parts_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.startswith("part-"))


# The numbers


def test_the_cluster_one_machine_and_the_endpoint_agree_to_the_last_bit(
    session: Any, trained: Path, tmp_path: Path
) -> None:
    source, as_of = trained / "simulated" / "touchpoints.parquet", datetime(2025, 5, 1, tzinfo=UTC)
    scorer = Scorer.load(trained / "bundle")
    asked: dict[str, Any] = {"as_of_us": to_us(as_of), "reasons": True}
    manifest = here(scorer, tmp_path / "here.parquet", source, **asked)
    told = there(session, scorer, trained / "bundle", tmp_path / "there.parquet", source, **asked)
    scores = pl.read_parquet(tmp_path / "here.parquet")
    assert pl.read_parquet(parts_of(tmp_path / "there.parquet")).equals(scores)
    assert told["touchpoints"] == manifest["touchpoints"]
    assert (told["rows"], told["reliability"]) == (manifest["rows"], manifest["reliability"])
    assert 0 < told["messages"]["shared"] <= told["messages"]["distinct"] < told["messages"]["read"]
    histories = [
        (rows["customer_id"][0], [Touchpoint(**row) for row in rows.drop("customer_id").to_dicts()])
        for rows in pl.read_parquet(source).partition_by("customer_id")
    ]
    assert sorted(scorer.score_histories(histories, to_us(as_of), True), key=lambda row: row["customer_id"]) == (
        scores.to_dicts()
    )


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_text_files_in_and_out_and_their_rejects_are_those_of_one_machine(
    session: Any, scorer: Scorer, plain_bundle: Path, touchpoints: pl.DataFrame, tmp_path: Path, ending: str
) -> None:
    folder = tmp_path / "touchpoints"
    folder.mkdir()
    texts = touchpoints.with_columns(pl.col("occurred_at", "recorded_at").dt.to_string("iso:strict"))
    broken = texts[:40].with_columns(
        customer_id=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("customer_id")),
        occurred_at=pl.col("occurred_at").str.head(10),
    )
    for name, frame in {"a": texts[:2000], "b": pl.concat([texts[2000:], broken])}.items():
        _write(frame, folder / f"{name}.{ending}")
    manifest = here(scorer, tmp_path / f"here.{ending}", *sorted(folder.iterdir()))
    told = there(session, scorer, plain_bundle, tmp_path / f"there.{ending}", folder)
    assert told["touchpoints"] == manifest["touchpoints"]
    assert manifest["touchpoints"]["rejected"] == 40
    rejects = pl.read_csv(parts_of(tmp_path / f"there.{ending}.rejects.csv"))
    assert rejects.equals(pl.read_csv(tmp_path / f"here.{ending}.rejects.csv"))
    read = partial(pl.read_csv, try_parse_dates=False) if ending == "csv" else pl.read_ndjson
    scores = pl.concat([read(part) for part in parts_of(tmp_path / f"there.{ending}")])
    assert scores.equals(read(tmp_path / f"here.{ending}"))
    manifest_text = (tmp_path / f"there.{ending}.manifest.json").read_text()
    assert json.loads(manifest_text) == told
    assert "c00" not in manifest_text


def _write(frame: pl.DataFrame, path: Path) -> None:
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_ndjson(path)


def test_asked_pairs_keep_their_order_repeats_and_strangers_beside_a_stage_history(
    session: Any, scorer: Scorer, plain_bundle: Path, touchpoints: pl.DataFrame, tmp_path: Path
) -> None:
    from features.snapshots_file import read_snapshots
    from features.stage_history_file import as_touchpoints, read_stage_history

    rng = np.random.default_rng(0)
    as_of = pl.Series([AS_OF - timedelta(days=int(each)) for each in rng.integers(0, 25, 200)], dtype=UTC_US)
    pairs = pl.DataFrame({"customer_id": [f"c{each:03}" for each in rng.integers(0, 90, 200)], "as_of": as_of})
    pairs.write_parquet(tmp_path / "pairs.parquet")
    history = pl.DataFrame({"customer_id": ["c001", "c070"], "stage": ["new", "active"], "since": as_of[:2]})
    history.write_parquet(tmp_path / "history.parquet")
    # Nanoseconds, which Spark does not read, beside microseconds, which it does.
    touchpoints[:1500].cast({"occurred_at": pl.Datetime("ns", "UTC")}).write_parquet(tmp_path / "ns.parquet")
    touchpoints[1500:].write_parquet(tmp_path / "us.parquet")
    files = [tmp_path / "ns.parquet", tmp_path / "us.parquet"]
    recorded = as_touchpoints(read_stage_history(tmp_path / "history.parquet").frame)
    snapshots = read_snapshots(tmp_path / "pairs.parquet")
    here(scorer, tmp_path / "here.parquet", *files, as_of_us=None, snapshots=snapshots, recorded=recorded)
    given = {"snapshots": str(tmp_path / "pairs.parquet"), "stage_history": str(tmp_path / "history.parquet")}
    there(session, scorer, plain_bundle, tmp_path / "there.parquet", *files, as_of_us=None, **given)
    expected = pl.read_parquet(tmp_path / "here.parquet")
    assert pl.read_parquet(parts_of(tmp_path / "there.parquet")).equals(expected)


def test_features_are_those_of_one_machine(
    session: Any, plain_bundle: Path, touchpoints: pl.DataFrame, tmp_path: Path
) -> None:
    features = FeatureScorer.load(plain_bundle)
    touchpoints.write_parquet(tmp_path / "touchpoints.parquet")
    here(features, tmp_path / "here.parquet", tmp_path / "touchpoints.parquet")
    there(session, features, plain_bundle, tmp_path / "there.parquet", tmp_path / "touchpoints.parquet")
    expected = pl.read_parquet(tmp_path / "here.parquet")
    assert pl.read_parquet(parts_of(tmp_path / "there.parquet")).equals(expected)
    assert expected.width > 30


# What may happen


def test_a_killed_executor_and_a_customer_of_most_touchpoints_change_nothing(
    session: Any, scorer: Scorer, plain_bundle: Path, tmp_path: Path
) -> None:
    """One customer has more touchpoints than a task works on at once, two thirds of all."""
    rows = drawn(60_000)
    giant = drawn(120_000).with_columns(customer_id=pl.lit("giant"))
    pl.concat([rows, giant]).write_parquet(tmp_path / "touchpoints.parquet", row_group_size=20_000)
    here(scorer, tmp_path / "here.parquet", tmp_path / "touchpoints.parquet")
    killed: list[int] = []
    watch = threading.Thread(target=_kill_an_executor_at_work, args=(session, killed))
    watch.start()
    there(session, scorer, plain_bundle, tmp_path / "there.parquet", tmp_path / "touchpoints.parquet")
    watch.join()
    assert len(killed) == 1
    expected = pl.read_parquet(tmp_path / "here.parquet")
    assert pl.read_parquet(parts_of(tmp_path / "there.parquet")).equals(expected)


def _kill_an_executor_at_work(session: Any, killed: list[int]) -> None:
    """Kill one once a task of a stage is done and another runs."""
    tracker = session.sparkContext.statusTracker()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        if any(stage and stage.numCompletedTasks and stage.numActiveTasks for stage in stages):
            pid = _executors()[0]
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
            return
        time.sleep(0.01)


def _executors() -> list[int]:
    """Processes of executors that descend from this process."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    ours = [pid for pid in parents if _descends(pid, parents)]
    return [pid for pid in ours if b"CoarseGrainedExecutorBackend" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != os.getpid():
        pid = parents[pid]
    return pid == os.getpid()


def test_too_many_rejects_and_faults_are_told_and_nothing_is_written(
    session: Any, scorer: Scorer, plain_bundle: Path, touchpoints: pl.DataFrame, tmp_path: Path
) -> None:
    touchpoints.with_columns(channel=pl.lit(None, pl.String)).write_parquet(tmp_path / "bad.parquet")
    with pytest.raises(BadData, match="rejected 3300 of 3300 rows"):
        there(session, scorer, plain_bundle, tmp_path / "scores.parquet", tmp_path / "bad.parquet")
    (tmp_path / "worse.csv").write_text("customer,when\n1,2\n")
    with pytest.raises(BadData, match=r"worse\.csv: .*customer_id"):
        there(session, scorer, plain_bundle, tmp_path / "scores.parquet", tmp_path / "worse.csv")
    assert not (tmp_path / "scores.parquet").exists()


def test_an_output_that_is_there_is_kept(session: Any, scorer: Scorer, plain_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "scores.parquet").mkdir()
    with pytest.raises(BadUsage, match="exists"):
        there(session, scorer, plain_bundle, tmp_path / "scores.parquet", tmp_path / "any.parquet")


def test_a_table_and_an_address_are_read_as_files_are(
    session: Any, scorer: Scorer, plain_bundle: Path, touchpoints: pl.DataFrame, tmp_path: Path
) -> None:
    touchpoints[:1500].write_parquet(tmp_path / "half.parquet")
    touchpoints[1500:].write_parquet(tmp_path / "other.parquet")
    session.read.parquet(f"file://{tmp_path}/half.parquet").createOrReplaceTempView("half")
    there(session, scorer, plain_bundle, tmp_path / "there.parquet", "table:half", f"file://{tmp_path}/other.parquet")
    here(scorer, tmp_path / "here.parquet", tmp_path / "half.parquet", tmp_path / "other.parquet")
    expected = pl.read_parquet(tmp_path / "here.parquet")
    assert pl.read_parquet(parts_of(tmp_path / "there.parquet")).equals(expected)


# The ways in


def test_spark_submit_scores_with_the_command_line(
    plain_bundle: Path, touchpoints: pl.DataFrame, tmp_path: Path
) -> None:
    import pyspark

    touchpoints.write_parquet(tmp_path / "touchpoints.parquet")
    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    words = ["score", "--engine", "spark", "--bundle", plain_bundle, "--touchpoints", tmp_path / "touchpoints.parquet"]
    words += ["--as-of", AS_OF.isoformat(), "--out", tmp_path / "scores.parquet"]
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [submit, "--master", "local[1]", ROOT / "journeycast.py", *words]
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert "60 rows by model" in ran.stdout  # spark-submit puts both streams into one
    assert pl.read_parquet(parts_of(tmp_path / "scores.parquet"))["customer_id"].n_unique() == 60


@pytest.mark.filterwarnings(NO_PANDAS)
@pytest.mark.usefixtures("store")
def test_the_registered_model_is_a_function_on_spark(session: Any, trained: Path) -> None:
    from training import tracking

    source = pl.read_parquet(trained / "simulated" / "touchpoints.parquet")
    times = drop_duplicates(source).with_columns(pl.col("occurred_at", "recorded_at").dt.to_string("iso:strict"))
    some = times.partition_by("customer_id", maintain_order=True)[:20]
    moment = "2025-05-01T00:00:00Z"
    rows = [(part["customer_id"][0], moment, json.dumps(part.to_dicts())) for part in some]
    frame = session.createDataFrame(rows, "customer_id string, as_of string, touchpoints string").repartition(2)
    kinds = {"customer_id": "string", "stage": "string", "conversion_30d": "double", "reliability": "string"}
    result = ", ".join(f"{name}: {kind}" for name, kind in kinds.items())
    score = tracking.mlflow.pyfunc.spark_udf(
        session, "models:/journeycast@champion", result_type=f"struct<{result}>", env_manager="local"
    )
    answered = frame.select(score("customer_id", "as_of", "touchpoints").alias("scores")).select("scores.*").collect()
    histories = [
        (part["customer_id"][0], [Touchpoint(**row) for row in part.drop("customer_id").to_dicts()])
        for part in drop_duplicates(source).partition_by("customer_id", maintain_order=True)[:20]
    ]
    scorer = Scorer.load(trained / "bundle")
    asked = scorer.score_histories(histories, to_us(datetime.fromisoformat(moment)))
    assert sorted(tuple(row) for row in answered) == sorted(tuple(row[name] for name in kinds) for row in asked)
