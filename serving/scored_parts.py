"""The scores of a list's partitions, on disk, each part under its number; and all of them in the order asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import polars as pl

from features.errors import BadEnvironment
from features.event_log import EventLog
from serving.batch import score_log
from serving.block_file import Block, BlockFile, read_blocks, read_frames
from serving.scorer import Scorer
from serving.work_folder import WorkFolder

OUTPUT_ROWS = 100_000  # put in order at a time


@dataclass(frozen=True)
class Part:
    """What has been scored of one partition. `blocks` are keyed by place in the output, in units of OUTPUT_ROWS."""

    file: str
    blocks: tuple[Block, ...]
    rows: int
    touchpoints: int
    duplicates_dropped: int
    reliability: dict[str, int]


def score_part(
    work: WorkFolder,
    name: str,
    scorer: Scorer,
    read: Callable[[], tuple[EventLog, int]],
    asked: pl.DataFrame,
    reasons: bool,
) -> Part:
    """Score `asked` (customer_id, as_of, position in the list) with the touchpoints that `read` returns.

    They come as a log, with the number of rows it was made from. A part of that name that an earlier run has finished,
    and that is still what was written, is taken as it is.
    """
    earlier = _finished(work, name)
    if earlier is not None:
        return earlier
    log, rows_read = read()
    scores = score_log(scorer, log, asked, reasons).with_columns(asked["position"])
    draft = work.path / f"{name}.blocks.draft"
    with BlockFile(draft) as file:
        for place, frame in scores.group_by(pl.col("position") // OUTPUT_ROWS, maintain_order=True):
            file.write_frame(int(place[0]), frame)
    draft.replace(work.path / f"{name}.blocks")
    part = Part(
        file=f"{name}.blocks",
        blocks=tuple(file.blocks),
        rows=scores.height,
        touchpoints=len(log),
        duplicates_dropped=rows_read - len(log),
        reliability=dict(Counter(scores["reliability"].to_list())) if "reliability" in scores.columns else {},
    )
    work.write(f"{name}.json", asdict(part))
    return part


def in_order(work: WorkFolder, parts: list[Part], rows: int) -> Iterator[pl.DataFrame]:
    """The scores of all parts in the order asked, some at a time."""
    for place in range(0, -(-rows // OUTPUT_ROWS)):
        frames = [
            frame
            for part in parts
            for frame in read_frames(work.path / part.file, [block for block in part.blocks if block.key == place])
        ]
        yield pl.concat(frames).sort("position").drop("position")


def _finished(work: WorkFolder, name: str) -> Part | None:
    found = work.read(f"{name}.json")
    if found is None:
        return None
    part = Part(**{**found, "blocks": tuple(Block(*block) for block in found["blocks"])})
    try:
        for _ in read_blocks(work.path / part.file, part.blocks):
            pass
    except (OSError, BadEnvironment):
        return None
    return part
