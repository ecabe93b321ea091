"""Pictures of a conversion: the numbers drawn, counted by hand, and what each rests on."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np
import pytest

from features.event_log import to_us
from training.conversion_pictures import conversion_pictures
from training.judged_rows import JudgedRows
from training.pictures import Picture

STAGES = ("new", "warm")
NAMES = ["calibration", "gain", "lift", "precision-recall", "scores"]


def rows_of(
    converted: list[int], probability: list[float], decided: list[int] | None = None, months: int = 1
) -> JudgedRows:
    n = len(converted)
    return JudgedRows(
        person=[f"canary-{row % (n - 1)}" for row in range(n)],
        as_of_us=np.array([to_us(datetime(2026, 1 + row % months, 1, tzinfo=UTC)) for row in range(n)]),
        horizons_days=(30,),
        conversion=np.array(probability)[:, None],
        converted=np.array(converted, dtype=np.int8)[:, None],
        stages=np.zeros((n, 0)),
        stage=np.full(n, -1, dtype=np.int8),
        decided=np.array(decided or [], dtype=np.int64),
    )


SIX = rows_of([0, 1, 1, 0, 0, 0], [0.1, 0.9, 0.5, 0.6, 0.5, 0.2])


def drawn(rows: JudgedRows) -> dict[str, Picture]:
    return {picture.name.removeprefix("conversion_30d-"): picture for picture in conversion_pictures(rows, 0, STAGES)}


def test_each_states_its_rows_and_its_base_rate() -> None:
    pictures = drawn(SIX)

    assert list(pictures) == NAMES
    for picture in pictures.values():
        assert picture.foot == "6 rows of 5 customers; base rate 33\u00a0%"
        root = ElementTree.fromstring(picture.svg)
        assert root[-1].text == picture.foot
        assert root.get("aria-label")


def test_the_numbers_of_six_rows() -> None:
    pictures = drawn(SIX)

    assert pictures["calibration"].numbers[0] == ("10\u00a0%", "0\u00a0%", "0\u00a0% to 79\u00a0%", "1", "1")
    assert [line[:2] for line in pictures["calibration"].numbers[2:]] == [
        ("50\u00a0%", "50\u00a0%"), ("60\u00a0%", "0\u00a0%"), ("90\u00a0%", "100\u00a0%"),
    ]  # fmt: skip
    assert pictures["gain"].numbers[4] == ("50\u00a0%", "75\u00a0%", "50\u00a0%")
    assert pictures["lift"].numbers[4] == ("50\u00a0%", "1.50×")
    assert pictures["precision-recall"].numbers[4:6] == (("50\u00a0%", "100\u00a0%"), ("100\u00a0%", "50\u00a0%"))
    assert [line[1:] for line in pictures["scores"].numbers] == [("1", "0"), ("1", "0"), ("2", "1"), ("0", "1")]


def test_rows_whose_outcome_is_not_known_are_not_drawn() -> None:
    more = rows_of([0, 1, 1, 0, 0, 0, -1], [0.1, 0.9, 0.5, 0.6, 0.5, 0.2, 0.99])

    assert drawn(more)["gain"].numbers == drawn(SIX)["gain"].numbers
    assert drawn(more)["gain"].foot.startswith("6 rows")


@pytest.mark.parametrize("converted", [[0] * 6, [1] * 6, [-1] * 6])
def test_rows_of_one_outcome_make_no_picture(converted: list[int]) -> None:
    assert conversion_pictures(rows_of(converted, [0.5] * 6), 0, STAGES) == []


def test_over_time_and_by_stage() -> None:
    n = 44
    rows = rows_of([row % 4 == 0 for row in range(n)], [0.25] * n, [row % 2 for row in range(n)], months=2)
    pictures = drawn(rows)

    assert list(pictures) == [*NAMES, "over-time", "by-stage"]
    assert [line[:3] for line in pictures["over-time"].numbers] == [
        ("2026-01", "25\u00a0%", "50\u00a0%"), ("2026-02", "25\u00a0%", "0\u00a0%"),
    ]  # fmt: skip
    assert pictures["by-stage"].columns == ("as of", "new", "warm")
    assert pictures["by-stage"].numbers == (("2026-01", "25\u00a0% of 22", "–"), ("2026-02", "–", "25\u00a0% of 22"))


def test_a_period_of_few_rows_is_left_out_and_said() -> None:
    rows = rows_of([1, 0] * 6, [0.5] * 12, months=2)
    rows.as_of_us[:11] = rows.as_of_us[0]

    picture = drawn(rows)["over-time"]
    assert [line[0] for line in picture.numbers] == ["2026-01"]
    assert picture.reading.endswith("Left out: 1 with fewer than 10 rows.")


def test_certain_and_equal_forecasts_are_drawn() -> None:
    for probability in ([0.0, 1.0] * 3, [0.3] * 6, [1e-7] * 6):
        for picture in drawn(rows_of([0, 1, 0, 0, 1, 0], probability)).values():
            ElementTree.fromstring(picture.svg)
            assert "nan" not in picture.svg


def test_no_person_is_named() -> None:
    assert not any("canary" in picture.file() for picture in drawn(SIX).values())
