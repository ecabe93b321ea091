"""A list of customers scored from files of any size: divided by customer, scored part by part, put in order again.

All work goes on in a hidden folder beside the output, under a memory ceiling. Killed at any moment, the next run takes
up what was done, and the output has the same bytes as if nothing had happened; until then the older one stays.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from features.errors import BadData
from features.event_log import from_us
from features.rejects import check_reject_options
from serving.batch import no_scores
from serving.block_file import Block
from serving.changes import CHANGE_FILES, check_scores, write_changes
from serving.memory_plan import MemoryPlan, plan_memory, resident_bytes
from serving.partitions import (
    Partitioned,
    Partitions,
    count_buckets,
    divide_buckets,
    in_buckets,
    partition_touchpoints,
)
from serving.score_file import check_output, write_scores
from serving.score_frame import UTC_US
from serving.score_manifest import file_sha256, manifest_of, manifest_path, read_manifest
from serving.scored_parts import Part, in_order, score_part
from serving.scorer import Scorer
from serving.work_folder import WorkFolder, fingerprint, work_folder

MOST_PARTITION_BYTES = 32 * 10**6  # what a kill may cost; larger partitions are no faster
TOUCHPOINTS, CUSTOMERS, WORDS = "touchpoints.blocks", "customers.parquet", "words.parquet"
PARTITIONED = "partitioned.json"
WORK_FORMAT = 2  # of these files: what another format has left is begun anew
FETCHED, REJECTS = "query.csv", "rejects.csv"

Report = Callable[[str, int, int], None]
"""report(what, done, total), total 0 where it is not known."""


@dataclass(frozen=True)
class Order:
    """What is to be scored, and how: everybody at `as_of_us`, or the pairs of `snapshots` (customer_id, as_of).

    `check`, where given, is told the columns of the scores before anything is read. `is_kept`: scores that are already
    what is ordered stay as they are. `fetch`, where given, brings more touchpoints to a CSV file whose path it is told.
    `recorded` are stages that a CRM recorded, as rows of the touchpoint table; the file they are from is among
    `other_files`.
    """

    files: Sequence[Path]
    as_of_us: int | None
    snapshots: pl.DataFrame | None
    other_files: Sequence[Path]
    reasons: bool
    max_reject_share: float
    memory_bytes: int
    fetch: Callable[[Path], None] | None = None
    recorded: pl.DataFrame | None = None
    check: Callable[[Sequence[str]], None] | None = None
    is_kept: bool = False

    def settings(self, scorer: Scorer) -> dict[str, Any]:
        """All that decides about the scores beside the touchpoints; JSON-ready."""
        return {
            "model_version": scorer.model_version,
            "journeycast": importlib.metadata.version("journeycast"),
            "polars": pl.__version__,
            "as_of": None if self.as_of_us is None else from_us(self.as_of_us).isoformat(),
            "reasons": self.reasons,
            "max_reject_share": self.max_reject_share,
            "memory_bytes": self.memory_bytes,
        }


def score_list(scorer: Scorer, order: Order, out: Path, compare: Path | None, report: Report) -> dict[str, Any]:
    """Score the list to `out` and return its manifest, which stands beside it as `<out>.manifest.json`.

    One row for each asked pair, in the order asked; everybody comes sorted by customer_id. `compare` names older
    scores: what has changed since is written beside as well (`changes.write_changes`).

    Raises BadUsage for an output or a memory ceiling that cannot be and where another run writes this output; BadData
    and BadEnvironment as `read_touchpoints` does. The older output stays until the new one is complete.
    """
    check_output(out, [*order.files, *order.other_files])
    check_reject_options(order.max_reject_share, _beside(out, REJECTS), [*order.files, *order.other_files])
    schema = no_scores(scorer, order.reasons).schema
    if order.check is not None:
        order.check(schema.names())
    held_bytes = resident_bytes()
    plan = plan_memory(order.memory_bytes, 0 if order.snapshots is None else order.snapshots.height, held_bytes)
    with work_folder(out.with_name(f".{out.name}.work")) as work:
        was_committed = work.finish_commit()
        if compare is not None:
            check_scores(compare)
        if order.fetch is not None:
            order.fetch(work.path / FETCHED)
            order = replace(order, files=[*order.files, work.path / FETCHED])
        read_files = [*order.files, *order.other_files]
        stamps = _stamps(read_files)
        inputs = {str(path): file_sha256(path) for path in read_files}
        settings = order.settings(scorer)
        # Compared with itself, it would forget who has moved.
        is_same = compare is not None and _is_same(compare, out)
        if (is_same or (order.is_kept and compare is None)) and _is_done(out, settings, inputs, is_same):
            return read_manifest(out)
        job = fingerprint(out=out.name, inputs=inputs, compare=_compared(compare, out), work=WORK_FORMAT, **settings)
        if work.begin(job, keep=[FETCHED]) and was_committed:
            return read_manifest(out)
        partitions = _partitioned(order, out, plan, work, report)
        if _stamps(read_files) != stamps:
            raise BadData("input_changed", "a file changed while it was read; run the command again")
        asked = _asked(order, partitions.customer_ids)
        # What reading has let go of is there to be used again, though the process may still hold it.
        plan = plan_memory(order.memory_bytes, asked.height, held_bytes, is_compared=compare is not None)
        parts = _score_parts(scorer, order, plan, partitions, asked, work, report)
        draft = work.path / f"scores{out.suffix}"
        write_scores(in_order(work, parts, asked.height), schema, draft)
        manifest = manifest_of(settings, inputs, partitions.read, parts, out, draft)
        (work.path / "manifest").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", "utf-8")
        beside = [] if compare is None else write_changes(compare, draft, work.path)
        beside += [REJECTS] if partitions.read.rejected else []
        places = {name: _beside(out, name) for name in beside}
        outdated = [_beside(out, name) for name in (*CHANGE_FILES, REJECTS) if name not in beside]
        work.commit({**places, draft.name: out, "manifest": manifest_path(out)}, outdated)
    return manifest


def _compared(compare: Path | None, out: Path) -> str | None:
    """The older scores' SHA-256; they may be those that are about to be replaced, which a resumed run finds no more."""
    if compare is None:
        return None
    return out.name if _is_same(compare, out) else file_sha256(compare)


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _is_done(out: Path, settings: Mapping[str, Any], inputs: Mapping[str, str], has_changes: bool) -> bool:
    """Whether `out`, and what has changed, are already what this order makes."""
    needed = [out, manifest_path(out), *(_beside(out, name) for name in CHANGE_FILES if has_changes)]
    if not all(path.exists() for path in needed):
        return False
    manifest = read_manifest(out)
    made_from = {each["file"]: each["sha256"] for each in manifest["inputs"]}
    is_ordered = made_from == dict(inputs) and settings.items() <= manifest.items()
    return is_ordered and file_sha256(out) == manifest["output"]["sha256"]


