"""The files that a command names, read, with a line for people on what was found in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from features.errors import BadData, BadEnvironment, BadUsage
from features.event_log import EventLog
from features.journey import Journey
from features.stage_history_file import as_touchpoints, read_stage_history, unknown_stages
from features.table_files import find_files
from features.touchpoints import drop_duplicates, known_by, read_touchpoints

Tell = Callable[[str], None]


def read_log(
    source: Sequence[str],
    max_reject_share: float,
    reject_file: str,
    recorded: pl.DataFrame | None,
    tell: Tell,
    until: datetime | None = None,
) -> EventLog:
    """What is known by `until`, with what a CRM `recorded`: a row of the future would make open windows look over.

    Raises what `read_touchpoints` raises.
    """
    make_folder(Path(reject_file).parent)
    read = read_touchpoints(source, max_reject_share, reject_file)
    _forget_older(reject_file, read.rejects)
    counts = {
        "rows_read": read.rows_read,
        "touchpoints": read.frame.height,
        "duplicates_dropped": read.duplicates_dropped,
        "rejected": read.rejects.height,
        "ignored_columns": read.ignored_columns,
    }
    tell_read(counts, reject_file, tell)
    whole = read.frame if recorded is None else drop_duplicates(read.frame.vstack(recorded))
    frame = whole if until is None else known_by(whole, until)
    if frame.height < whole.height:
        tell(f"{whole.height - frame.height:,} touchpoints lie in the future and are left out")
    return EventLog.from_frame(frame)


def read_recorded(
    source: str | None,
    journey: Journey,
    max_reject_share: float,
    reject_file: str,
    tell: Tell,
    is_training: bool = False,
) -> pl.DataFrame | None:
    """The stages that a CRM recorded, as rows of the touchpoint table; None where none are given.

    Raises what `read_stage_history` raises, and in training BadData for a stage that the journey does not know.
    """
    if source is None:
        return None
    make_folder(Path(reject_file).parent)
    read = read_stage_history(source, max_reject_share, reject_file)
    _forget_older(reject_file, read.rejects)
    tell(f"{read.rows_read:,} recorded stages read, {rejected(read.rejects.height, reject_file)}")
    if unknown := unknown_stages(read.frame, journey.stages):
        told = f"the stage history holds stages that the journey does not know: {', '.join(unknown[:10])}"
        if is_training:
            known = ", ".join(journey.stages)
            raise BadData(
                "unknown_stage", f"{told}; it knows {known}: give a --journey file whose stages are the CRM's"
            )
        tell(f"{told}; they count as touchpoints that training never saw")
    return as_touchpoints(read.frame)


def touchpoint_sources(
    touchpoints: Sequence[str], query: str | None
) -> tuple[list[Path], Callable[[Path], None] | None]:
    """The files to read, and what fetches the query's rows where a database is asked.

    Raises BadUsage where a query has no database, and what `find_files` raises.
    """
    if query is None:
        return find_files(touchpoints), None
    from features.postgresql import fetch_query, is_address  # needs the extra `sql`

    if len(touchpoints) != 1 or not is_address(touchpoints[0]):
        raise BadUsage(
            "query_without_database", "--query needs --touchpoints postgresql://… and no other --touchpoints"
        )
    return [], partial(fetch_query, touchpoints[0], query)


def tell_read(read: Mapping[str, Any], reject_file: str, tell: Tell) -> None:
    """Tell what became of the rows of the touchpoint files: the counts of a score manifest's `touchpoints`."""
    tell(
        f"{read['rows_read']:,} rows read: {read['touchpoints']:,} touchpoints, "
        f"{read['duplicates_dropped']:,} duplicates dropped, {rejected(read['rejected'], reject_file)}"
    )
    if read["ignored_columns"]:
        tell(f"columns that are no part of the contract, ignored: {', '.join(read['ignored_columns'])}")


def rejected(rows: int, reject_file: str) -> str:
    """How many rows were rejected, and where they stand."""
    return f"{rows:,} rejected" + (f" (see {reject_file})" if rows else "")


def make_folder(folder: Path) -> None:
    """Make a folder for what is written. Raises BadEnvironment where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadEnvironment("out_unwritable", f"{folder} cannot be made: {error.strerror}") from None


def _forget_older(reject_file: str, rejects: pl.DataFrame) -> None:
    """An older run's rejects are not this one's."""
    if not rejects.height:
        Path(reject_file).unlink(missing_ok=True)
