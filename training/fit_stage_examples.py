"""The stage by words alone, where no row has a known stage but the journey gives examples of what is said in some."""

from __future__ import annotations

import numpy as np

from models.journey_model import Reader
from models.stage_examples import StageByExamples

LEAST_STAGES = 2  # of one stage alone, examples tell nothing


def stage_by_examples(reader: Reader) -> StageByExamples | None:
    """What the journey's examples say of the stage; None where no text is read, or fewer than two stages have some."""
    named = tuple(reader.journey.examples)
    if not reader.reads_text or len(named) < LEAST_STAGES:
        return None
    places = [
        [reader.column_of[f"{of} like the examples of {stage}"] for of in ("own messages", "last own message")]
        for stage in named
    ]
    classes = np.array([reader.journey.stages.index(stage) for stage in named], dtype=np.int64)
    return StageByExamples(len(reader.journey.stages), classes, np.array(places, dtype=np.int64))
