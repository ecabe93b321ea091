"""Scores for a list of customers, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from features.errors import BadEnvironment, BadUsage
from features.event_log import EventLog, to_us
from serving.scorer import Scorer

ROWS_AT_A_TIME = 10_000
ENDINGS = (".parquet", ".csv", ".jsonl", ".ndjson")

Progress = Callable[[int, int], None]
REASONS = pl.List(pl.Struct({"feature": pl.String, "value": pl.Float64, "effect": pl.Float64, "event_id": pl.String}))


@dataclass(frozen=True)
class Asked:
    """The pairs to score, in order: customer_id and as_of (UTC microseconds)."""

    customer_ids: list[str]
    as_of_us: np.ndarray

    @classmethod
    def everybody(cls, log: EventLog, as_of: datetime) -> Asked:
        """Each customer of the log, sorted by id, at one moment."""
        return cls(list(log.customer_ids), np.full(len(log.customer_ids), to_us(as_of), dtype=np.int64))

    @classmethod
    def pairs(cls, snapshots: pl.DataFrame) -> Asked:
        """The rows of a snapshots frame (customer_id, as_of), in its order."""
        return cls(snapshots["customer_id"].to_list(), snapshots["as_of"].dt.epoch("us").to_numpy().astype(np.int64))


def check_output(out: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise BadUsage where scores cannot be written to a path of this name, or would replace one of the inputs."""
    if out.suffix not in ENDINGS:
        raise BadUsage("out_format", f"--out {out} has no known ending; expected one of {', '.join(ENDINGS)}")
    if out.is_dir():
        raise BadUsage("out_folder", f"--out {out} is a folder; name a file in it")
    if out.resolve() in {path.resolve() for path in inputs}:
        raise BadUsage("out_is_input", f"--out {out} is one of the files to read; name another file")


def score_list(scorer: Scorer, log: EventLog, asked: Asked, reasons: bool, progress: Progress) -> pl.DataFrame:
    """One row for each asked pair, none lost, in the order asked."""
    parts = list(_score_parts(scorer, log, asked, reasons, progress))
    return pl.concat(parts)


def write_scores(scores: pl.DataFrame, out: Path) -> None:
    """Write by the file's ending. An older file stays as it was until the new one is complete.

    Raises BadEnvironment where the file cannot be written.
    """
    check_output(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, draft_name = tempfile.mkstemp(prefix=f".{out.name}-", suffix=out.suffix, dir=out.parent)
        os.close(handle)
    except OSError as error:
        raise BadEnvironment("out_unwritable", f"{out} cannot be written: {error.strerror}") from None
    draft = Path(draft_name)
    try:
        _write(scores, draft)
        draft.chmod(0o644)
        draft.replace(out)
    except OSError as error:
        raise BadEnvironment("out_unwritable", f"{out} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def _score_parts(
    scorer: Scorer, log: EventLog, asked: Asked, reasons: bool, progress: Progress
) -> Iterator[pl.DataFrame]:
    customer = log.customer_rows(asked.customer_ids)
    for start in range(0, max(len(customer), 1), ROWS_AT_A_TIME):
        part = slice(start, start + ROWS_AT_A_TIME)
        # The scorer reads the whole log it is given, so it is given that of these customers alone.
        known = np.unique(customer[part][customer[part] >= 0])
        place = np.where(customer[part] >= 0, np.searchsorted(known, customer[part]), -1)
        scores = scorer.score(log.only(known), asked.customer_ids[part], place, asked.as_of_us[part], reasons)
        yield _frame(scores.columns)
        progress(min(part.stop, len(customer)), len(customer))


def _frame(columns: dict[str, list[object]]) -> pl.DataFrame:
    types = {"as_of": pl.Datetime("us", "UTC"), "plausible_stages": pl.List(pl.String), "reasons": REASONS}
    numbers = {name: pl.Float64 for name in columns if name.startswith(("stage_", "conversion"))}
    schema = {name: types.get(name, numbers.get(name, pl.String)) for name in columns}
    return pl.DataFrame(columns, schema=schema)


def _write(scores: pl.DataFrame, draft: Path) -> None:
    if draft.suffix == ".parquet":
        scores.write_parquet(draft)
    elif draft.suffix == ".csv":
        _without_lists(scores).write_csv(draft)
    else:
        scores.with_columns(pl.col("as_of").dt.to_string("iso:strict")).write_ndjson(draft)


def _without_lists(scores: pl.DataFrame) -> pl.DataFrame:
    """A CSV cell holds no list: sets are joined by `|`, reasons become JSON text."""
    times = [pl.col("as_of").dt.to_string("iso:strict")]
    sets = [pl.col(name).list.join("|") for name in scores.columns if name == "plausible_stages"]
    reasons = [
        pl.col(name).map_elements(lambda row: pl.DataFrame(row.struct.unnest()).write_json(), return_dtype=pl.String)
        for name in scores.columns
        if name == "reasons"
    ]
    return scores.with_columns(*times, *sets, *reasons)
