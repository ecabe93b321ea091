"""The latent world of the simulation: who arrives when, and how each person's journey moves through the stages.

A journey is a continuous-time jump process (competing exponential clocks, Gillespie 1977, doi:10.1021/j100540a008)
over four stages, each either active or dormant. People skip stages, step back, fall asleep and return. Time is in days
since the beginning; a purchase happens exactly when someone crosses from before conversion to conversion or advocacy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.simulated_calendar import CAMPAIGNS, OBSERVED_DAYS, SPIKE_DAY, SPLIT_TEST, breaks, rate_lifts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

STAGES: Final = ("awareness", "consideration", "conversion", "advocacy")
DORMANT: Final = len(STAGES)  # state = stage, plus DORMANT while asleep
STATES: Final = 2 * len(STAGES)
AWARE, CONSIDERING, CONVERTED, ADVOCATE = range(len(STAGES))

SPIKE_SHARE: Final = 0.08  # of all customers
SPIKE_PROPENSITY: Final = -1.0
ARRIVAL_CHANNELS: Final = ("web", "social", "ads", "store")
ARRIVAL_SHARES: Final = (0.45, 0.25, 0.20, 0.10)
ARRIVAL_PROPENSITY: Final = (0.1, -0.2, -0.1, 0.4)

_CONSIDERING_AT_ARRIVAL: Final = (0.38, 0.06)  # share, of those who come by themselves and of the viral ones
_SPLIT_LOGIT: Final = np.array([-4.2, -1.1, 0.0, 0.0, -5.4, -2.9, 0.0, 0.0])  # log-odds in arm A by state
_SPLIT_SLOPE: Final = 0.7  # log-odds for one unit of propensity

FORWARD, PURCHASE, FADE, RETURN = range(4)
_SLOPES: Final = np.array([0.5, 0.7, -0.3, 0.3])  # log-rate for one unit of propensity, by kind of move
_MOVES: Final = (  # from, to, kind, mean days until it happens if nothing else does
    (AWARE, CONSIDERING, FORWARD, 800),
    (AWARE, CONVERTED, PURCHASE, 8000),
    (AWARE, AWARE + DORMANT, FADE, 40),
    (CONSIDERING, AWARE, FADE, 240),
    (CONSIDERING, CONVERTED, PURCHASE, 62),
    (CONSIDERING, ADVOCATE, PURCHASE, 1200),
    (CONSIDERING, CONSIDERING + DORMANT, FADE, 130),
    (CONVERTED, ADVOCATE, FORWARD, 110),
    (CONVERTED, CONSIDERING, FADE, 200),
    (CONVERTED, CONVERTED + DORMANT, FADE, 110),
    (ADVOCATE, CONVERTED, FADE, 120),
    (ADVOCATE, ADVOCATE + DORMANT, FADE, 160),
    (AWARE + DORMANT, AWARE, RETURN, 360),
    (AWARE + DORMANT, CONSIDERING, RETURN, 2200),
    (CONSIDERING + DORMANT, CONSIDERING, RETURN, 90),
    (CONSIDERING + DORMANT, AWARE, RETURN, 200),
    (CONVERTED + DORMANT, CONVERTED, RETURN, 140),
    (CONVERTED + DORMANT, CONSIDERING, RETURN, 400),
    (ADVOCATE + DORMANT, ADVOCATE, RETURN, 120),
    (ADVOCATE + DORMANT, CONVERTED, RETURN, 300),
)


@dataclass(frozen=True)
class Population:
    """One entry a customer. `propensity` and `activity` are log-scale; `arm` indexes the split test's arms."""

    arrived_day: Floats
    arrived_by: Ints
    viral: Bools
    propensity: Floats
    activity: Floats
    unsubscribed_day: Floats
    reached: Bools  # customers × campaigns
    arm: Ints


@dataclass(frozen=True)
class Journeys:
    """One entry a sojourn in a state, by customer and time.

    `enrolled` (in the split test) and `odds_a` (of buying in arm A, NaN if not enrolled) have one entry a customer.
    """

    customer: Ints
    since_day: Floats
    until_day: Floats
    state: Ints
    enrolled: Bools
    odds_a: Floats

    def state_at(self, customer: Ints, day: Floats) -> Ints:
        """The state each customer is in on that day (days since the beginning, not before the arrival)."""
        stride = 2.0 * OBSERVED_DAYS
        found = np.searchsorted(self.customer * stride + self.since_day, customer * stride + day, side="right") - 1
        return self.state[found]

    def purchases(self) -> tuple[Ints, Floats]:
        """Customer and day of every crossing from before conversion to conversion or advocacy."""
        stage = self.state % DORMANT
        crossed = np.zeros(len(stage), dtype=bool)
        crossed[1:] = (stage[1:] >= CONVERTED) & (stage[:-1] < CONVERTED) & (self.customer[1:] == self.customer[:-1])
        return self.customer[crossed], self.since_day[crossed]


def draw_population(customers: int, difficulty: float, rng: np.random.Generator) -> Population:
    """Draw who arrives when and how each is inclined; the harder, the less activity tells of propensity."""
    viral = rng.random(customers) < SPIKE_SHARE
    arrived_by = np.where(viral, 1, rng.choice(len(ARRIVAL_CHANNELS), customers, p=ARRIVAL_SHARES))
    steady_day = OBSERVED_DAYS * rng.random(customers) ** 0.85
    arrived_day = np.where(viral, SPIKE_DAY + rng.exponential(0.3, customers), steady_day)
    inclination = rng.normal(size=customers)
    propensity = inclination + np.where(viral, SPIKE_PROPENSITY, np.array(ARRIVAL_PROPENSITY)[arrived_by])
    shared = 0.5 * (1.0 - difficulty)
    activity = 0.7 * (shared * inclination + np.sqrt(1.0 - shared**2) * rng.normal(size=customers))
    unsubscribed_day = arrived_day + rng.exponential(2400.0, customers) * np.exp(0.7 * propensity)
    starts = np.array([campaign.start_day for campaign in CAMPAIGNS])
    told = rng.random((customers, len(CAMPAIGNS))) < np.array([campaign.reach for campaign in CAMPAIGNS])
    known = (arrived_day[:, None] < starts) & (unsubscribed_day[:, None] > starts)
    arm = rng.integers(0, 2, customers)
    return Population(arrived_day, arrived_by, viral, propensity, activity, unsubscribed_day, told & known, arm)


