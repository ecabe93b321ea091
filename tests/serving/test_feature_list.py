"""The catalogue printed: the same rows as a table, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json

import pytest

from features.catalog import Feature
from serving.feature_list import print_features

TWO = [
    Feature("campaign [b]spring[/b]: times ever", "touchpoints", "How often ever before as_of."),
    Feature("mean gap, all", "days", "Mean time from one to the next."),
]


def test_a_table_names_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    print_features(TWO, "table")

    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if line] == [[two.name, two.unit, two.meaning] for two in TWO]


def test_csv_and_json_hold_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_features(TWO, "csv")
    from_csv = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    print_features(TWO, "json")
    from_json = json.loads(capsys.readouterr().out)

    assert from_csv == from_json == [{"name": two.name, "unit": two.unit, "meaning": two.meaning} for two in TWO]
