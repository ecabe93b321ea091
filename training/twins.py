"""Customers who are one person under two ids: no split by person keeps them apart."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from features.event_log import NEVER, Bools, EventLog, Int64s

LEAST_SHARED: Final = 3  # own touchpoints, at as many moments, that hardly anybody else has
LEAST_SHARE: Final = 0.8  # of the shorter history
MOST_HOLDERS: Final = 4  # what more customers have in common is no sign of one person: a campaign, a rounded time


def twin_pairs(log: EventLog, customers: Int64s) -> Int64s:
    """Pairs of these customers whose histories are the same but for a few touchpoints. Shape (pairs, 2), rising.

    Touchpoints are the same where moment, channel, action, campaign, value and text are. Only what the customer did
    counts, and only what at most four customers have in common: so short histories, which are equal by nature, and
    coarse times, at which many did the same, make no twins. Twins share three such touchpoints at three moments or
    more, and they are 80 % of all that the one with the shorter history has done.
    """
    chosen = np.zeros(len(log.customer_ids), dtype=np.bool_)
    chosen[customers[customers >= 0]] = True
    own = _own_touchpoints(log, chosen)
    held = own.group_by("key").len().filter(pl.col("len").is_between(2, MOST_HOLDERS))
    rare = own.join(held, on="key", how="semi")
    shared = rare.join(rare, on="key", suffix="_other").filter(pl.col("customer") < pl.col("customer_other"))
    pairs = shared.group_by("customer", "customer_other").agg(
        keys=pl.col("key").n_unique(), moments=pl.col("occurred_us").n_unique()
    )
    length = own.group_by("customer").agg(length=pl.col("key").n_unique())
    pairs = pairs.join(length, on="customer").join(
        length.rename({"customer": "customer_other", "length": "length_other"}), on="customer_other"
    )
    alike = pl.col("keys") >= LEAST_SHARE * pl.min_horizontal("length", "length_other")
    enough = (pl.col("keys") >= LEAST_SHARED) & (pl.col("moments") >= LEAST_SHARED)
    twins = pairs.filter(alike & enough).select("customer", "customer_other").sort(pl.all())
    return twins.to_numpy().astype(np.int64).reshape(-1, 2)


def _own_touchpoints(log: EventLog, chosen: Bools) -> pl.DataFrame:
    """Each distinct own touchpoint of the chosen customers, with a number for its content."""
    customer = np.repeat(np.arange(len(log.customer_ids), dtype=np.int64), np.diff(log.offsets))
    own = np.flatnonzero(chosen[customer] & ~log.is_company)
    texts = pl.Series("text", log.texts, dtype=pl.String)
    said = np.append(texts.cast(pl.Categorical).to_physical().to_numpy().astype(np.int64), NEVER)
    columns = {name: getattr(log, name)[own] for name in ("occurred_us", "channel", "action", "campaign")}
    content = [*columns, "value", "text"]
    frame = pl.DataFrame({"customer": customer[own], **columns, "value": log.value[own], "text": said[log.text[own]]})
    keys = frame.select(content).unique().with_row_index("key")
    return frame.unique().join(keys, on=content, nulls_equal=True).select("customer", "occurred_us", "key")
