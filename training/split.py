"""Which rows a model learns from and which it is judged on: never the same person, nor the same time where possible.

Where the configuration asks for time or persons alone, that is what is kept apart. In each kind with persons
a person's side depends on the person's id and the seed alone, so a model trained later, on more data, is judged on
persons whom no earlier model of that kind and seed has learnt from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from features.errors import BadData
from features.event_log import DAY_US
from training import settings

# Late rows of held-out persons are few (the product of two shares), hence a larger share of persons than without time.
LATE_PERSON_SHARE: Final = 0.3
PERSON_SHARE: Final = 0.2
# With 50 positives the standard error of a ROC AUC of .75 is .04 (Hanley and McNeil 1982, Radiology 143(1)).
MIN_POSITIVES: Final = 50
MIN_ROWS: Final = 300
FOLDS: Final = 5
ASKED_FOR: Final = "asked for"
NEVER_ENDS: Final = "the label window never ends, so no time lies after it"
DEFAULT_SPLIT: Final = settings.Split()


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to learn from and rows to judge on, as ascending indices (int64), and what became of the others.

    With kind "time and person" every test row has its as_of at or after `cut_us`, every training row has it earlier and
    its label window ends at or before `cut_us`, and no person is on both sides. With kind "time" all but the last hold.
    With kind "person" only the last holds, `cut_us` is None and `reason` says why.
    """

    kind: Literal["time and person", "time", "person"]
    reason: str
    train_rows: NDArray[np.int64]
    test_rows: NDArray[np.int64]
    cut_us: int | None
    left_out_in_gap: int
    left_out_other: int


def person_folds(person: Sequence[str], folds: int = FOLDS, seed: int = 0) -> NDArray[np.int8]:
    """The fold of each row: int8[n] in 0 … folds-1, the same for all rows of a person, whatever the other rows are."""
    if not 2 <= folds <= np.iinfo(np.int8).max:
        raise ValueError(f"folds is {folds}, expected 2 to {np.iinfo(np.int8).max}")
    return (_position(person, "fold", seed) * folds).astype(np.int8)


def time_and_person_split(
    person: Sequence[str],
    as_of_us: NDArray[np.int64],
    longest_horizon_days: float | None,
    seed: int,
    converted: NDArray[np.bool_] | None = None,
    asked: settings.Split = DEFAULT_SPLIT,
) -> Split:
    """Hold out the latest rows of some persons; learn from rows of the others whose label window is over by then.

    `person` (n ids) and `as_of_us` (int64[n], UTC) describe the rows. `longest_horizon_days` is 0 where labels look at
    no future, None where their window never ends; a gap that is `asked` for stands in for it. `converted` (bool[n]) is
    True where a label says so, False where it says no or nothing; leave it out where only stages are learnt. Asked for
    by time alone, all late rows are held out, and their persons' early rows are learnt from; by person alone, the
    time counts for nothing. Where a side would get fewer than MIN_ROWS rows, or fewer than MIN_POSITIVES converted
    ones, persons alone are split. Raises BadData where not even that leaves a row on both sides.
    """
    position = _position(person, "test", seed)
    by_person = partial(_by_person, position, asked.person_share or PERSON_SHARE)
    gap_days = longest_horizon_days if asked.gap_days is None else asked.gap_days
    if asked.kind == "person":
        return by_person(ASKED_FOR)
    if gap_days is None:
        return by_person(NEVER_ENDS)
    cut_us = _cut(as_of_us, asked.late_share)
    late = as_of_us >= cut_us
    over = ~late & (as_of_us + round(gap_days * DAY_US) <= cut_us)
    with_persons = asked.kind == "time and person"
    held_out = position < (asked.person_share or LATE_PERSON_SHARE)
    train, test = (over & ~held_out, late & held_out) if with_persons else (over, late)
    if reason := _too_little(train, test, converted):
        return by_person(reason)
    in_gap = ~late & ~over & ~(held_out & with_persons)
    other = ~(train | test | in_gap)
    return Split(asked.kind, "", *_rows(train, test), cut_us, int(in_gap.sum()), int(other.sum()))


def held_out_persons(person: Sequence[str], share: float, seed: int) -> NDArray[np.bool_]:
    """The rows of the persons that a split by person would hold out. Shape (n,)."""
    return _position(person, "test", seed) < share


def _cut(as_of_us: NDArray[np.int64], late_share: float) -> int:
    """The as_of from which on `late_share` of the rows lie, or a few more."""
    return int(np.sort(as_of_us)[int(len(as_of_us) * (1 - late_share))]) if len(as_of_us) else 0


def _too_little(train: NDArray[np.bool_], test: NDArray[np.bool_], converted: NDArray[np.bool_] | None) -> str:
    for side, rows in (("training", train), ("test", test)):
        if (found := int(rows.sum())) < MIN_ROWS:
            return f"a split by time leaves {found} {side} rows, fewer than {MIN_ROWS}"
        if converted is not None and (found := int((rows & converted).sum())) < MIN_POSITIVES:
            return f"a split by time leaves {found} converted {side} rows, fewer than {MIN_POSITIVES}"
    return ""


def _by_person(position: NDArray[np.float64], share: float, reason: str) -> Split:
    test = position < share
    if test.all() or not test.any():
        found = len(np.unique(position))
        raise BadData(
            "too_few_customers",
            f"found {found} customers with labels, too few to hold some out to judge the model; expected some dozens: "
            "give more labelled customers, or labels with a split column",
        )
    return Split("person", reason, *_rows(~test, test), None, 0, 0)


def _rows(train: NDArray[np.bool_], test: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.flatnonzero(train).astype(np.int64), np.flatnonzero(test).astype(np.int64)


def _position(person: Sequence[str], purpose: str, seed: int) -> NDArray[np.float64]:
    """Each row's person as a number in [0, 1): float64[n], uniform over persons.

    `purpose` keeps folds and test persons independent: else the folds of the training persons would be lopsided.
    """
    position_of = {name: _hash(f"{purpose}:{seed}:{name}") for name in set(person)}
    return np.fromiter((position_of[name] for name in person), np.float64, len(person))


def _hash(key: str) -> float:
    # 53 bits: as many as a float64 holds exactly, so that the quotient stays below 1
    return (int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) >> 11) / 2**53
