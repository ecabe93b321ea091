from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import BadData
from training import settings, split
from training.split import DAY_US, Split, held_out_persons, person_folds, time_and_person_split

NAMES = [f"customer {i}" for i in range(400)]


def monthly(persons: int = 400, months: int = 12) -> tuple[list[str], np.ndarray]:
    """Everyone seen every 30 days."""
    return [name for name in NAMES[:persons] for _ in range(months)], np.tile(np.arange(months) * 30 * DAY_US, persons)


# With seed 2, bob and dan are the persons to judge on.
TEN = ["ada", "bob", "cyd", "eve", "ada", "dan", "ada", "dan", "bob", "eve"]
TEN_AS_OF = np.array([0, 10, 20, 30, 60, 70, 80, 100, 110, 120]) * DAY_US


def sides(person: list[str], found: Split) -> tuple[set[str], set[str]]:
    return {person[i] for i in found.train_rows}, {person[i] for i in found.test_rows}


@contextmanager
def any_number_will_do() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "MIN_ROWS", 1)
        patch.setattr(split, "MIN_POSITIVES", 1)
        yield


def test_folds_of_six_rows_never_change():
    person = ["ada", "bob", "ada", "cyd", "dan", "eve"]
    assert person_folds(person).tolist() == [1, 4, 1, 3, 0, 1]
    assert person_folds(person, folds=2, seed=1).tolist() == [1, 0, 1, 1, 0, 0]


def test_folds_are_of_about_one_size():
    sizes = np.bincount(person_folds([f"p{i}" for i in range(10_000)]))
    assert sizes.tolist() == pytest.approx([2000] * 5, abs=150)


def test_seeds_give_other_folds():
    assert (person_folds(NAMES, seed=0) == person_folds(NAMES, seed=1)).mean() == pytest.approx(0.2, abs=0.1)


def test_training_persons_fill_all_folds():
    found = time_and_person_split(*monthly(), longest_horizon_days=None, seed=0)
    train = [monthly()[0][i] for i in found.train_rows]
    assert (np.bincount(person_folds(train)) / len(train)).tolist() == pytest.approx([0.2] * 5, abs=0.06)


@pytest.mark.parametrize("folds", [1, 128])
def test_impossible_numbers_of_folds_are_refused(folds: int):
    with pytest.raises(ValueError, match=f"folds is {folds}, expected 2 to 127"):
        person_folds(NAMES, folds)


@given(st.lists(st.text(), min_size=1), st.data())
def test_folds_depend_on_nothing_but_the_person(person: list[str], data: st.DataObject):
    order = data.draw(st.permutations(range(len(person))))
    folds = person_folds(person)
    assert folds.dtype == np.int8
    assert (person_folds([person[i] for i in order]) == folds[order]).all()
    assert person_folds(person[:1]) == folds[0]


@pytest.mark.parametrize("horizon_days", [30, 40])
def test_a_split_of_ten_rows(horizon_days: int):
    with any_number_will_do():
        found = time_and_person_split(TEN, TEN_AS_OF, horizon_days, seed=2)
    assert (found.kind, found.reason, found.cut_us) == ("time and person", "", 100 * DAY_US)
    assert found.train_rows.tolist() == [0, 2, 3, 4]
    assert found.test_rows.tolist() == [7, 8]
    assert (found.left_out_in_gap, found.left_out_other) == (1, 3)


def test_a_window_that_ends_just_after_the_cut_is_left_out():
    with any_number_will_do():
        found = time_and_person_split(TEN, TEN_AS_OF + (np.arange(10) == 4), 40, seed=2)
    assert found.train_rows.tolist() == [0, 2, 3]
    assert (found.left_out_in_gap, found.left_out_other) == (2, 3)


def test_a_monthly_split_by_default():
    person, as_of_us = monthly()
    found = time_and_person_split(person, as_of_us, 90, seed=0)
    train_persons, test_persons = sides(person, found)
    # Months 8 to 11 are late, windows of months 0 to 5 are over by month 8.
    assert (found.kind, found.cut_us) == ("time and person", 240 * DAY_US)
    assert len(train_persons) + len(test_persons) == 400
    assert len(test_persons) == pytest.approx(120, abs=30)
    assert len(found.train_rows) == 6 * len(train_persons)
    assert len(found.test_rows) == 4 * len(test_persons)
    assert found.left_out_in_gap == 2 * len(train_persons)
    assert found.left_out_other == 4 * len(train_persons) + 8 * len(test_persons)


def test_labels_that_look_at_no_future_need_no_gap_but_an_earlier_time():
    person, as_of_us = monthly()
    found = time_and_person_split(person, as_of_us, 0, seed=0)
    assert found.left_out_in_gap == 0
    assert as_of_us[found.train_rows].max() == 210 * DAY_US
    assert as_of_us[found.test_rows].min() == 240 * DAY_US


def test_windows_that_never_end_are_split_by_person():
    person, as_of_us = monthly()
    found = time_and_person_split(person, as_of_us, None, seed=0)
    assert (found.kind, found.cut_us) == ("person", None)
    assert found.reason == "the label window never ends, so no time lies after it"
    assert len(found.test_rows) / 4800 == pytest.approx(0.2, abs=0.06)
    assert len(found.train_rows) + len(found.test_rows) == 4800
    assert (found.left_out_in_gap, found.left_out_other) == (0, 0)


def test_a_single_as_of_is_split_by_person():
    found = time_and_person_split(NAMES, np.zeros(400, np.int64), 30, seed=0)
    assert (found.kind, found.reason) == ("person", "a split by time leaves 0 training rows, fewer than 300")