def draw_journeys(people: Population, rng: np.random.Generator) -> Journeys:
    """Let every customer live from arrival to the end of the observed period."""
    walk = _Walk(people, rng)
    while walk.running.size:
        walk.step()
    return walk.journeys()


class _Walk:
    """All customers' jump processes, advanced together; rates are constant between the calendar's breaks."""

    def __init__(self, people: Population, rng: np.random.Generator) -> None:
        customers = len(people.arrived_day)
        self.people, self.rng = people, rng
        self.day = people.arrived_day.copy()
        considering = np.array(_CONSIDERING_AT_ARRIVAL)[people.viral.astype(np.int64)]
        self.state = np.where(rng.random(customers) < considering, CONSIDERING, AWARE)
        self.bought = np.zeros(customers, dtype=bool)
        self.enrolled = np.zeros(customers, dtype=bool)
        self.odds_a = np.full(customers, np.nan)
        self.planned_day = np.full(customers, np.inf)  # of the split test's purchase
        self.running = np.arange(customers)
        self.breaks = breaks()
        self.trail = [(self.running, self.day.copy(), self.state.copy())]

    def step(self) -> None:
        """Advance every customer to the next jump, break or planned purchase, whichever comes first."""
        self._enrol()
        running, day = self.running, self.day[self.running]
        rates = self._rates(running, day)
        jump_day = day + self.rng.exponential(size=running.size) / rates.sum(axis=1)
        target = _pick(rates, self.rng.random(running.size))
        break_day = self.breaks[np.searchsorted(self.breaks, day, side="right")]
        planned_day = self.planned_day[running]
        self.day[running] = np.minimum(np.minimum(jump_day, break_day), planned_day)
        by_plan = planned_day <= np.minimum(jump_day, break_day)
        moved = by_plan | (jump_day < break_day)
        self._move(running[moved], np.where(by_plan, CONVERTED, target)[moved])
        self.running = running[self.day[running] < OBSERVED_DAYS]

    def _move(self, customer: Ints, target: Ints) -> None:
        self.state[customer] = target
        converted = customer[target % DORMANT >= CONVERTED]
        self.bought[converted] = True
        self.planned_day[converted] = np.inf
        self.trail.append((customer, self.day[customer], target))

    def _enrol(self) -> None:
        """The split test decides alone who buys first while it runs, so that its effect on the odds is exact."""
        reachable = (self.day == SPLIT_TEST.start_day) & ~self.bought & ~self.enrolled
        customer = np.flatnonzero(reachable & (self.people.unsubscribed_day > SPLIT_TEST.start_day))
        logit_a = _SPLIT_LOGIT[self.state[customer]] + _SPLIT_SLOPE * self.people.propensity[customer]
        odds = np.exp(logit_a) * np.where(self.people.arm[customer] == 1, SPLIT_TEST.odds_ratio, 1.0)
        buys = customer[self.rng.random(customer.size) < odds / (1.0 + odds)]
        self.planned_day[buys] = SPLIT_TEST.start_day + SPLIT_TEST.days * self.rng.beta(1.0, 2.0, buys.size)
        self.enrolled[customer] = True
        self.odds_a[customer] = np.exp(logit_a)

    def _rates(self, customer: Ints, day: Floats) -> Floats:
        """Rates a day from each customer's state to every state, customers × states."""
        interest, purchase = rate_lifts(self.people.reached[customer], day)
        lifts = np.column_stack([interest, purchase, np.ones_like(interest), interest])
        in_test = self.enrolled[customer] & ~self.bought[customer] & (day < SPLIT_TEST.start_day + SPLIT_TEST.days)
        lifts[in_test, PURCHASE] = 0.0
        by_kind = lifts * np.exp(self.people.propensity[customer, None] * _SLOPES)
        state = self.state[customer]
        rates: Floats = _RATES[state] * np.take_along_axis(by_kind, _KINDS[state], axis=1)
        return rates

    def journeys(self) -> Journeys:
        customer, since_day, state = (np.concatenate(column) for column in zip(*self.trail, strict=True))
        order = np.lexsort((since_day, customer))
        customer, since_day, state = customer[order], since_day[order], state[order]
        until_day = np.full(len(since_day), float(OBSERVED_DAYS))
        same = customer[1:] == customer[:-1]
        until_day[:-1][same] = since_day[1:][same]
        return Journeys(customer, since_day, until_day, state, self.enrolled, self.odds_a)


def _rate_tables() -> tuple[Floats, Ints]:
    rates, kinds = np.zeros((STATES, STATES)), np.zeros((STATES, STATES), dtype=np.int64)
    for origin, target, kind, mean_days in _MOVES:
        rates[origin, target], kinds[origin, target] = 1.0 / mean_days, kind
    return rates, kinds


def _pick(weights: Floats, point: Floats) -> Ints:
    """One column for each row, drawn by weight with that row's point in [0, 1)."""
    upto = np.cumsum(weights, axis=1)
    column: Ints = (upto > point[:, None] * upto[:, -1:]).argmax(axis=1)
    return column


_RATES, _KINDS = _rate_tables()
