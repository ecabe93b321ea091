"""Stretches of the calendar into which moments are put, so that something can be shown over time."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

import numpy as np

from features.event_log import Int64s, from_us

MOST_PERIODS: Final = 24


class Periods(NamedTuple):
    """Names of the periods in which a moment lies, in the order of time, and the period of each moment (int64[n])."""

    names: list[str]
    of_row: Int64s


def periods_of(moments_us: Int64s, most: int = MOST_PERIODS) -> Periods:
    """UTC days, months, quarters or years: as many as there can be up to `most`, named no finer than needed."""
    moments, place = np.unique(moments_us, return_inverse=True)
    times = [from_us(moment) for moment in moments]
    written = [_year(time) for time in times]
    names = list(dict.fromkeys(written))  # moments rise, so names do
    for name_of in (_quarter, _month, _day):
        finer = [name_of(time) for time in times]
        if len(names) < len(set(finer)) <= most:
            written, names = finer, list(dict.fromkeys(finer))
    code = {name: number for number, name in enumerate(names)}
    return Periods(names, np.array([code[name] for name in written], dtype=np.int64)[place])


def _day(time: datetime) -> str:
    return f"{time:%Y-%m-%d}"


def _month(time: datetime) -> str:
    return f"{time:%Y-%m}"


def _quarter(time: datetime) -> str:
    return f"{time:%Y} Q{(time.month + 2) // 3}"


def _year(time: datetime) -> str:
    return f"{time:%Y}"
