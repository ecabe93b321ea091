"""Plain plots as SVG: axes, lines, dots, bars. No script, no style of its own, nothing loaded.

A plot is a frame and marks in the data's units; `training/plot.css` colours them by class, for light and dark. Texts
are set in units of the view box, which is as wide as a phone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

import numpy as np

WIDTH: Final = 380.0
LEFT, RIGHT, TOP, BOTTOM, FOOT = 56.0, 20.0, 10.0, 42.0, 20.0
LETTER, FOOT_LETTER = 6.4, 5.9  # mean widths of a letter, to lay out keys and the line at the foot
ROW_HEIGHT: Final = 36.0

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """A straight scale from `low` to `high` and its ticks: where, and what stands there."""

    title: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]

    def share(self, value: float) -> float:
        """Where a value lies between low (0) and high (1); beyond is cut."""
        return float(np.clip((value - self.low) / (self.high - self.low), 0.0, 1.0))


@dataclass(frozen=True)
class Plot:
    """A frame; `key` names the classes of marks that need a name, in lines above it."""

    x: Axis
    y: Axis
    key: Sequence[tuple[str, str]] = ()
    inner_height: float = 190.0
    left: float = LEFT
    top: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "top", TOP + 20.0 * len(_key_lines(self.key)))

    @property
    def height(self) -> float:
        """Of the whole picture, in units of the view box."""
        return self.top + self.inner_height + BOTTOM + FOOT

    def at(self, x: float, y: float) -> Point:
        """Where a point of the data lies in the view box."""
        across = self.left + self.x.share(x) * (WIDTH - self.left - RIGHT)
        return across, self.top + (1 - self.y.share(y)) * self.inner_height

    def line(self, points: Iterable[Point], kind: str) -> str:
        """Straight from point to point."""
        return f'<polyline class="{kind}" points="{self._path(points)}"/>'

    def area(self, upper: Sequence[Point], lower: Sequence[Point], kind: str, told: str = "") -> str:
        """Between two lines."""
        return f'<polygon class="{kind}" points="{self._path([*upper, *reversed(lower)])}">{_told(told)}</polygon>'

    def dot(self, x: float, y: float, kind: str, told: str = "") -> str:
        """A point that tells more when pointed at."""
        across, down = self.at(x, y)
        return f'<circle class="{kind}" cx="{across:.1f}" cy="{down:.1f}" r="3.5">{_told(told)}</circle>'

    def whisker(self, x: float, low: float, high: float, kind: str) -> str:
        """An upright interval."""
        (across, down), (_, up) = self.at(x, low), self.at(x, high)
        return f'<line class="{kind}" x1="{across:.1f}" x2="{across:.1f}" y1="{down:.1f}" y2="{up:.1f}"/>'

    def bar(self, x: Point, y: Point, kind: str, told: str = "", opacity: float | None = None) -> str:
        """A rectangle from x[0] to x[1] and y[0] to y[1]."""
        (left, bottom), (right, top) = self.at(x[0], y[0]), self.at(x[1], y[1])
        see_through = "" if opacity is None else f' fill-opacity="{opacity:.2f}"'
        return (
            f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0.5):.1f}" '
            f'height="{max(bottom - top, 0.0):.1f}"{see_through}>{_told(told)}</rect>'
        )

    def words(self, x: float, y: float, words: str, kind: str = "", anchor: str = "middle", lower: float = 0.0) -> str:
        """Words at a point of the data, `lower` by some units."""
        across, down = self.at(x, y)
        return _text(across, down + lower, words, kind, anchor)

    def draw(self, marks: Iterable[str], foot: str, description: str) -> str:
        """The picture: `foot` says what it rests on, `description` is read to those who cannot see it."""
        return _picture(self.height, [*self._key(), *self._axes(), *marks], foot, description)

    def _path(self, points: Iterable[Point]) -> str:
        return " ".join(f"{across:.1f},{down:.1f}" for across, down in (self.at(*point) for point in points))

    def _key(self) -> Iterable[str]:
        for number, line in enumerate(_key_lines(self.key)):
            across = self.left
            for kind, words in line:
                down = TOP + 20.0 * number
                yield f'<rect class="{kind}" x="{across:.1f}" y="{down:.1f}" width="12" height="9" rx="2"/>'
                yield _text(across + 17, down + 9, words, "", "start")
                across += _key_width(words)

    def _axes(self) -> Iterable[str]:
        bottom, right = self.top + self.inner_height, WIDTH - RIGHT
        for value, words in self.y.ticks:
            _, down = self.at(self.x.low, value)
            yield f'<line class="grid" x1="{self.left:.1f}" x2="{right:.1f}" y1="{down:.1f}" y2="{down:.1f}"/>'
            yield _text(self.left - 6, down + 4, words, "tick", "end")
        for value, words in self.x.ticks:
            across, _ = self.at(value, self.y.low)
            yield _text(across, bottom + 16, words, "tick", "middle")
        yield f'<line class="axis" x1="{self.left:.1f}" x2="{right:.1f}" y1="{bottom:.1f}" y2="{bottom:.1f}"/>'
        yield _text((self.left + right) / 2, bottom + 34, self.x.title, "", "middle")
        middle = self.top + self.inner_height / 2
        yield f'<g transform="translate(12 {middle:.1f}) rotate(-90)">{_text(0, 0, self.y.title, "", "middle")}</g>'


def bars(
    rows: Sequence[tuple[str, float, str]], kind: str, foot: str, description: str, mark: float | None = None
) -> str:
    """Lying bars: a name above each, its size from 0, and what is written behind it; an upright line at `mark`."""
    most = max([size for _, size, _ in rows] + ([] if mark is None else [mark]) + [1e-9])
    width = WIDTH - 2 - 52.0
    height = ROW_HEIGHT * len(rows) + TOP + FOOT
    parts = []
    for number, (name, size, words) in enumerate(rows):
        down, long = TOP + ROW_HEIGHT * number, width * size / most
        parts += [
            _text(2, down + 10, _cut(name), "", "start"),
            f'<rect class="track" x="2" y="{down + 15:.1f}" width="{width:.1f}" height="9" rx="2"/>',
            f'<rect class="{kind}" x="2" y="{down + 15:.1f}" width="{max(long, 0.5):.1f}" height="9" rx="2"/>',
            _text(WIDTH - 2, down + 24, words, "", "end"),
        ]
    if mark is not None:
        across = 2 + width * mark / most
        end = height - FOOT - 6
        parts.append(f'<line class="usual" x1="{across:.1f}" x2="{across:.1f}" y1="{TOP}" y2="{end:.1f}"/>')
    return _picture(height, parts, foot, description)


def even_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values from low to high, a step of 1, 2 or 5 times a power of ten apart, `most` of them and one at most."""
    rough = (high - low) / most
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * (1 - 1e-9))
    first = int(np.ceil(low / step - 1e-9))
    return [round(number * step, 12) for number in range(first, int(np.floor(high / step + 1e-9)) + 1)]


def _picture(height: float, parts: Iterable[str], foot: str, description: str) -> str:
    room = WIDTH - 4
    squeezed = f' textLength="{room:g}" lengthAdjust="spacingAndGlyphs"' if FOOT_LETTER * len(foot) > room else ""
    stand = f'<text class="foot" x="{WIDTH - 2:g}" y="{height - 6:g}" text-anchor="end"{squeezed}>{escape(foot)}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" role="img" '
        f'aria-label="{escape(description)}">{"".join(parts)}{stand}</svg>'
    )


def _text(across: float, down: float, words: str, kind: str, anchor: str) -> str:
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text{of_kind} x="{across:.1f}" y="{down:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _told(words: str) -> str:
    return f"<title>{escape(words)}</title>" if words else ""


def _cut(name: str, most: int = 56) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _key_lines(key: Sequence[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    lines: list[list[tuple[str, str]]] = []
    room = 0.0
    for entry in key:
        width = _key_width(entry[1])
        if width > room:
            lines.append([])
            room = WIDTH - LEFT - RIGHT
        lines[-1].append(entry)
        room -= width
    return lines


def _key_width(words: str) -> float:
    return 17 + LETTER * len(words) + 14
