"""Pictures of the forecasts of one conversion beside what came."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import sqrt
from typing import Final

import numpy as np
from scipy.special import expit, logit

from features.event_log import Floats
from features.journey import conversion_column
from training.curves import (
    LOG_ODDS_EDGES,
    Rate,
    calibration_bins,
    gain_points,
    lift_points,
    observed_rate,
    precision_recall_points,
    score_counts,
)
from training.judged_rows import JudgedRows, Outcomes
from training.periods import Periods, periods_of
from training.pictures import FEWEST_ROWS, Picture, percent, percents, periods_axis, rows_and_persons, thinned
from training.plot import Axis, Plot, even_ticks

TENTHS: Final = np.arange(1, 11) / 10
HUNDREDTHS: Final = np.arange(1, 101) / 100
NAMED_SHARES: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1)
NAMED_CHANCES: Final = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)


def conversion_pictures(rows: JudgedRows, h: int, stages: Sequence[str]) -> list[Picture]:
    """The pictures of horizon number `h`: those that its rows allow, none where no row converted or every row did."""
    outcomes = rows.outcomes(h)
    if not outcomes.converted.any() or outcomes.converted.all():
        return []
    name, foot = conversion_column(rows.horizons_days[h]), _foot(outcomes)
    draw: tuple[Callable[[str, str, Outcomes], Picture], ...] = (_calibration, _gain, _lift, _precision_recall, _scores)
    return [*(of(name, foot, outcomes) for of in draw), *_over_time(name, foot, outcomes, rows, stages)]


def _foot(outcomes: Outcomes) -> str:
    rows = rows_and_persons(len(outcomes.converted), len(set(outcomes.person)))
    return f"{rows}; base rate {percent(float(outcomes.converted.mean()))}"


def _calibration(name: str, foot: str, outcomes: Outcomes) -> Picture:
    bins = calibration_bins(outcomes.probability, outcomes.converted, outcomes.person)
    top = min(1.0, 1.1 * max(max(rate.forecast, rate.observed) for rate in bins))
    key = (("fill model", "observed"), ("fill usual", "as forecast"))
    plot = Plot(_root_axis("forecast (square-root scale)", top), _root_axis("observed", top), key)
    marks = [
        plot.line([(0, 0), (sqrt(top), sqrt(top))], "line usual"),
        *(plot.whisker(sqrt(rate.forecast), sqrt(rate.low), sqrt(rate.high), "line whisker model") for rate in bins),
        plot.line([(sqrt(rate.forecast), sqrt(rate.observed)) for rate in bins], "line model"),
        *(plot.dot(sqrt(rate.forecast), sqrt(rate.observed), "fill model", _told(rate)) for rate in bins),
    ]
    return Picture(
        f"{name}-calibration",
        "Does it happen as often as forecast?",
        f"On the grey line, of those given 20 %, 20 % convert. Each dot holds about {_about(bins)} rows, by rising "
        "forecast; its upright line is where the true rate lies with 95 % confidence, each customer counted once.",
        foot,
        plot.draw(marks, foot, f"Reliability diagram: observed conversion rate by forecast, in {len(bins)} bins."),
        ("forecast", "observed", "95 % interval", "rows", "customers"),
        tuple(map(_rate_cells, bins)),
    )


def _gain(name: str, foot: str, outcomes: Outcomes) -> Picture:
    gain = gain_points(outcomes.probability, outcomes.converted)
    base = float(outcomes.converted.mean())
    key = (("fill model", "by forecast"), ("fill usual", "in any order"), ("fill best", "at best"))
    plot = Plot(percents("asked, likeliest first", 1.0), percents("of the conversions found", 1.0), key)
    found = np.interp(TENTHS, gain[:, 0], gain[:, 1])
    marks = [
        plot.line([(0, 0), (base, 1), (1, 1)], "line best"),
        plot.line([(0, 0), (1, 1)], "line usual"),
        plot.line(thinned(gain.tolist()), "line model"),
        *(
            plot.dot(
                asked, of_all, "fill model", f"{percent(asked)} of the rows hold {percent(of_all)} of the conversions"
            )
            for asked, of_all in zip(TENTHS.tolist(), found.tolist(), strict=True)
        ),
    ]
    return Picture(
        f"{name}-gain",
        "How many conversions are among the likeliest?",
        f"Ask the likeliest tenth, and you reach {percent(float(found[0]))} of those who convert; "
        f"the likeliest fifth, {percent(float(found[1]))}.",
        foot,
        plot.draw(marks, foot, "Cumulative gain: share of the conversions found by share of the rows asked."),
        ("asked", "of the conversions", "without a model"),
        tuple((percent(a), percent(f), percent(a)) for a, f in zip(TENTHS.tolist(), found.tolist(), strict=True)),
    )


def _lift(name: str, foot: str, outcomes: Outcomes) -> Picture:
    gain = gain_points(outcomes.probability, outcomes.converted)
    points, tenths = lift_points(gain, HUNDREDTHS), lift_points(gain, TENTHS)
    top = max(1.5, 1.1 * float(points[:, 1].max()))
    y = Axis("times the base rate", 0.0, top, [(tick, f"{tick:g}×") for tick in even_ticks(0.0, top)])
    plot = Plot(
        percents("asked, likeliest first", 1.0), y, (("fill model", "by forecast"), ("fill usual", "in any order"))
    )
    marks = [
        plot.line([(0, 1), (1, 1)], "line usual"),
        plot.line(points.tolist(), "line model"),
        *(plot.dot(a, lift, "fill model", f"likeliest {percent(a)}: {lift:.1f}×") for a, lift in tenths.tolist()),
    ]
    return Picture(
        f"{name}-lift",
        "How much better than asking anybody?",
        f"Of the likeliest tenth, {tenths[0, 1]:.1f} times as many convert as of all.",
        foot,
        plot.draw(marks, foot, "Lift: conversion rate of the likeliest rows over the base rate, by share of the rows."),
        ("asked", "lift"),
        tuple((percent(a), f"{lift:.2f}×") for a, lift in tenths.tolist()),
    )


def _precision_recall(name: str, foot: str, outcomes: Outcomes) -> Picture:
    points = precision_recall_points(outcomes.probability, outcomes.converted)
    base = float(outcomes.converted.mean())
    key = (("fill model", "by forecast"), ("fill usual", "base rate"))
    plot = Plot(percents("recall: conversions found", 1.0), percents("precision: asked who convert", 1.0), key)
    at = [points[int(np.argmax(points[:, 0] >= recall - 1e-9))].tolist() for recall in TENTHS]
    marks = [
        plot.line([(0, base), (1, base)], "line usual"),
        plot.line(thinned(points.tolist()), "line model"),
    ]
    return Picture(
        f"{name}-precision-recall",
        "How many of those asked convert?",
        "From left to right more and more rows are asked, likeliest first. Any order of the rows would lie on the grey "
        "line.",
        foot,
        plot.draw(marks, foot, "Precision by recall, beside the base rate."),
        ("recall", "precision"),
        tuple((percent(recall), percent(precision)) for recall, precision in at),
    )


def _scores(name: str, foot: str, outcomes: Outcomes) -> Picture:
    counts = score_counts(outcomes.probability, outcomes.converted)
    shares = counts / counts.sum(axis=0)
    used = np.flatnonzero(counts.any(axis=1))
    low, high = float(LOG_ODDS_EDGES[used[0]]), float(LOG_ODDS_EDGES[used[-1] + 1])
    ticks = [(float(logit(p)), f"{100 * p:g}\u00a0%") for p in NAMED_CHANCES if low <= logit(p) <= high]
    if not ticks:
        ticks = [(edge, _chance(edge)) for edge in (low, high)]
    key = (("fill against", "did not convert"), ("fill for", "converted"))
    plot = Plot(
        Axis("forecast (log-odds scale)", low, high, ticks), percents("share of each", 1.1 * float(shares.max())), key
    )
    edges = LOG_ODDS_EDGES.tolist()
    marks = [
        plot.bar(
            (edges[i], edges[i + 1]), (0, float(shares[i, came])), f"fill {kind}", f"{counts[i, came]:,} rows", 0.55
        )
        for came, kind in enumerate(("against", "for"))
        for i in used.tolist()
        if counts[i, came]
    ]
    return Picture(
        f"{name}-scores",
        "What do the forecasts look like?",
        "How the forecasts of those who converted and of those who did not are spread. The less the two overlap, the "
        "better the model tells them apart.",
        foot,
        plot.draw(marks, foot, "Distribution of the forecasts, apart for rows with and without a conversion."),
        ("forecast", "did not convert", "converted"),
        tuple(
            (
                f"{_chance(edges[i])} to {_chance(edges[i + 1])}",
                f"{counts[i, 0]:,}",
                f"{counts[i, 1]:,}",
            )
            for i in used.tolist()
        ),
    )


def _over_time(name: str, foot: str, outcomes: Outcomes, rows: JudgedRows, stages: Sequence[str]) -> Iterator[Picture]:
    periods = periods_of(outcomes.as_of_us)
    if len(periods.names) < 2:
        return
    yield _forecast_and_observed(name, foot, outcomes, periods)
    if len(rows.decided):
        yield _by_stage(name, foot, outcomes, periods, rows.decided[outcomes.rows].tolist(), stages)


def _forecast_and_observed(name: str, foot: str, outcomes: Outcomes, periods: Periods) -> Picture:
    person = np.asarray(outcomes.person)
    rates: dict[int, Rate] = {}
    for period in range(len(periods.names)):
        of_period = np.flatnonzero(periods.of_row == period)
        if len(of_period) >= FEWEST_ROWS:
            named = person[of_period].tolist()
            rates[period] = observed_rate(outcomes.probability[of_period], outcomes.converted[of_period], named)
    top = min(1.0, 1.2 * max([max(rate.forecast, rate.observed) for rate in rates.values()], default=1.0))
    key = (("fill model", "forecast"), ("fill for", "observed"))
    plot = Plot(periods_axis(periods.names), percents("mean", max(top, 0.01)), key)
    marks = [
        *(plot.whisker(at, rate.low, rate.high, "line whisker for") for at, rate in rates.items()),
        plot.line([(at, rate.forecast) for at, rate in rates.items()], "line model"),
        *(plot.dot(at, rate.forecast, "fill model", _told(rate)) for at, rate in rates.items()),
        *(plot.dot(at, rate.observed, "fill for", _told(rate)) for at, rate in rates.items()),
    ]
    return Picture(
        f"{name}-over-time",
        "Does it stay right over time?",
        "Mean forecast and observed rate of each period, with its 95 % interval."
        + _few_left_out(len(periods.names) - len(rates)),
        foot,
        plot.draw(marks, foot, "Mean forecast and observed conversion rate over time."),
        ("as of", "forecast", "observed", "95 % interval", "rows", "customers"),
        tuple((periods.names[at], *_rate_cells(rate)) for at, rate in rates.items()),
    )


def _by_stage(
    name: str, foot: str, outcomes: Outcomes, periods: Periods, decided: list[int], stages: Sequence[str]
) -> Picture:
    n = np.zeros((len(stages), len(periods.names)))
    total = np.zeros_like(n)
    np.add.at(n, (np.array(decided), periods.of_row), 1)
    np.add.at(total, (np.array(decided), periods.of_row), outcomes.probability)
    shown = n >= FEWEST_ROWS
    mean: Floats = np.where(shown, total / np.maximum(n, 1), np.nan)
    named = [s for s in range(len(stages)) if shown[s].any()]
    top = 1.2 * float(np.nanmax(mean)) if named else 1.0
    plot = Plot(
        periods_axis(periods.names),
        percents("mean forecast", min(1.0, max(top, 0.01))),
        [(f"fill stage{s % 8}", stages[s]) for s in named],
    )
    marks = []
    for s in named:
        at = np.flatnonzero(shown[s]).tolist()
        marks.append(plot.line([(p, mean[s, p]) for p in at], f"line stage{s % 8}"))
        marks += [
            plot.dot(p, mean[s, p], f"fill stage{s % 8}", f"{stages[s]}: {percent(mean[s, p])} of {n[s, p]:,.0f} rows")
            for p in at
        ]
    return Picture(
        f"{name}-by-stage",
        "How likely are customers of each stage, over time?",
        f"Mean forecast of those who were told to be in a stage. Where fewer than {FEWEST_ROWS} were in a period, "
        "nothing is shown.",
        foot,
        plot.draw(marks, foot, "Mean forecast of conversion by the stage named, over time."),
        ("as of", *(stages[s] for s in named)),
        tuple(
            (period, *(f"{percent(mean[s, p])} of {n[s, p]:,.0f}" if shown[s, p] else "–" for s in named))
            for p, period in enumerate(periods.names)
        ),
    )


def _root_axis(title: str, high: float) -> Axis:
    """Square roots of shares: where conversions are rare, most forecasts are small."""
    apart = [0.0]
    for share in NAMED_SHARES:
        if share <= high and sqrt(share) - sqrt(apart[-1]) >= 0.13 * sqrt(high):
            apart.append(share)
    return Axis(title, 0.0, sqrt(high), [(sqrt(share), f"{100 * share:g}\u00a0%") for share in apart])


def _about(bins: Sequence[Rate]) -> str:
    return f"{sum(rate.rows for rate in bins) / len(bins):,.0f}"


def _chance(log_odds: float) -> str:
    return percent(float(expit(log_odds)))


def _told(rate: Rate) -> str:
    return (
        f"forecast {percent(rate.forecast)}, observed {percent(rate.observed)} "
        f"({percent(rate.low)} to {percent(rate.high)}), {rows_and_persons(rate.rows, rate.persons)}"
    )


def _rate_cells(rate: Rate) -> tuple[str, ...]:
    interval = f"{percent(rate.low)} to {percent(rate.high)}"
    return percent(rate.forecast), percent(rate.observed), interval, f"{rate.rows:,}", f"{rate.persons:,}"


def _few_left_out(periods: int) -> str:
    return f" Left out: {periods} with fewer than {FEWEST_ROWS} rows." if periods else ""
