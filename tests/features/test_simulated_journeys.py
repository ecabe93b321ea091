from __future__ import annotations

import numpy as np

from features.simulated_journeys import (
    AWARE,
    CONSIDERING,
    CONVERTED,
    DORMANT,
    SPIKE_PROPENSITY,
    Journeys,
    draw_journeys,
    draw_population,
)


def six_sojourns() -> Journeys:
    """Customer 0 considers, buys, doubts and buys again; customer 1 falls asleep and comes back considering."""
    return Journeys(
        customer=np.array([0, 0, 0, 0, 1, 1]),
        since_day=np.array([10.0, 20.0, 30.0, 40.0, 5.0, 50.0]),
        until_day=np.array([20.0, 30.0, 40.0, 547.0, 50.0, 547.0]),
        state=np.array([CONSIDERING, CONVERTED, CONSIDERING, CONVERTED + DORMANT, AWARE + DORMANT, CONSIDERING]),
        enrolled=np.array([False, False]),
        odds_a=np.array([np.nan, np.nan]),
    )


def test_a_purchase_is_a_crossing_into_conversion() -> None:
    customer, day = six_sojourns().purchases()
    assert customer.tolist() == [0, 0]
    assert day.tolist() == [20.0, 40.0]


def test_state_holds_from_its_first_moment_to_the_next() -> None:
    states = six_sojourns().state_at(np.array([0, 0, 0, 1, 1]), np.array([10.0, 19.9, 20.0, 49.9, 546.0]))
    assert states.tolist() == [CONSIDERING, CONSIDERING, CONVERTED, AWARE + DORMANT, CONSIDERING]


def test_sojourns_follow_each_other_without_gap_until_the_end() -> None:
    journeys = draw_journeys(draw_population(300, 0.5, np.random.default_rng(1)), np.random.default_rng(2))
    same = journeys.customer[1:] == journeys.customer[:-1]
    assert np.array_equal(journeys.until_day[:-1][same], journeys.since_day[1:][same])
    assert (journeys.until_day[:-1][~same] == 547.0).all()
    assert (journeys.state[1:][same] != journeys.state[:-1][same]).all()


def test_the_split_test_enrols_only_who_is_known_and_has_not_bought() -> None:
    people = draw_population(3000, 0.5, np.random.default_rng(1))
    journeys = draw_journeys(people, np.random.default_rng(2))
    assert people.arrived_day[journeys.enrolled].max() < 399.4
    buyer, day = journeys.purchases()
    assert not journeys.enrolled[buyer[day < 399.4]].any()
    assert np.array_equal(np.isnan(journeys.odds_a), ~journeys.enrolled)


def test_activity_tells_of_propensity_only_where_it_is_easy() -> None:
    def correlation(difficulty: float) -> float:
        people = draw_population(20_000, difficulty, np.random.default_rng(1))
        propensity, activity = people.propensity[~people.viral], people.activity[~people.viral]
        return float(np.corrcoef(propensity, activity)[0, 1])

    assert abs(correlation(1.0)) < 0.02
    assert 0.45 < correlation(0.0) < 0.55


def test_viral_arrivals_are_less_inclined() -> None:
    people = draw_population(20_000, 0.5, np.random.default_rng(1))
    assert abs(people.propensity[people.viral].mean() - SPIKE_PROPENSITY) < 0.08
