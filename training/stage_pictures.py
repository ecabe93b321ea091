"""Pictures of the stages forecast beside the true ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.curves import accuracy_by_coverage, confusion
from training.judged_rows import JudgedRows
from training.periods import periods_of
from training.pictures import Picture, percent, percents, periods_axis, rows_and_persons, thinned
from training.plot import Axis, Plot


def stage_pictures(rows: JudgedRows, stages: Sequence[str]) -> list[Picture]:
    """What the rows of known stage allow; none where there are none."""
    known = np.flatnonzero(rows.stage >= 0)
    if not rows.stages.size or not len(known):
        return []
    persons = len({rows.person[row] for row in known.tolist()})
    stage = rows.stage[known].astype(np.int64)
    counts = np.bincount(stage, minlength=len(stages))
    common = int(counts.argmax())
    foot = (
        f"{rows_and_persons(len(known), persons)}; base rate {percent(counts[common] / len(known))} ({stages[common]})"
    )
    pictures = [_confusion(rows, known.tolist(), stages, foot), _coverage(rows, known.tolist(), foot)]
    periods = periods_of(rows.as_of_us[known])
    if len(periods.names) > 1:
        pictures.append(_over_time(rows, known.tolist(), stages, foot))
    return pictures


def _confusion(rows: JudgedRows, known: list[int], stages: Sequence[str], foot: str) -> Picture:
    counts = confusion(rows.stage[known].astype(np.int64), rows.decided[known], len(stages))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    n = len(stages)
    numbered = [f"{number} {stage}" for number, stage in enumerate(stages, 1)]
    x = Axis("told to be in", 0, n, [(s + 0.5, str(s + 1)) for s in range(n)])
    y = Axis("truly in", 0, n, [(n - s - 0.5, _short(numbered[s])) for s in range(n)])
    plot = Plot(x, y, left=140.0, inner_height=max(150.0, 44.0 * n))
    marks = []
    for true, told in np.ndindex(n, n):
        share, count = float(shares[true, told]), int(counts[true, told])
        kind = "fill model" if true == told else "fill against"
        tip = f"{count:,} of {counts[true].sum():,} in {stages[true]} were told to be in {stages[told]}"
        marks.append(
            plot.bar((told + 0.02, told + 0.98), (n - true - 0.97, n - true - 0.03), kind, tip, 0.06 + 0.74 * share)
        )
        middle = (told + 0.5, n - true - 0.5)
        if count:
            marks.append(plot.words(*middle, percent(share), "strong", lower=0))
            marks.append(plot.words(*middle, f"{count:,}", "tick", lower=14))
    return Picture(
        "stage-confusion",
        "Which stages are taken for which?",
        "Each line holds the rows truly in a stage and adds up to 100 %: the blue ones were told right.",
        foot,
        plot.draw(marks, foot, "Confusion of stages: share of each true stage that was told to be in each stage."),
        ("truly in", *(f"told {stage}" for stage in stages), "rows"),
        tuple(
            (
                stages[s],
                *(f"{percent(float(shares[s, t]))} ({counts[s, t]:,})" for t in range(n)),
                f"{counts[s].sum():,}",
            )
            for s in range(n)
        ),
    )


def _coverage(rows: JudgedRows, known: list[int], foot: str) -> Picture:
    stage, decided = rows.stage[known].astype(np.int64), rows.decided[known]
    points = accuracy_by_coverage(rows.stages[known, decided], stage == decided)
    base = float(np.bincount(stage).max() / len(stage))
    low = max(0.0, np.floor(10 * min(base, float(points[:, 1].min())) - 0.5) / 10)
    plot = Plot(
        percents("answered, surest first", 1.0),
        percents("told right", 1.0, low),
        (("fill model", "stages told right"), ("fill usual", "always the most common stage")),
    )
    marks = [plot.line([(0, base), (1, base)], "line usual"), plot.line(thinned(points.tolist()), "line model")]
    tenths = [points[int(np.argmax(points[:, 0] >= share - 1e-9))].tolist() for share in np.arange(1, 11) / 10]
    return Picture(
        "stage-coverage",
        "Are the sure ones surer?",
        f"Of the surest half, {percent(tenths[4][1])} are told right; of all, {percent(tenths[9][1])}. A model that "
        "knows what it knows falls from left to right.",
        foot,
        plot.draw(marks, foot, "Accuracy of the stage by share of the rows answered, surest first."),
        ("answered", "told right"),
        tuple((percent(share), percent(right)) for share, right in tenths),
    )


def _over_time(rows: JudgedRows, known: list[int], stages: Sequence[str], foot: str) -> Picture:
    periods = periods_of(rows.as_of_us[known])
    n = np.bincount(periods.of_row).astype(np.float64)[:, None]
    forecast, observed = np.zeros((len(n), len(stages))), np.zeros((len(n), len(stages)))
    np.add.at(forecast, periods.of_row, rows.stages[known])
    np.add.at(observed, (periods.of_row, rows.stage[known].astype(np.int64)), 1)
    forecast, observed = forecast / n, observed / n
    upper, seen = np.cumsum(forecast, axis=1), np.cumsum(observed, axis=1)
    key = [(f"fill stage{s % 8}", stage) for s, stage in enumerate(stages)]
    plot = Plot(periods_axis(periods.names), percents("share of the rows", 1.0), key)
    marks = []
    for s, stage in enumerate(stages):
        top = [(float(p), float(upper[p, s])) for p in range(len(n))]
        bottom = [(p, y - float(forecast[int(p), s])) for p, y in top]
        marks.append(plot.area(top, bottom, f"fill stage{s % 8}", stage))
    for s in range(len(stages) - 1):
        marks.append(plot.line([(float(p), float(seen[p, s])) for p in range(len(n))], "line observed"))
    return Picture(
        "stage-over-time",
        "How are the stages spread, over time?",
        "Areas: the mean forecast probabilities. Dashed lines: where the borders truly were.",
        foot,
        plot.draw(marks, foot, "Mean forecast probability of each stage over time, and the true shares."),
        ("as of", *(f"{stage}: forecast / true" for stage in stages), "rows"),
        tuple(
            (
                period,
                *(f"{percent(float(f))} / {percent(float(o))}" for f, o in zip(forecast[p], observed[p], strict=True)),
                f"{n[p, 0]:,.0f}",
            )
            for p, period in enumerate(periods.names)
        ),
    )


def _short(name: str, most: int = 20) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
