import pytest

from serving.slices import next_slice


@pytest.mark.parametrize(
    ("customers", "took_s", "most", "expected"),
    [
        (4, 0.25, 100, 4),  # as planned
        (4, 0.001, 100, 16),  # quick: grow, but not by more than four
        (64, 0.001, 100, 100),  # never above what the settings allow
        (8, 2.0, 100, 1),  # slow: one at a time
        (100, 0.5, 100, 50),
        (1, 60.0, 100, 1),  # never none
        (4, 0.0, 100, 16),
    ],
)
def test_a_slice_takes_about_a_quarter_of_a_second(customers: int, took_s: float, most: int, expected: int) -> None:
    assert next_slice(customers, took_s, most) == expected
