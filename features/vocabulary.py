"""Which kinds of touchpoints are told apart: learned from the training log, applied to any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from features.event_log import Bools, EventLog, Int32s

OTHER = "(other)"  # rare in training, or unheard of
RARE_SHARE = 0.005  # of the customers: a value seen with fewer is pooled
RARE_CUSTOMERS = 10
MOST_OF_A_FAMILY = 40

Family = Literal["any", "actor", "channel", "action", "channel and action", "campaign", "message"]


@dataclass(frozen=True)
class Kind:
    """A set of touchpoints that is counted on its own: those whose `family` is `name`."""

    family: Family
    name: str


@dataclass(frozen=True)
class Vocabulary:
    """The kinds in the order of their feature columns, and every channel and action that training has seen."""

    kinds: tuple[Kind, ...]
    known_channels: frozenset[str]
    known_actions: frozenset[str]

    def kinds_of(self, log: EventLog) -> Int32s:
        """Kinds that each touchpoint belongs to, -1 where it belongs to none. Shape (touchpoints, families)."""
        codes = {(kind.family, kind.name): code for code, kind in enumerate(self.kinds)}

        def lookup(family: Family, names: Iterable[str]) -> Int32s:
            other = codes.get((family, OTHER), -1)
            # The last entry answers code -1, so that a null falls into no kind.
            return np.array([codes.get((family, name), other) for name in names] + [-1], dtype=np.int32)

        # Only the pairs that occur: of all there might be as many as a hostile caller likes.
        pairs, pair = np.unique(pair_codes(log), return_inverse=True)
        pair_names = (pair_name(log, code) for code in pairs)
        actor = lookup("actor", ("customer", "company"))[log.is_company.astype(np.int32)]
        message = lookup("message", ("customer", "company"))[log.is_company.astype(np.int32)]
        return np.stack(
            [
                np.full(len(log), codes[("any", "touchpoint")], dtype=np.int32),
                actor,
                lookup("channel", log.channels)[log.channel],
                lookup("action", log.actions)[log.action],
                lookup("channel and action", pair_names)[pair],
                lookup("campaign", log.campaigns)[log.campaign],
                np.where(log.text >= 0, message, -1).astype(np.int32),
            ],
            axis=1,
        )

    def unheard_of(self, log: EventLog) -> Bools:
        """Touchpoints whose channel or action training has never seen. Shape (touchpoints,)."""
        channels = np.array([name not in self.known_channels for name in log.channels], dtype=np.bool_)
        actions = np.array([name not in self.known_actions for name in log.actions], dtype=np.bool_)
        return channels[log.channel] | actions[log.action] if len(log) else np.zeros(0, dtype=np.bool_)


def pair_codes(log: EventLog) -> npt.NDArray[np.int64]:
    """One code for each pair of a channel and an action. Shape (touchpoints,)."""
    return log.channel.astype(np.int64) * len(log.actions) + log.action


def pair_name(log: EventLog, code: int) -> str:
    """How the pair is written in feature names."""
    channel, action = divmod(int(code), len(log.actions))
    return f"{log.channels[channel]} / {log.actions[action]}"


def learn_vocabulary(log: EventLog, usable: Bools) -> Vocabulary:
    """Learn the kinds from the touchpoints marked `usable`: those that some training row may know.

    A value that fewer than 0.5 % of the customers (at least 10) have shown is pooled into "(other)".
    """
    customer = np.repeat(np.arange(len(log.customer_ids)), np.diff(log.offsets))
    seen = _Seen(customer[usable], max(RARE_CUSTOMERS, int(RARE_SHARE * len(np.unique(customer[usable])))))
    channels = seen.frequent(log.channel[usable], log.channels.__getitem__)
    actions = seen.frequent(log.action[usable], log.actions.__getitem__)
    pairs = seen.frequent(pair_codes(log)[usable], lambda code: pair_name(log, code))
    campaigns = seen.frequent(log.campaign[usable], log.campaigns.__getitem__)
    said = usable & (log.text >= 0)
    return Vocabulary(
        kinds=(
            Kind("any", "touchpoint"),
            *_kinds("actor", ["customer", "company"]),
            *_kinds("channel", [*channels, OTHER]),
            *_kinds("action", [*actions, OTHER]),
            # A pair says something of its own only where an action comes by several channels.
            *_kinds("channel and action", pairs if len(pairs) > max(len(channels), len(actions)) else []),
            *_kinds("campaign", [*campaigns, OTHER] if campaigns else []),
            *_kinds("message", ["customer", "company"] if said.any() else []),
        ),
        known_channels=frozenset(_names(log.channel[usable], log.channels)),
        known_actions=frozenset(_names(log.action[usable], log.actions)),
    )


@dataclass(frozen=True)
class _Seen:
    customer: npt.NDArray[np.int64]
    least_customers: int

    def frequent(self, codes: npt.NDArray[np.integer[Any]], name: Callable[[int], str]) -> list[str]:
        """Names that at least `least_customers` customers have shown, the most widespread first, then sorted."""
        shown = np.unique(np.stack([codes, self.customer])[:, codes >= 0], axis=1)[0]
        values, customers = np.unique(shown, return_counts=True)
        widespread = np.lexsort((values, -customers))[:MOST_OF_A_FAMILY]
        return sorted(name(int(values[i])) for i in widespread if customers[i] >= self.least_customers)


def _kinds(family: Family, names: Iterable[str]) -> tuple[Kind, ...]:
    # A channel may itself be called "(other)", and two pairs may be written alike: a name stands for one kind.
    return tuple(Kind(family, name) for name in dict.fromkeys(names))


def _names(codes: Int32s, names: list[str]) -> list[str]:
    return [names[code] for code in np.unique(codes) if code >= 0]
