"""From a configuration to what a training works on: the files read, the rows labelled, the embedder at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from features.embedder import Embedder
from features.errors import BadUsage
from features.event_log import EventLog, from_us
from features.inputs import Tell, read_log, read_recorded
from features.journey import Journey
from features.rows import Embed
from training.label_source import labelled_rows, tell_left_out
from training.labels import LabelledRows
from training.progress import Report
from training.settings import Settings


@dataclass(frozen=True)
class Prepared:
    """What a training works on; `settings` are resolved. The embedder and its folder are None where no text is read."""

    settings: Settings
    journey: Journey
    log: EventLog
    rows: LabelledRows
    embedder_folder: Path | None
    embedder: Embedder | None

    def embed(self, report: Report) -> Embed | None:
        """How texts become vectors, with its progress told."""
        if self.embedder is None:
            return None
        embedder = self.embedder
        return lambda texts: embedder.embed(texts, lambda done, total: report("Embedding messages", done, total))


def prepare(settings: Settings, out: Path, now: Callable[[], datetime], tell: Tell) -> Prepared:
    """Read what the settings name and tell what was found; rejected rows go to files beside `out`.

    `now` is asked only where the settings do not say until when touchpoints count. Raises BadUsage where no touchpoints
    are named, and what reading and labelling raise.
    """
    journey = settings.load_journey()
    log, rows = read_labelled(settings, journey, f"{out}.", now, tell, is_training=True)
    tell_left_out(journey, log, rows, tell)
    known_until = settings.data.known_until or (from_us(log.known_us.max()) if len(log) else None)
    resolved = settings.resolved(journey, known_until)
    return Prepared(resolved, journey, log, rows, *_embedder(settings.fit.embedder, log))


def read_labelled(
    settings: Settings,
    journey: Journey,
    rejects: str,
    now: Callable[[], datetime],
    tell: Tell,
    is_training: bool = False,
) -> tuple[EventLog, LabelledRows]:
    """The touchpoints that the settings name, and the labelled rows; files of rejected rows are named `rejects`….

    Raises as `prepare` does; a recorded stage that the journey does not know is a fault in training alone.
    """
    data, share = settings.data, settings.data.max_reject_share
    if data.touchpoints is None:
        raise BadUsage("no_touchpoints", "no touchpoints are named; give --touchpoints, or touchpoints in [data]")
    recorded = read_recorded(data.stage_history, journey, share, f"{rejects}stages.rejects.csv", tell, is_training)
    log = read_log(data.touchpoints, share, f"{rejects}rejects.csv", recorded, tell, data.known_until or now())
    of_labels = f"{rejects}labels.rejects.csv"
    rows = labelled_rows(journey, log, data.labels, data.splits, share, of_labels, tell, settings.snapshots)
    return log, rows


def _embedder(source: str, log: EventLog) -> tuple[Path, Embedder] | tuple[None, None]:
    if source == "none" or not log.texts:
        return None, None
    from training.embedder_export import exported_embedder  # it imports torch

    folder = exported_embedder(source)
    return folder, Embedder.with_cache(folder, threads=2)