def _beside(out: Path, name: str) -> Path:
    return out.with_name(f"{out.name}.{name}")


def _partitioned(order: Order, out: Path, plan: MemoryPlan, work: WorkFolder, report: Report) -> Partitions:
    """The touchpoints divided by customer, by this run or by one that was killed later on."""
    found = work.read(PARTITIONED)
    if found is None:
        buckets = count_buckets(order.files, _partition_bytes(plan))
        partitions = partition_touchpoints(
            order.files,
            work.path / TOUCHPOINTS,
            buckets,
            order.max_reject_share,
            work.path / REJECTS,
            _beside(out, REJECTS),
            lambda rows: report("Reading touchpoints", rows, 0),
            order.recorded,
        )
        pl.DataFrame([words.implode() for words in partitions.words.values()]).write_parquet(work.path / WORDS)
        partitions.customer_ids.to_frame().write_parquet(work.path / CUSTOMERS)
        work.write(PARTITIONED, asdict(partitions.read))
        return partitions
    read = Partitioned(**{**found, "blocks": tuple(Block(*block) for block in found["blocks"])})
    listed, customer_ids = (pl.read_parquet(work.path / name) for name in (WORDS, CUSTOMERS))
    words = {column: listed[column][0] for column in listed.columns}
    return Partitions(work.path / TOUCHPOINTS, read, words, customer_ids["customer_id"])


def _partition_bytes(plan: MemoryPlan) -> int:
    return min(plan.partition_bytes, MOST_PARTITION_BYTES)


def _stamps(files: Sequence[Path]) -> list[tuple[int, int, int]]:
    return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in (path.stat() for path in files)]


def _asked(order: Order, customers: pl.Series) -> pl.DataFrame:
    """The pairs in the order asked, with their `position`."""
    moment = pl.lit(order.as_of_us, pl.Int64).cast(UTC_US).alias("as_of")
    pairs = customers.to_frame().with_columns(moment) if order.snapshots is None else order.snapshots
    return pairs.select("customer_id", "as_of").with_row_index("position")


def _score_parts(
    scorer: Scorer,
    order: Order,
    plan: MemoryPlan,
    partitions: Partitions,
    asked: pl.DataFrame,
    work: WorkFolder,
    report: Report,
) -> list[Part]:
    """Score all partitions, some side by side; the compiled passes let go of Python's lock."""
    divided = work.read("partitions.json") or [
        [buckets.start, buckets.stop] for buckets in divide_buckets(partitions.bucket_bytes(), _partition_bytes(plan))
    ]
    work.write("partitions.json", divided)
    bucket = partitions.bucket_of(asked["customer_id"])
    in_turn = scorer.embedding_in_turn(_adding_up(partial(report, "Embedding messages")))
    done, parts = 0, []
    with ThreadPoolExecutor(plan.threads) as pool:
        waiting = [
            pool.submit(_score_buckets, work, in_turn, range(*buckets), partitions, asked, bucket, order.reasons)
            for buckets in divided
        ]
        try:
            for finished in as_completed(waiting):
                part = finished.result()
                parts.append(part)
                done += part.rows
                report("Scoring customers", done, asked.height)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return parts


def _score_buckets(
    work: WorkFolder,
    scorer: Scorer,
    buckets: range,
    partitions: Partitions,
    asked: pl.DataFrame,
    bucket: pl.Series,
    reasons: bool,
) -> Part:
    own = asked.filter(in_buckets(bucket, buckets))
    return score_part(work, f"part-{buckets.start:04}", scorer, partial(partitions.log, buckets), own, reasons)


def _adding_up(report: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """Progress over many parts, each of which counts from its own beginning."""
    before = 0

    def add(done: int, total: int) -> None:
        nonlocal before
        report(before + done, before + total)
        if done == total:
            before += total

    return add
