"""What the simulated customers and the company leave behind: touchpoints drawn from the latent journeys.

Each function makes one kind of touchpoints as a frame with some of the columns customer, day, channel, action,
campaign, variant, value, conversation and state; `day` counts from the simulation's beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from features.simulated_calendar import CAMPAIGNS, NEWSLETTER, OBSERVED_DAYS, RETARGETING, SPLIT_TEST
from features.simulated_journeys import ARRIVAL_CHANNELS, Floats, Ints, Journeys, Population

MINUTE_DAYS: Final = 1.0 / 1440.0
NEWSLETTER_EVERY_DAYS: Final = 42.0
ANSWERED_SHARE: Final = 0.85
PLAN_PRICES: Final = (29.0, 49.0, 79.0)

# a week, for an average customer; by stage while active, then the factor while dormant
_RATES_WEEKLY: Final = {
    "visited": ((0.38, 0.52, 0.36, 0.40), 0.07),
    "posted": ((0.030, 0.040, 0.050, 0.120), 0.10),
    "asked": ((0.015, 0.120, 0.050, 0.030), 0.05),
    "chatted": ((0.012, 0.045, 0.040, 0.020), 0.05),
    "complained": ((0.004, 0.008, 0.030, 0.008), 0.10),
    "reviewed": ((0.0, 0.0, 0.025, 0.100), 0.05),
    "referred": ((0.0, 0.0, 0.010, 0.080), 0.05),
    "purchase": ((0.0, 0.0, 0.020, 0.030), 0.05),
    "shown": ((0.20, 0.32, 0.20, 0.16), 0.70),
    "called": ((0.006, 0.016, 0.008, 0.006), 0.50),
}
_PRODUCTS_A_VISIT: Final = (0.20, 1.2, 0.35, 0.35)
_RECIPES_A_VISIT: Final = (0.8, 0.22, 0.5, 0.7)
_PRICING_A_VISIT: Final = (0.04, 0.45, 0.06, 0.04)
_OPENS_A_MAIL: Final = (0.22, 0.60, 0.42, 0.55)
_CLICKS_AN_OPENING: Final = (0.06, 0.36, 0.14, 0.20)
_CLICKS_AN_AD: Final = (0.02, 0.05, 0.02, 0.02)

_CHANNELS: Final = {
    "visited": (("web", "store"), (0.88, 0.12)),
    "posted": (("social",), (1.0,)),
    "asked": (("email", "phone", "store"), (0.60, 0.25, 0.15)),
    "chatted": (("chat",), (1.0,)),
    "complained": (("email", "phone", "social"), (0.50, 0.30, 0.20)),
    "reviewed": (("web", "social"), (0.70, 0.30)),
    "referred": (("web",), (1.0,)),
    "purchase": (("web", "store", "phone"), (0.75, 0.20, 0.05)),
    "shown": (("ads",), (1.0,)),
    "called": (("phone",), (1.0,)),
}


@dataclass(frozen=True)
class _World:
    people: Population
    journeys: Journeys
    contrast: float  # exponent on how far the stages' rates lie apart
    keenness: float  # log-rate of looking closer, for one unit of propensity
    rng: np.random.Generator

    def by_state(self, by_stage: tuple[float, ...], asleep: float) -> Floats:
        """A rate for each state; the geometric mean over the stages stays whatever the contrast."""
        rates = np.array(by_stage)
        mean = np.exp(np.log(rates[rates > 0]).mean())
        awake = np.where(rates > 0, mean * (np.maximum(rates, 1e-9) / mean) ** self.contrast, 0.0)
        return np.concatenate([awake, awake * asleep])


def draw_touchpoints(
    people: Population, journeys: Journeys, difficulty: float, rng: np.random.Generator
) -> pl.DataFrame:
    """All touchpoints of the observed period, in no particular order, with the columns named above."""
    world = _World(people, journeys, contrast=1.65 - 0.9 * difficulty, keenness=1.1 - difficulty, rng=rng)
    batches = [
        _arrivals(world),
        *_visits(world),
        *_mailings(world),
        *_ads(world),
        _videos(world),
        *_purchases(world),
        *_conversations(world),
        *(_moments(world, action) for action in ("posted", "asked", "reviewed", "referred", "called")),
        _unsubscriptions(world),
    ]
    return pl.concat(batches, how="diagonal").filter(pl.col("day") < OBSERVED_DAYS)


def _frame(world: _World, action: str, customer: Ints, day: Floats, channel: str | None = None) -> pl.DataFrame:
    named = channel if channel is not None else _pick_channels(world, action, len(customer))
    frame = pl.DataFrame({"customer": customer, "day": day, "state": world.journeys.state_at(customer, day)})
    return frame.with_columns(pl.lit(action).alias("action"), pl.lit(named).alias("channel"))


def _pick_channels(world: _World, action: str, rows: int) -> pl.Series:
    channels, shares = _CHANNELS[action]
    return pl.Series(channels, dtype=pl.String).gather(world.rng.choice(len(channels), rows, p=shares))


def _moments(world: _World, action: str) -> pl.DataFrame:
    """An action that happens at a rate set by the state and the customer's own activity."""
    sojourn, rng = world.journeys, world.rng
    rate_daily = world.by_state(*_RATES_WEEKLY[action])[sojourn.state] / 7.0
    lasted_days = sojourn.until_day - sojourn.since_day
    times = rng.poisson(rate_daily * lasted_days * np.exp(world.people.activity[sojourn.customer]))
    which = np.repeat(np.arange(len(times)), times)
    day = sojourn.since_day[which] + rng.random(len(which)) * lasted_days[which]
    return _frame(world, action, sojourn.customer[which], day)


