"""A ceiling is read as it is written, divided among threads, and refused where nothing can be done under it."""

from __future__ import annotations

import re

import pytest

from features.errors import BadUsage
from serving.memory_plan import plan_memory, read_memory, resident_bytes, usual_memory


@pytest.mark.parametrize(
    ("words", "amount"),
    [("2GB", 2 * 10**9), ("500 mb", 5 * 10**8), ("1.5GiB", 3 * 2**29), ("1000000", 10**6), ("1KiB", 1024)],
)
def test_an_amount_is_read(words: str, amount: int) -> None:
    assert read_memory(words) == amount


@pytest.mark.parametrize("words", ["", "GB", "-2GB", "2 gallons", "2,5GB", "nan"])
def test_no_amount_is_refused(words: str) -> None:
    with pytest.raises(BadUsage, match="write for example 2GB"):
        read_memory(words)


def test_more_memory_makes_larger_partitions_and_a_longer_list_smaller_ones() -> None:
    usual = plan_memory(2 * 10**9, 0, held_bytes=4 * 10**8)
    assert usual.threads == 2
    assert plan_memory(4 * 10**9, 0, held_bytes=4 * 10**8).partition_bytes > usual.partition_bytes
    assert plan_memory(2 * 10**9, 10**6, held_bytes=4 * 10**8).partition_bytes < usual.partition_bytes


def test_little_memory_is_for_one_thread() -> None:
    assert plan_memory(9 * 10**8, 0, held_bytes=4 * 10**8).threads == 1


def test_the_least_that_is_named_is_enough() -> None:
    with pytest.raises(BadUsage) as caught:
        plan_memory(10**8, 1000, held_bytes=4 * 10**8)
    least = re.search(r"at least ([\d,]+MB)", str(caught.value))
    assert least is not None
    enough = read_memory(least[1].replace(",", "")) + 10**6
    assert plan_memory(enough, 1000, held_bytes=4 * 10**8).partition_bytes > 0


def test_without_a_ceiling_a_large_process_gets_a_gigabyte_beside_what_it_holds() -> None:
    assert [usual_memory(held) for held in (3 * 10**8, 10**9, 10**9 + 1, 5 * 10**9)] == [
        2 * 10**9,
        2 * 10**9,
        3 * 10**9,
        6 * 10**9,
    ]
    assert plan_memory(usual_memory(5 * 10**9), 0, held_bytes=5 * 10**9).threads == 2


def test_a_comparison_has_to_fit_as_well() -> None:
    enough = 2 * 10**9
    assert plan_memory(enough, 2 * 10**6, held_bytes=3 * 10**8).threads == 2
    assert plan_memory(enough, 10**6, held_bytes=3 * 10**8, is_compared=True).threads == 2
    with pytest.raises(BadUsage, match="in a process that holds 300MB already; give at least 2,000MB"):
        plan_memory(enough - 10**6, 2 * 10**6, held_bytes=3 * 10**8, is_compared=True)


def test_this_process_holds_some_memory() -> None:
    assert 10**7 < resident_bytes() < 10**11
