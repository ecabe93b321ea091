"""Pictures of the stages, counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

import numpy as np

from features.event_log import to_us
from training.judged_rows import JudgedRows
from training.stage_pictures import stage_pictures

STAGES = ("new", "warm", "fan")


def rows_of(stage: list[int], decided: list[int], months: int = 1) -> JudgedRows:
    n = len(stage)
    stages = np.full((n, 3), 0.1)
    stages[np.arange(n), decided] = 0.8
    return JudgedRows(
        person=[f"canary-{row % (n - 1)}" for row in range(n)],
        as_of_us=np.array([to_us(datetime(2026, 1 + row % months, 1, tzinfo=UTC)) for row in range(n)]),
        horizons_days=(),
        conversion=np.zeros((n, 0)),
        converted=np.zeros((n, 0), dtype=np.int8),
        stages=stages,
        stage=np.array(stage, dtype=np.int8),
        decided=np.array(decided),
    )


def test_confusion_of_six_rows() -> None:
    picture = stage_pictures(rows_of([0, 0, 0, 1, 1, 2, -1], [0, 0, 1, 1, 0, 1, 2]), STAGES)[0]

    assert picture.foot == "6 rows of 6 customers; base rate 50\u00a0% (new)"
    assert picture.columns == ("truly in", "told new", "told warm", "told fan", "rows")
    assert picture.numbers == (
        ("new", "67\u00a0% (2)", "33\u00a0% (1)", "0\u00a0% (0)", "3"),
        ("warm", "50\u00a0% (1)", "50\u00a0% (1)", "0\u00a0% (0)", "2"),
        ("fan", "0\u00a0% (0)", "100\u00a0% (1)", "0\u00a0% (0)", "1"),
    )


def test_the_sure_ones_of_six_rows() -> None:
    rows = rows_of([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 1])
    rows.stages[[0, 1, 3], [0, 0, 1]] = 0.9
    picture = stage_pictures(rows, STAGES)[1]

    assert picture.numbers[4] == ("50\u00a0%", "100\u00a0%")
    assert picture.numbers[9] == ("100\u00a0%", "50\u00a0%")


def test_stages_over_two_months() -> None:
    confusion, coverage, over_time = stage_pictures(rows_of([0, 1, 0, 1, 2, 1], [0, 1, 0, 1, 0, 1], months=2), STAGES)

    assert over_time.numbers == (
        ("2026-01", "80\u00a0% / 67\u00a0%", "10\u00a0% / 0\u00a0%", "10\u00a0% / 33\u00a0%", "3"),
        ("2026-02", "10\u00a0% / 0\u00a0%", "80\u00a0% / 100\u00a0%", "10\u00a0% / 0\u00a0%", "3"),
    )
    for picture in (confusion, coverage, over_time):
        root = ElementTree.fromstring(picture.svg)
        assert root[-1].text == picture.foot
        assert "canary" not in picture.file()


def test_where_no_stage_is_known_nothing_is_drawn() -> None:
    assert stage_pictures(rows_of([-1, -1, -1], [0, 1, 2]), STAGES) == []