def _arrivals(world: _World) -> pl.DataFrame:
    people = world.people
    channel = pl.Series(ARRIVAL_CHANNELS).gather(people.arrived_by)
    frame = _frame(world, "visited", np.arange(len(people.arrived_day)), people.arrived_day, "web")
    clicked = pl.col("channel").is_in(["social", "ads"])
    arrived = frame.with_columns(channel.alias("channel"))
    return arrived.with_columns(pl.when(clicked).then(pl.lit("clicked")).otherwise("action").alias("action"))


def _visits(world: _World) -> list[pl.DataFrame]:
    """Visits, and on the web the recipes, products and prices looked at within minutes of them."""
    visits, rng = _moments(world, "visited"), world.rng
    on_web = visits.filter(pl.col("channel") == "web")
    pages = []
    for action, views in (("viewed_recipe", _RECIPES_A_VISIT), ("viewed_product", _PRODUCTS_A_VISIT)):
        times = rng.poisson(_closeness(world, views, on_web))
        pages.append(_follow(world, on_web, action, np.repeat(np.arange(len(times)), times), 15 * MINUTE_DAYS))
    priced = _follow(world, on_web, "viewed_pricing", _happens(world, _PRICING_A_VISIT, on_web), 20 * MINUTE_DAYS)
    prices = pl.Series("value", PLAN_PRICES).gather(rng.integers(0, len(PLAN_PRICES), priced.height))
    return [visits, *pages, priced.with_columns(prices)]


def _closeness(world: _World, by_stage: tuple[float, ...], rows: pl.DataFrame, asleep: float = 1.0) -> Floats:
    """How much each row leads to a further look: set by the state, and by the propensity as far as that shows."""
    keen = np.exp(world.keenness * world.people.propensity[rows["customer"].to_numpy()])
    closeness: Floats = world.by_state(by_stage, asleep)[rows["state"].to_numpy()] * keen
    return closeness


def _happens(world: _World, chance: tuple[float, ...], rows: pl.DataFrame, asleep: float = 1.0) -> Ints:
    """The rows that the customer follows up."""
    return np.flatnonzero(world.rng.random(rows.height) < _closeness(world, chance, rows, asleep))


def _follow(world: _World, rows: pl.DataFrame, action: str, which: Ints, mean_days: float) -> pl.DataFrame:
    """The chosen rows again as a later act of the customer."""
    delays = pl.Series(world.rng.exponential(mean_days, len(which)))
    return rows[which].with_columns(pl.lit(action).alias("action"), pl.col("day") + delays)


