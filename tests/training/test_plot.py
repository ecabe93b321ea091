"""Plots: where things stand, and that they are sound SVG."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from training.plot import WIDTH, Axis, Plot, bars, even_ticks

X = Axis("x", 0.0, 10.0, [(0, "0"), (10, "10")])
Y = Axis("y", 0.0, 1.0, [(0, "0"), (1, "1")])
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.037, [0, 0.01, 0.02, 0.03]),
        (0.6, 1, [0.6, 0.7, 0.8, 0.9, 1.0]),
        (0, 11.5, [0, 5, 10]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert even_ticks(low, high) == pytest.approx(expected)


def test_the_corners_of_the_data_are_those_of_the_frame() -> None:
    plot = Plot(X, Y)

    assert plot.at(0, 0) == (56, 200)
    assert plot.at(10, 1) == (WIDTH - 20, 10)
    assert plot.at(5, 0.5) == (208, 105)


def test_what_lies_beyond_stands_at_the_edge() -> None:
    plot = Plot(X, Y)

    assert plot.at(99, 7) == plot.at(10, 1)
    assert plot.at(-1, -1) == plot.at(0, 0)


def test_a_key_makes_room_above() -> None:
    entries = [("fill model", "as forecast"), ("fill usual", "in any order")]

    assert Plot(X, Y, entries).height == Plot(X, Y).height + 20
    assert Plot(X, Y, entries * 2).height == Plot(X, Y).height + 40


def test_a_picture_is_read_out_and_says_what_it_rests_on() -> None:
    plot = Plot(X, Y, [("fill model", "A & B")])
    marks = [plot.line([(0, 0), (10, 1)], "line model"), plot.dot(5, 0.5, "fill model", "<half>")]
    root = ElementTree.fromstring(plot.draw(marks, "six rows; base rate 50 %", 'a "plain" line'))

    assert (root.tag, root.get("role"), root.get("aria-label")) == (f"{SVG}svg", "img", 'a "plain" line')
    assert root.findall(f"{SVG}text")[-1].text == "six rows; base rate 50 %"
    assert root.find(f"{SVG}polyline").get("points") == "56.0,220.0 360.0,30.0"
    assert [told.text for told in root.iter(f"{SVG}title")] == ["<half>"]
    assert "A & B" in [text.text for text in root.iter(f"{SVG}text")]


def test_an_area_has_its_corners() -> None:
    plot = Plot(X, Y)

    assert 'points="56.0,10.0 360.0,10.0 360.0,200.0 56.0,200.0"' in plot.area(
        [(0, 1), (10, 1)], [(0, 0), (10, 0)], "a"
    )


def test_lying_bars_are_as_long_as_their_sizes() -> None:
    root = ElementTree.fromstring(bars([("much", 2.0, "2"), ("half", 1.0, "1")], "fill", "two rows", "sizes", 2.0))
    lengths = [float(rect.get("width")) for rect in root.iter(f"{SVG}rect")]

    assert lengths == [326, 326, 326, 163]
    assert float(root.find(f"{SVG}line").get("x1")) == 328


def test_a_foot_that_is_too_long_is_squeezed_into_the_picture() -> None:
    short, long = (ElementTree.fromstring(bars([("a", 1.0, "1")], "fill", words, "")) for words in ("six", "six" * 40))

    assert [root.findall(f"{SVG}text")[-1].get("textLength") for root in (short, long)] == [None, "376"]
