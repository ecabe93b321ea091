"""Lists that outgrow a machine: Spark divides them by customer, and the one scorer scores each part.

The only `import pyspark`. Touchpoints are checked, brought together by customer and freed of duplicates once, and kept
on the executors' disks; from there rejects are counted, shared messages embedded, and customers scored.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import polars as pl
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext, SparkFiles, StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from features.errors import BadData, BadEnvironment, BadUsage
from features.given_vectors import write_vectors
from features.rejects import refuse_counts_above_share
from features.snapshots_file import refuse_unanswerable
from serving import executor, shipment
from serving.batch import no_scores
from serving.cluster_list import SNAPSHOTS, STAGE_HISTORY, TOUCHPOINTS, ClusterOrder, Found, Texts, manifest_of
from serving.cluster_sources import ClusterRows, read_sources
from serving.executor import Asked, Batches, Shipped
from serving.feature_rows import FeatureScorer
from serving.hadoop_file import HadoopFile, full_address
from serving.mixed_rows import NO_PANDAS, ROWS, Kind, mapped
from serving.score_file import ENDINGS
from serving.scorer import Scorer

PARTITION_BYTES = 256 * 10**6  # of touchpoints as Spark holds them; a task works on a part of that at a time
BYTES_A_FILE_BYTE = 6
MOST_PARTITIONS = 100_000
OUTPUT_ROWS = 1_000_000  # a file
MOST_SHARED_TEXTS = 100_000  # 154 MB at 384 numbers, on each executor
PLACE = {"file": pl.Int32(), "row": pl.Int64()}  # of an asked pair, beside its scores until they are in order
REJECT_FILES = {TOUCHPOINTS: "rejects.csv", STAGE_HISTORY: "stages.rejects.csv", SNAPSHOTS: "snapshots.rejects.csv"}
OF_SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.caseSensitive": "true",
}
OF_APPLICATION = {
    "spark.app.name": "journeycast",
    "spark.ui.showConsoleProgress": "false",
    "spark.executorEnv.POLARS_MAX_THREADS": "1",  # a task has one core
    "spark.executorEnv.OMP_NUM_THREADS": "1",
}
WRITER_OPTIONS: dict[str, dict[str, Any]] = {
    "parquet": {},
    # After RFC 4180, as files that are written on one machine.
    "csv": {
        "header": True,
        "escape": '"',
        "emptyValue": "",
        "ignoreLeadingWhiteSpace": False,
        "ignoreTrailingWhiteSpace": False,
    },
    "json": {"ignoreNullFields": False},
}


def open_session() -> SparkSession:
    """The session of spark-submit or of this process, else one at SPARK_MASTER, spark-defaults' master or local[*].

    Raises BadEnvironment where Spark cannot be started.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", NO_PANDAS, FutureWarning)
        if SparkContext._active_spark_context is None:
            _start()
        session = SparkSession.builder.getOrCreate().newSession()
    for name, value in OF_SESSION.items():
        session.conf.set(name, value)
    return session


def _start() -> None:
    try:
        configured = SparkConf()
        if "PYSPARK_GATEWAY_PORT" not in os.environ and "SPARK_MASTER" in os.environ:  # spark-submit knows better
            configured.setMaster(os.environ["SPARK_MASTER"])
        for name, value in {"spark.master": "local[*]", **OF_APPLICATION}.items():
            configured.setIfMissing(name, value)
        context = SparkContext(conf=configured)
    except (PySparkException, Py4JError, OSError) as error:
        raise BadEnvironment(
            "no_spark", f"Spark cannot be started ({type(error).__name__}); it needs Java 17 or newer and a master"
        ) from None
    if "PYSPARK_PYTHON" not in os.environ and str(context.master).startswith("local"):
        context.pythonExec = sys.executable


def score_on_cluster(
    session: SparkSession, scorer: Scorer, bundle: Path, market: Path | None, order: ClusterOrder, out: str
) -> dict[str, Any]:
    """Score the list to the folder `out`, by Spark's own commit, and return its manifest (`<out>.manifest.json`).

    `scorer` is that of `bundle` and `market`. One row for each asked pair, in files that follow each other: everybody
    sorted by customer_id, snapshots in the order asked. Rejected rows go to the folder `<out>.rejects.csv`, those of
    the stage history to `<out>.stages.rejects.csv`.

    Raises BadUsage for an output that cannot be or is there already, BadData as `score_list` does, BadEnvironment
    where Spark gives up.
    """
    check_cluster_output(session, out)
    kept: list[DataFrame] = []
    try:
        with _spelling_out():
            return _score(session, scorer, bundle, market, order, out, kept)
    finally:
        for frame in kept:
            frame.unpersist()


