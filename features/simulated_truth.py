"""The truth behind simulated touchpoints: each customer's latent stage, and the effects that were put in."""

from __future__ import annotations

import polars as pl

from features.simulated_calendar import (
    BEGINS,
    CAMPAIGNS,
    NEWSLETTER,
    OBSERVED_DAYS,
    RETARGETING,
    SPIKE_DAY,
    SPLIT_TEST,
    Campaign,
    clock,
    moment,
)
from features.simulated_journeys import (
    ARRIVAL_CHANNELS,
    ARRIVAL_PROPENSITY,
    DORMANT,
    STAGES,
    Floats,
    Journeys,
    Population,
)


def latent_stages(people: Population, journeys: Journeys) -> pl.DataFrame:
    """One row whenever the latent state changed, by customer and time."""
    who = journeys.customer
    return pl.DataFrame(
        {
            "customer": who,
            "since": clock(pl.Series(journeys.since_day)),
            "stage": pl.Series(STAGES).gather(journeys.state % DORMANT),
            "dormant": journeys.state >= DORMANT,
            "propensity": people.propensity[who],
            "activity": people.activity[who],
            "arrived_by": pl.Series(ARRIVAL_CHANNELS).gather(people.arrived_by[who]),
            "viral": people.viral[who],
        }
    )


def known_facts(people: Population, journeys: Journeys) -> dict[str, object]:
    """The observed period, the spike, and the true effect of everything the company did; ready for JSON."""
    return {
        "observed_from": BEGINS.isoformat(),
        "observed_until": moment(OBSERVED_DAYS).isoformat(),
        "spike": {
            "date": moment(SPIKE_DAY).date().isoformat(),
            "channel": "social",
            "customers": int(people.viral.sum()),
        },
        "split_test": _split_test_facts(people, journeys),
        "campaigns": [_campaign_facts(campaign) for campaign in CAMPAIGNS],
        "campaigns_without_effect": [NEWSLETTER, RETARGETING],
        "arrival_propensity": dict(zip(ARRIVAL_CHANNELS, ARRIVAL_PROPENSITY, strict=True)),
    }


def _split_test_facts(people: Population, journeys: Journeys) -> dict[str, object]:
    """The effect is exact on each participant's odds; on the share of all of them it is a little weaker."""
    test, odds_a = SPLIT_TEST, journeys.odds_a[journeys.enrolled]
    odds_b = odds_a * test.odds_ratio
    arms = people.arm[journeys.enrolled]
    return {
        "campaign": test.name,
        "arms": list(test.arms),
        "participants": [int((arms == arm).sum()) for arm in (0, 1)],
        "starts": moment(test.start_day).date().isoformat(),
        "days": test.days,
        "outcome": "first purchase within these days",
        "odds_ratio": test.odds_ratio,
        "expected_shares": [_mean(odds / (1.0 + odds)) for odds in (odds_a, odds_b)],
    }


def _mean(shares: Floats) -> float | None:
    return round(float(shares.mean()), 6) if shares.size else None


def _campaign_facts(campaign: Campaign) -> dict[str, object]:
    return {
        "campaign": campaign.name,
        "channel": campaign.channel,
        "starts": moment(campaign.start_day).date().isoformat(),
        "days": campaign.days,
        "reach": campaign.reach,
        "interest_rate_ratio": campaign.interest_lift,
        "purchase_rate_ratio": campaign.purchase_lift,
    }
