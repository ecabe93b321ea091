"""A market in words and figures, each rate with its counts."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from features.event_log import from_us
from features.market import Market, Tally
from features.market_features import market_trends
from models.journey_model import Reader

MOST_NAMES = 5


def market_table(reader: Reader, market: Market) -> Table:
    """The latest survey: traffic, newcomers, conversions, the mixes of channels and actions, and who stands where."""
    moment = from_us(market.moments_us[-1]).isoformat().replace("+00:00", "Z")
    table = Table("", "last 365 days", "last 30 days", title=f"The market at {moment}")
    tally = {name: int(market.tallies[-1, name]) for name in Tally}
    touchpoints_now, newcomers_now, _, converted_now = market_trends(market)[-1]
    seen, converted = tally[Tally.CUSTOMERS_365D], tally[Tally.CONVERTED_365D]
    of_touchpoints = f"{tally[Tally.TOUCHPOINTS_30D]:,}{_times(touchpoints_now)}"
    of_newcomers = f"{tally[Tally.NEWCOMERS_30D]:,}{_times(newcomers_now)}"
    of_converted = f"{tally[Tally.CONVERTED_30D]:,} of {seen:,}{_times(converted_now)}"
    table.add_row("customers seen", f"{seen:,}", f"{tally[Tally.CUSTOMERS_30D]:,}")
    table.add_row("touchpoints", f"{tally[Tally.TOUCHPOINTS_365D]:,}", of_touchpoints)
    table.add_row("newcomers", f"{tally[Tally.NEWCOMERS_365D]:,}", of_newcomers)
    table.add_row("converted", f"{converted:,} of {seen:,}{_share(converted, seen)}", of_converted)
    table.add_section()
    for family in ("channel", "action"):
        for name, count, total in _mix(reader, market, family):
            table.add_row(Text(f"{family} {name}"), f"{count:,} of {total:,}{_share(count, total)}", "")
        table.add_section()
    stages = reader.journey.stages if reader.journey.labels.rules else ()  # without rules nobody's stage is seen
    for stage, count in zip(stages, market.stages[-1].tolist(), strict=bool(stages)):
        table.add_row(Text(f"stage {stage}"), f"{count:,} of {seen:,}{_share(count, seen)}", "")
    return table


def _mix(reader: Reader, market: Market, family: str) -> Iterator[tuple[str, int, int]]:
    """The most frequent kinds of a family: name, touchpoints, touchpoints of the family."""
    counts = [(kind.name, int(n)) for kind, n in zip(reader.vocabulary.kinds, market.mix[-1], strict=True)
              if kind.family == family]  # fmt: skip
    total = sum(count for _, count in counts)
    for name, count in sorted(counts, key=lambda named: (-named[1], named[0]))[:MOST_NAMES]:
        if count:
            yield name, count, total


def _share(part: int, whole: int) -> str:
    return f" ({part / whole:.1%})" if whole else ""


def _times(trend: float) -> str:
    """A trend in words: nothing where there is none."""
    return f" (×{trend:.2f} a day)" if trend == trend else ""
