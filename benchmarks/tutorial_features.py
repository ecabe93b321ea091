"""What a tutorial measures of one customer's history with pandas: counts, sums and recency, by channel and action."""

from __future__ import annotations

import pandas as pd

CHANNELS = ("web", "email", "social", "chat", "store", "phone", "ads")
ACTIONS = ("viewed", "clicked", "opened", "asked", "visited", "posted", "purchased", "compared")
WINDOWS_DAYS = (7, 30, 90)


def tutorial_features(history: pd.DataFrame) -> list[float]:
    """Of one customer's touchpoints, with their `age_days`."""
    features: list[float] = []
    for column, names in (("channel", CHANNELS), ("action", ACTIONS)):
        for name in names:
            of_name = history[history[column] == name]
            features += [float((of_name["age_days"] <= days).sum()) for days in WINDOWS_DAYS]
            features += [float(len(of_name)), float(of_name["value"].fillna(0).sum())]
            features += [float(of_name["age_days"].min()) if len(of_name) else -1.0]
    return features
