"""What words alone tell, learnt: a linear head on the pooled messages and one on the phrases said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.event_log import Bools, Floats
from features.rows import FeatureRows
from models.linear_head import LinearHead
from models.phrase_head import PhraseHead
from training.linear_heads import learn_linear_head
from training.phrase_heads import learn_phrase_head

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class TextHeads:
    """The heads, None where there is nothing to learn; `out_of_fold` holds the answers (rows, outputs) of those learnt.

    No answer comes from a head that saw the row's person.
    """

    pools: LinearHead | None
    phrases: PhraseHead | None
    out_of_fold: list[Floats]


def learn_text_heads(rows: FeatureRows, known: Bools, wanted: Bools, folds: Codes) -> TextHeads:
    """Learn both heads; `wanted` (rows, outputs) says which outputs hold, `known` (rows,) where that is known."""
    pools = None if rows.pools is None else learn_linear_head(rows.pools, known, wanted, folds)
    phrases = None if rows.phrases is None else learn_phrase_head(rows.phrases, known, wanted, folds)
    answers = [learnt[1] for learnt in (pools, phrases) if learnt is not None]
    return TextHeads(pools and pools[0], phrases and phrases[0], answers)
