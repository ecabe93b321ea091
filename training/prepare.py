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
    data, journey = settings.data, settings.load_journey()
    if data.touchpoints is None:
        raise BadUsage("no_touchpoints", "no touchpoints are named; give --touchpoints, or touchpoints in [data]")
    share, beside = data.max_reject_share, str(out)
    recorded = read_recorded(data.stage_history, journey, share, f"{beside}.stages.rejects.csv", tell, True)
    log = read_log(data.touchpoints, share, f"{beside}.rejects.csv", recorded, tell, data.known_until or now())
    reject_file = f"{beside}.labels.rejects.csv"
    rows = labelled_rows(journey, log, data.labels, data.splits, share, reject_file, tell, settings.snapshots)
    tell_left_out(journey, log, rows, tell)
    known_until = data.known_until or (from_us(log.known_us.max()) if len(log) else None)
    resolved = settings.resolved(journey, known_until)
    return Prepared(resolved, journey, log, rows, *_embedder(settings.fit.embedder, log))


def _embedder(source: str, log: EventLog) -> tuple[Path, Embedder] | tuple[None, None]:
    if source == "none" or not log.texts:
        return None, None
    from training.embedder_export import exported_embedder  # it imports torch

    folder = exported_embedder(source)
    return folder, Embedder.with_cache(folder, threads=2)