def test_too_few_later_rows_are_split_by_person():
    person, as_of_us = monthly(persons=200)
    found = time_and_person_split(person, as_of_us, 30, seed=0)
    assert found.kind == "person"
    assert found.reason.startswith("a split by time leaves 2")
    assert found.reason.endswith("test rows, fewer than 300")


@pytest.mark.parametrize(("early", "late", "side"), [(True, False, "test"), (False, True, "training")])
def test_too_few_positives_on_a_side_are_split_by_person(early: bool, late: bool, side: str):
    person, as_of_us = monthly()
    converted = np.where(as_of_us < 240 * DAY_US, early, late)
    found = time_and_person_split(person, as_of_us, 30, seed=0, converted=converted)
    assert found.kind == "person"
    assert found.reason == f"a split by time leaves 0 converted {side} rows, fewer than 50"


def test_enough_positives_on_both_sides_are_split_by_time():
    person, as_of_us = monthly()
    found = time_and_person_split(person, as_of_us, 30, seed=0, converted=np.arange(4800) % 7 == 0)
    assert found.kind == "time and person"


@pytest.mark.parametrize("person", [[], ["ada"], ["ada"] * 9])
def test_too_few_customers_to_hold_any_out_are_refused(person: list[str]):
    with pytest.raises(BadData, match=f"found {len(set(person))} customers with labels, too few") as refusal:
        time_and_person_split(person, np.arange(len(person)) * DAY_US, 1, seed=0)
    assert refusal.value.code == "too_few_customers"


def test_a_persons_side_does_not_depend_on_who_else_is_there():
    person, as_of_us = monthly()
    fewer, fewer_as_of_us = monthly(persons=350)
    _, test_persons = sides(person, time_and_person_split(person, as_of_us, 30, seed=0))
    _, test_of_fewer = sides(fewer, time_and_person_split(fewer, fewer_as_of_us, 30, seed=0))
    assert test_of_fewer == test_persons & set(fewer)


rows = st.lists(st.tuples(st.sampled_from(NAMES[:12]), st.integers(0, 100)), min_size=12, max_size=60)


@given(rows, st.integers(0, 60) | st.none(), st.integers(0, 5), st.data())
def test_any_split_keeps_persons_and_windows_apart_in_any_order(
    labelled: list[tuple[str, int]], horizon_days: int | None, seed: int, data: st.DataObject
):
    person = [name for name, _ in labelled]
    as_of_us = np.array([day for _, day in labelled]) * DAY_US
    order = data.draw(st.permutations(range(len(person))))
    with any_number_will_do():
        try:
            found = time_and_person_split(person, as_of_us, horizon_days, seed)
        except BadData:
            return
        shuffled = time_and_person_split([person[i] for i in order], as_of_us[order], horizon_days, seed)
    train_persons, test_persons = sides(person, found)
    assert train_persons
    assert test_persons
    assert not train_persons & test_persons
    left_out = found.left_out_in_gap + found.left_out_other
    assert len(found.train_rows) + len(found.test_rows) + left_out == len(person)
    if found.kind == "time and person":
        assert horizon_days is not None
        assert found.cut_us is not None
        assert as_of_us[found.train_rows].max() < found.cut_us <= as_of_us[found.test_rows].min()
        assert as_of_us[found.train_rows].max() + horizon_days * DAY_US <= found.cut_us
    assert sorted(np.array(order)[shuffled.train_rows]) == found.train_rows.tolist()
    assert sorted(np.array(order)[shuffled.test_rows]) == found.test_rows.tolist()
    assert (shuffled.kind, shuffled.reason, shuffled.cut_us) == (found.kind, found.reason, found.cut_us)
    assert shuffled.left_out_in_gap == found.left_out_in_gap


# What is asked for


def asked(**values: object) -> settings.Split:
    return settings.Split.model_validate(values)


def test_by_time_alone_all_late_rows_are_judged_and_their_persons_are_learnt_from():
    with any_number_will_do():
        found = time_and_person_split(TEN, TEN_AS_OF, 30, seed=2, asked=asked(kind="time"))
    assert (found.kind, found.reason, found.cut_us) == ("time", "", 100 * DAY_US)
    assert (found.train_rows.tolist(), found.test_rows.tolist()) == ([0, 1, 2, 3, 4, 5], [7, 8, 9])
    assert (found.left_out_in_gap, found.left_out_other) == (1, 0)


def test_by_person_alone_time_counts_for_nothing():
    found = time_and_person_split(TEN, TEN_AS_OF, 30, seed=2, asked=asked(kind="person", person_share=0.5))
    assert (found.kind, found.reason, found.cut_us) == ("person", "asked for", None)
    assert set(TEN) == set.union(*sides(TEN, found))
    assert not set.intersection(*sides(TEN, found))


def test_a_gap_and_shares_are_taken_as_asked():
    with any_number_will_do():
        found = time_and_person_split(TEN, TEN_AS_OF, None, seed=2, asked=asked(kind="time", gap_days=50))
        later = time_and_person_split(TEN, TEN_AS_OF, 0, seed=2, asked=asked(kind="time", late_share=0.2))
    assert (found.train_rows.tolist(), found.left_out_in_gap) == ([0, 1, 2, 3], 3)
    assert (later.cut_us, later.test_rows.tolist()) == (110 * DAY_US, [8, 9])


def test_persons_held_out_are_those_of_a_split_by_person():
    person, as_of_us = monthly()
    found = time_and_person_split(person, as_of_us, None, seed=0)
    assert np.flatnonzero(held_out_persons(person, 0.2, seed=0)).tolist() == found.test_rows.tolist()