def _mailings(world: _World) -> list[pl.DataFrame]:
    """What was sent by email, and what was opened and clicked; opening depends on the state when it was sent."""
    sent = pl.concat([_sent(world, *mailing) for mailing in _mailing_list(world)], how="diagonal")
    opened = _follow(world, sent, "opened", _happens(world, _OPENS_A_MAIL, sent, 0.25), 0.4)
    clicked = _follow(world, opened, "clicked", _happens(world, _CLICKS_AN_OPENING, opened, 0.5), 2 * MINUTE_DAYS)
    return [sent, opened, clicked]


def _mailing_list(world: _World) -> list[tuple[str, float, Ints]]:
    """Campaign, day and recipients of each mailing."""
    people = world.people
    mailings = [(SPLIT_TEST.name, SPLIT_TEST.start_day, np.flatnonzero(world.journeys.enrolled))]
    for number, campaign in enumerate(CAMPAIGNS):
        if campaign.channel == "email":
            mailings.append((campaign.name, campaign.start_day, np.flatnonzero(people.reached[:, number])))
    for day in np.arange(20.4, OBSERVED_DAYS, NEWSLETTER_EVERY_DAYS):
        subscribed = (people.arrived_day < day) & (people.unsubscribed_day > day)
        mailings.append((NEWSLETTER, float(day), np.flatnonzero(subscribed)))
    return mailings


def _sent(world: _World, campaign: str, day: float, recipients: Ints) -> pl.DataFrame:
    days = day + 20 * MINUTE_DAYS * world.rng.random(len(recipients))
    frame = _frame(world, "sent", recipients, days, "email").with_columns(pl.lit(campaign).alias("campaign"))
    if campaign != SPLIT_TEST.name:
        return frame
    return frame.with_columns(pl.Series("variant", SPLIT_TEST.arms).gather(world.people.arm[recipients]))


def _ads(world: _World) -> list[pl.DataFrame]:
    shown = _moments(world, "shown").with_columns(pl.lit(RETARGETING).alias("campaign"))
    return [shown, _follow(world, shown, "clicked", _happens(world, _CLICKS_AN_AD, shown, 0.3), MINUTE_DAYS)]


def _videos(world: _World) -> pl.DataFrame:
    """The campaign on social media: shown once to each customer reached, within its first half."""
    number = next(i for i, campaign in enumerate(CAMPAIGNS) if campaign.channel == "social")
    campaign, reached = CAMPAIGNS[number], np.flatnonzero(world.people.reached[:, number])
    day = campaign.start_day + world.rng.random(len(reached)) * campaign.days / 2
    return _frame(world, "shown", reached, day, "social").with_columns(pl.lit(campaign.name).alias("campaign"))


def _purchases(world: _World) -> list[pl.DataFrame]:
    """The purchase that is the crossing itself, and further ones afterwards."""
    crossings = _frame(world, "purchase", *world.journeys.purchases())
    batches = [crossings, _moments(world, "purchase")]
    return [
        batch.with_columns(pl.Series("value", np.round(world.rng.lognormal(4.0, 0.5, batch.height), 2)))
        for batch in batches
    ]


def _conversations(world: _World) -> list[pl.DataFrame]:
    """Chats of several messages and complaints of one, each thread numbered, most messages answered by the company."""
    rng = world.rng
    threads = pl.concat([_moments(world, "chatted"), _moments(world, "complained")]).with_row_index("conversation")
    is_chat = (threads["action"] == "chatted").to_numpy()
    turns = np.where(is_chat, 1 + rng.poisson(1.2, threads.height), 1)
    thread = np.repeat(np.arange(threads.height), turns)
    turn = np.arange(len(thread)) - np.repeat(np.cumsum(turns) - turns, turns)
    messages = threads[thread].with_columns(pl.col("day") + pl.Series(turn * 5.0 * MINUTE_DAYS))
    answered = np.flatnonzero(rng.random(len(thread)) < ANSWERED_SHARE)
    waits = np.where(is_chat[thread[answered]], 4.0 * MINUTE_DAYS, 1.0) * rng.random(len(answered))
    replies = messages[answered].with_columns(pl.lit("replied").alias("action"), pl.col("day") + pl.Series(waits))
    return [messages, replies]


def _unsubscriptions(world: _World) -> pl.DataFrame:
    day = world.people.unsubscribed_day
    leavers = np.flatnonzero(day < OBSERVED_DAYS)
    return _frame(world, "unsubscribed", leavers, day[leavers], "email")