def check_cluster_output(session: SparkSession, out: str) -> None:
    """Raise BadUsage where a folder of scores cannot be written: Spark cannot keep an older one until it commits."""
    if PurePosixPath(out).suffix not in ENDINGS:
        raise BadUsage("out_format", f"--out {out} has no known ending; expected one of {', '.join(ENDINGS)}")
    if HadoopFile(session, out).exists():
        raise BadUsage(
            "out_exists", f"--out {out} exists and Spark cannot replace it safely; name another or remove it"
        )


def _score(
    session: SparkSession,
    scorer: Scorer,
    bundle: Path,
    market: Path | None,
    order: ClusterOrder,
    out: str,
    kept: list[DataFrame],
) -> dict[str, Any]:
    sources = _read(session, order)
    placed = _keep(_by_customer(session, list(sources.values())), kept)
    found = _found(placed, sources)
    found.raise_faults()
    for contract, source in sources.items():
        _check_rejects(session, placed, found, contract, source, order, out)
    asked = Asked(order.as_of_us, order.reasons, PurePosixPath(out).suffix)
    shipped = _send(session, scorer, bundle, market)
    texts = None
    if scorer.reads_text:
        shipped, texts = _share_texts(session, placed, asked, shipped, kept)
    columns = executor.written(no_scores(scorer, order.reasons), asked.ending).schema
    score = partial(executor.score, asked=asked, shipped=shipped)
    scored = _keep(mapped(placed, partial(_on_executor, score), pl.Schema({**columns, **PLACE})), kept)
    reliability = _by_reliability(scored)
    rows, answered = found.customers if order.snapshots is None else found.asked, sum(reliability.values())
    if answered != rows:
        raise BadEnvironment("scores_lost", f"{rows} pairs were asked and {answered} scored; start again")
    _write(scored, ["customer_id"] if order.snapshots is None else list(PLACE), rows, out)
    manifest = manifest_of(order, scorer.model_version, out, sources, found, reliability, texts)
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    HadoopFile(session, f"{out}.manifest.json").write(text)
    return manifest


# Reading


def _read(session: SparkSession, order: ClusterOrder) -> dict[str, ClusterRows]:
    """The sources of each contract; their files are numbered through."""
    read: dict[str, ClusterRows] = {}
    for contract, sources in order.sources().items():
        first = sum(len(each.names) for each in read.values())
        read[contract] = read_sources(session, sources, contract, first)
    return read


def _by_customer(session: SparkSession, sources: list[ClusterRows]) -> DataFrame:
    """All of a customer's rows in one partition, next to each other, without duplicates; other rows anywhere."""
    rows: DataFrame = sources[0].rows
    for source in sources[1:]:
        rows = rows.unionAll(source.rows)
    anywhere = F.concat_ws("/", "file", "row", "codes")
    together = rows.repartition(_partitions(session, sources), F.coalesce("customer_id", anywhere))
    placed: DataFrame = mapped(together.sortWithinPartitions("customer_id"), executor.deduplicate, ROWS)
    return placed


