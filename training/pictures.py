"""A picture of how a model does: an SVG, how to read it, what it rests on, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.plot import LEFT, LETTER, RIGHT, WIDTH, Axis, even_ticks

PLOT_STYLE: Final = Path(__file__).with_name("plot.css")
ROOM: Final = WIDTH - LEFT - RIGHT  # beside each other, for labels
FEWEST_ROWS: Final = 10  # of a point over time: fewer tell nothing


@dataclass(frozen=True)
class Picture:
    """`svg` states `foot`, the rows and the base rate, itself; `numbers` are what is drawn, `columns` their names."""

    name: str
    title: str
    reading: str
    foot: str
    svg: str
    columns: tuple[str, ...]
    numbers: tuple[tuple[str, ...], ...]

    def file(self) -> str:
        """The picture as a file of its own, with its colours inside."""
        opening, rest = self.svg.split(">", 1)
        return f"{opening}><style>{PLOT_STYLE.read_text('utf-8')}</style>{rest}\n"


def write_pictures(pictures: Sequence[Picture], folder: Path) -> None:
    """Each picture as NAME.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        (folder / f"{picture.name}.svg").write_text(picture.file(), "utf-8")


def percent(share: float) -> str:
    """As the pages write shares."""
    digits = 0 if share >= 0.0995 or share == 0 else 1 if share >= 0.00095 else 2
    return f"{100 * share:.{digits}f}\u00a0%"


def percents(title: str, high: float, low: float = 0.0) -> Axis:
    """An axis of shares."""
    return Axis(title, low, high, [(tick, f"{100 * tick:g}\u00a0%") for tick in even_ticks(low, high)])


def periods_axis(names: Sequence[str], title: str = "as of") -> Axis:
    """An axis of periods, one apart from 0 on, of which a few are named."""
    labels = max(2, int(ROOM / max(LETTER * len(name) + 8 for name in names)))
    step = -(-len(names) // labels)
    return Axis(title, -0.3, len(names) - 0.7, [(at, names[at]) for at in range(0, len(names), step)])


def rows_and_persons(rows: int, persons: int) -> str:
    """What a picture rests on."""
    return f"{rows:,} rows of {persons:,} customers"


def thinned(points: Sequence[Sequence[float]], most: int = 300) -> Iterator[tuple[float, float]]:
    """At most about `most` of a curve's points, its ends among them."""
    step = max(1, len(points) // most)
    for number, (x, y) in enumerate(points):
        if number % step == 0 or number == len(points) - 1:
            yield float(x), float(y)
