"""Names and figures as a tracker takes them."""

import math

import pytest

from training.record_names import finite_metrics, flat_parameters


def test_tables_become_one_and_lists_a_line() -> None:
    nested = {"seed": 0, "journey": {"name": "default", "horizons_days": [30, 90]}, "split": None, "rounds": (60, 120)}
    assert flat_parameters(nested) == {
        "seed": "0",
        "journey.name": "default",
        "journey.horizons_days": "30, 90",
        "split": "None",
        "rounds": "60, 120",
    }


def test_what_is_not_finite_is_named_and_left_out() -> None:
    figures = {"a": 1.0, "b": math.inf, "c": -math.inf, "d": math.nan, "e": 0.0}
    assert finite_metrics(figures) == ({"a": 1.0, "e": 0.0}, ["b", "c", "d"])


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("won", "stage/f1_won"),
        ("won (closed)", "stage/f1_won _closed_"),
        ("gewonnen/größer", "stage/f1_gewonnen/größer"),
        ("50 %", "stage/f1_50 _"),
        ("a//b/", "stage/f1_a/b"),
        ("../x", "stage/f1___/x"),
        ("x" * 300, f"stage/f1_{'x' * 237}"),
    ],
)
def test_names_are_spelt_with_the_signs_that_mlflow_takes(stage: str, name: str) -> None:
    assert finite_metrics({f"stage/f1_{stage}": 0.5}) == ({name: 0.5}, [])


def test_names_that_become_alike_stay_apart() -> None:
    assert finite_metrics({"f1_won?": 1.0, "f1_won!": 2.0, "f1_won_": 3.0})[0] == {
        "f1_won_": 1.0, "f1_won_-2": 2.0, "f1_won_-3": 3.0,
    }  # fmt: skip