def _partitions(session: SparkSession, sources: list[ClusterRows]) -> int:
    least = 2 * session.sparkContext.defaultParallelism
    if any(source.size is None for source in sources):
        return max(least, int(session.conf.get("spark.sql.shuffle.partitions") or 0))
    held = BYTES_A_FILE_BYTE * sum(source.size or 0 for source in sources)
    return min(max(least, -(-held // PARTITION_BYTES)), MOST_PARTITIONS)


def _keep(frame: DataFrame, kept: list[DataFrame]) -> DataFrame:
    """The frame, computed once and then on the executors' disks; what a lost executor held is computed again."""
    frame.persist(StorageLevel.DISK_ONLY)
    kept.append(frame)
    return frame


def _found(placed: DataFrame, sources: dict[str, ClusterRows]) -> Found:
    contract, first = F.lit(None).cast("string"), 0
    for name, source in sources.items():
        contract = F.when(F.col("file") >= first, name).otherwise(contract)
        first += len(source.names)
    counts = placed.groupBy("kind", contract.alias("contract"), "codes")
    return Found.of(row.asDict() for row in counts.agg(F.count("*").alias("rows"), F.sum("row").alias("sum")).collect())


def _check_rejects(
    session: SparkSession,
    placed: DataFrame,
    found: Found,
    contract: str,
    source: ClusterRows,
    order: ClusterOrder,
    out: str,
) -> None:
    """Write a contract's rejects, and raise BadData where they are too many."""
    where = f"{out}.{REJECT_FILES[contract]}"
    HadoopFile(session, where).delete()
    rejected = found.rejected[contract]
    if rejected:
        names = session.createDataFrame(list(enumerate(source.names, source.first)), "file int, name string")
        rejects = placed.where(F.col("kind") == Kind.REJECT.value).join(F.broadcast(names), "file")
        rows = rejects.select("file", "name", "row", "codes").repartitionByRange(_files(rejected), "file", "row")
        named = rows.sortWithinPartitions("file", "row").select(F.col("name").alias("file"), "row", "codes")
        named.write.options(**WRITER_OPTIONS["csv"]).csv(full_address(where))
    codes, rows_read = found.reject_codes.get(contract, Counter()), found.rows_read[contract]
    if contract == SNAPSHOTS:
        refuse_unanswerable(rejected, codes, rows_read, f"; see {where}")
    else:
        refuse_counts_above_share(rejected, codes, rows_read, order.max_reject_share, f"see {where}")


def _by_reliability(scored: DataFrame) -> dict[str, int]:
    """How many rows there are of each reliability; features have none."""
    if "reliability" not in scored.columns:
        return {"": scored.count()}
    return {row["reliability"]: row["count"] for row in scored.groupBy("reliability").count().collect()}


# What the executors need


def _on_executor(work: Callable[..., Batches], batches: Batches) -> Batches:
    return work(batches, root=Path(SparkFiles.getRootDirectory()))


def _send(session: SparkSession, scorer: Scorer, bundle: Path, market: Path | None) -> Shipped:
    application, version = session.sparkContext.applicationId, scorer.model_version
    code_sha256, name = _send_code(application), _send_bundle(application, bundle, market, version)
    seen_by = scorer.seen_by if isinstance(scorer, FeatureScorer) else None
    return Shipped(code_sha256, name, version, market is not None, seen_by)


@lru_cache
def _send_code(application: str) -> str:
    """Send this project's code along with all tasks to come, once for each application; its SHA-256."""
    del application
    for archive in shipment.pack_code(_lasting_folder()):
        SparkContext.getOrCreate().addArchive(f"{archive}#{archive.stem}")
    return shipment.code_sha256()


@lru_cache
def _send_bundle(application: str, bundle: Path, market: Path | None, version: str) -> str:
    """Send a bundle, and a market, likewise; the name of their folder."""
    del application
    name = f"journeycast-{version}"
    archive = _lasting_folder() / f"{name}.zip"
    shipment.pack_bundle(bundle, market, archive)
    SparkContext.getOrCreate().addArchive(f"{archive}#{name}")
    return name


def _lasting_folder() -> Path:
    """Executors fetch from it as long as this process lives."""
    folder = tempfile.mkdtemp(prefix="journeycast-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _share_texts(
    session: SparkSession, placed: DataFrame, asked: Asked, shipped: Shipped, kept: list[DataFrame]
) -> tuple[Shipped, Texts]:
    """Embed the messages that come in several parts of the list, once each, and send their vectors to all executors.

    A message that comes in one part is embedded there. So each is embedded once, if those that are shared are not more
    than MOST_SHARED_TEXTS; of more, the most frequent are.
    """
    listed = partial(executor.list_texts, asked=asked, shipped=shipped)
    said = mapped(placed, partial(_on_executor, listed), executor.TEXTS)
    texts = _keep(said.groupBy("key").agg(F.first("text").alias("text"), F.count("*").alias("parts")), kept)
    counts = texts.agg(F.sum("parts").alias("read"), F.count("*").alias("distinct"))
    (row,) = counts.collect()
    shared = texts.where("parts > 1").orderBy(F.desc("parts"), "key").limit(MOST_SHARED_TEXTS).select("key", "text")
    spread = shared.repartition(2 * session.sparkContext.defaultParallelism)
    embed = partial(executor.embed_texts, shipped=shipped)
    vectors = mapped(spread, partial(_on_executor, embed), executor.VECTORS).collect()
    file = _lasting_folder() / f"vectors-{uuid4().hex}"
    write_vectors({bytes(row["key"]): bytes(row["vector"]) for row in vectors}, file)
    session.sparkContext.addFile(str(file))
    return replace(shipped, vectors=file.name), Texts(row["read"] or 0, row["distinct"], len(vectors))


# Writing


def _write(scored: DataFrame, order: list[str], rows: int, out: str) -> None:
    placed = scored.repartitionByRange(_files(rows), *order).sortWithinPartitions(*order).drop(*PLACE)
    ending = PurePosixPath(out).suffix
    form = {".parquet": "parquet", ".csv": "csv"}.get(ending, "json")
    placed.write.format(form).options(**WRITER_OPTIONS[form]).save(full_address(out))


def _files(rows: int) -> int:
    return max(1, -(-rows // OUTPUT_ROWS))


@contextmanager
def _spelling_out() -> Iterator[None]:
    """What Spark raises, as a fault; its own words may hold data."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        condition = error.getCondition() if isinstance(error, PySparkException) else None
        if "FAILED_READ_FILE" in f"{condition} {error}":
            raise BadData("file_unreadable", "Spark cannot read a file to its end: export it again") from error
        raise BadEnvironment(
            "spark_failed", f"Spark gave up ({condition or type(error).__name__}); its log tells where"
        ) from error
