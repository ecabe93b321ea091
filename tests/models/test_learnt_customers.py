"""Whom a model has learnt from: none forgotten, few strangers taken for one, no id kept."""

import numpy as np
import pytest

from models.learnt_customers import LearntCustomers


@pytest.mark.parametrize("customers", [0, 1, 6, 5_000])
def test_no_customer_is_forgotten_and_few_strangers_are_taken_for_one(customers: int) -> None:
    learnt = LearntCustomers.of(f"c{i}" for i in range(customers))

    assert learnt.holds([f"c{i}" for i in range(customers)]).tolist() == [True] * customers
    assert learnt.holds([f"stranger {i}" for i in range(5_000)]).mean() < 0.02
    assert learnt.holds([]).tolist() == []


def test_the_same_customers_give_the_same_bytes_in_any_order_and_number() -> None:
    one, other = (LearntCustomers.of(ids).bits for ids in (["ada", "bob", "ada"], ["bob", "ada"]))

    assert one.dtype == np.uint8
    assert one.tolist() == other.tolist()
    assert one.tolist() != LearntCustomers.of(["ada", "eve"]).bits.tolist()


def test_ten_bits_a_customer() -> None:
    assert len(LearntCustomers.of(f"c{i}" for i in range(8_000)).bits) == 10_001
