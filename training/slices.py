"""Rows by what harm could hide in: the customer's main channel, tenure and language at as_of."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from features.event_log import DAY_US, Bools, EventLog
from training.labels import LabelledRows

TENURE_DAYS: Final = (30, 180)
NONE: Final = -1
LEAST_CHARACTERS: Final = 40  # of own messages: a guess from a few words would be wrong too often to block a model by
MOST_CHARACTERS: Final = 1_000  # the latest; more make no guess better
SURE: Final = 0.9
UNKNOWN_LANGUAGE: Final = "und"  # the code of ISO 639 for what is not determined


def slices_of(log: EventLog, rows: LabelledRows) -> dict[str, Bools]:
    """The rows of each main channel (of most touchpoints known at as_of, ties by name), span of tenure and language.

    Tenure counts from the first touchpoint known. The language (ISO 639) is that of the customer's own messages known
    at as_of; rows where they are short, or it is in doubt, are in no language's slice. Source: Lui and Baldwin,
    "langid.py: an off-the-shelf language identification tool" (2012).
    """
    past = log.histories(rows.customer, rows.as_of_us)
    channel, tenure_us = _channel_and_tenure(past, rows)
    slices = {f"channel {name}": channel == code for code, name in enumerate(log.channels)}
    first, second = TENURE_DAYS
    known, days = tenure_us >= 0, tenure_us / DAY_US
    slices[f"customers of up to {first} days"] = known & (days <= first)
    slices[f"customers of {first} to {second} days"] = known & (days > first) & (days <= second)
    slices[f"customers of more than {second} days"] = known & (days > second)
    language = np.array([language_of(said) for said in _said(past)])
    of_languages = sorted(set(language.tolist()) - {UNKNOWN_LANGUAGE})
    slices |= {f"language {code}": language == code for code in of_languages}
    return {name: inside for name, inside in slices.items() if inside.any()}


@lru_cache(maxsize=10_000)  # most customers have said nothing new since their last row
def language_of(text: str) -> str:
    """The language of a text by its ISO 639 code; `und` where it is in doubt."""
    if len(text) < LEAST_CHARACTERS:
        return UNKNOWN_LANGUAGE
    code, chance = _identifier().classify(text)
    return str(code) if chance >= SURE else UNKNOWN_LANGUAGE


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _channel_and_tenure(past: EventLog, rows: LabelledRows) -> tuple[np.ndarray, np.ndarray]:
    channel, tenure_us = np.full(len(rows), NONE), np.full(len(rows), NONE, dtype=np.int64)
    for row in range(len(rows)):
        known = slice(past.offsets[row], past.offsets[row + 1])
        if len(past.channel[known]):
            channel[row] = np.bincount(past.channel[known]).argmax()
            tenure_us[row] = rows.as_of_us[row] - past.occurred_us[known].min()
    return channel, tenure_us


def _said(past: EventLog) -> list[str]:
    """The latest of what each customer has written, one text a row."""
    own = np.where(past.is_company, NONE, past.text)
    of_rows = [own[start:stop] for start, stop in zip(past.offsets[:-1], past.offsets[1:], strict=True)]
    return [" ".join(past.texts[text] for text in texts[texts >= 0])[-MOST_CHARACTERS:] for texts in of_rows]
