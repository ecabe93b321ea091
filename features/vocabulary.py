"""Which kinds of touchpoints are told apart: learned from the training log, applied to any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from features.event_log import Bools, EventLog, Floats, Int32s, Int64s
from features.journey import Spans
from features.stage_records import CHANNEL, stage_action, stage_records

OTHER = "(other)"  # rare in training, or unheard of
RARE_SHARE = 0.005  # of the customers: a value seen with fewer is pooled
RARE_CUSTOMERS = 10
MOST_OF_A_FAMILY = 40
MOST_TRANSITIONS = 12
LEAST_LASTING = 0.5  # of the time in which there are campaigns: a shorter one is pooled
DEFAULT_SPANS = Spans()
PAIR_CUT = " / "

Family = Literal["any", "actor", "channel", "action", "channel and action", "campaign", "message"]
FAMILIES: tuple[Family, ...] = get_args(Family)
NO_KIND = -1
NO_CHANNEL = -2  # of a log without records of stages: no code

Int8s = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Kind:
    """A set of touchpoints that is counted on its own: those whose `family` is `name`."""

    family: Family
    name: str


class KindCodes(NamedTuple):
    """What the codes of one log stand for in a vocabulary: kinds and places, -1 for none.

    `channel[code]` is the kind of a channel, and so on; the last entry of each answers -1, the code of a null. `actor`
    is asked by `is_company`, `message` by that + 2 where there is text, `pair` by `pair_row[channel]` and action.
    `place[action]` counts from 0 to `places - 1` in the usual order of the actions. `transition` is asked by the kinds
    of two consecutive actions. A row of channel `crm` whose action has a `stage` records that stage of the journey.
    """

    any: int
    actor: Int32s
    channel: Int32s
    action: Int32s
    pair_row: Int32s
    pair: Int32s
    campaign: Int32s
    message: Int32s
    unheard_channel: Bools
    unheard_action: Bools
    place: Int32s
    places: int
    channel_kinds: Int32s
    action_kinds: Int32s
    transition: Int8s
    crm: int
    stage: Int32s


@dataclass(frozen=True)
class Vocabulary:
    """The kinds in the order of their feature columns, and every channel and action that training has seen.

    The actions stand in the order in which they usually occur first. `transitions` are the commonest steps from one
    kind of action to another. `stages_recorded`: training knew stages of the journey that a CRM had recorded.
    """

    kinds: tuple[Kind, ...]
    known_channels: frozenset[str]
    known_actions: frozenset[str]
    transitions: tuple[tuple[str, str], ...] = ()
    stages: tuple[str, ...] = ()
    stages_recorded: bool = False
    spans: Spans = DEFAULT_SPANS

    def codes(self, log: EventLog) -> KindCodes:
        """What this log's codes stand for."""
        asked, known = log.codes_in.get(id(self), (None, None))
        if asked is not self:
            known = self._worked_out(log)
            log.codes_in[id(self)] = (self, known)
        assert isinstance(known, KindCodes)
        return known

    def _worked_out(self, log: EventLog) -> KindCodes:
        # Only channels that pairs are told apart by: of all pairs there may be as many as a hostile caller likes.
        paired = [channel for channel in log.channels if channel in self._pairs]
        row = {channel: i + 1 for i, channel in enumerate(paired)}
        pairs = [{}, *(self._pairs[channel] for channel in paired)]
        return KindCodes(
            any=self._codes["any"]["touchpoint"],
            actor=self._kinds("actor", ("customer", "company")),
            channel=self._kinds("channel", log.channels),
            action=self._kinds("action", log.actions),
            pair_row=np.array([row.get(channel, 0) for channel in log.channels], dtype=np.int32),
            pair=np.array([[of.get(name, NO_KIND) for name in log.actions] for of in pairs], dtype=np.int32),
            campaign=self._kinds("campaign", log.campaigns),
            message=np.append([NO_KIND, NO_KIND], self._kinds("message", ("customer", "company"))),
            unheard_channel=np.array([name not in self.known_channels for name in log.channels], dtype=np.bool_),
            unheard_action=np.array([name not in self.known_actions for name in log.actions], dtype=np.bool_),
            place=np.array([self._places.get(name, NO_KIND) for name in log.actions], dtype=np.int32),
            places=len(self._places),
            channel_kinds=self._of_family("channel"),
            action_kinds=self._of_family("action"),
            transition=self._transition,
            crm=log.channels.index(CHANNEL) if CHANNEL in log.channels else NO_CHANNEL,
            stage=np.array([self._stages.get(name, NO_KIND) for name in log.actions], dtype=np.int32),
        )

    def _kinds(self, family: Family, names: Iterable[str]) -> Int32s:
        codes = self._codes[family]
        other = codes.get(OTHER, NO_KIND)
        return np.array([*(codes.get(name, other) for name in names), NO_KIND], dtype=np.int32)

    def _of_family(self, family: Family) -> Int32s:
        return np.array(list(self._codes[family].values()), dtype=np.int32)

    @cached_property
    def _codes(self) -> dict[Family, dict[str, int]]:
        codes: dict[Family, dict[str, int]] = {family: {} for family in FAMILIES}
        for code, kind in enumerate(self.kinds):
            codes[kind.family][kind.name] = code
        return codes

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(name for name in self._codes["action"] if name != OTHER)}

    @cached_property
    def _stages(self) -> dict[str, int]:
        return {stage_action(name): i for i, name in enumerate(self.stages)}

    @cached_property
    def _transition(self) -> Int8s:
        """Which transition leads from one kind to another, -1 for none; the last row and column answer for no kind."""
        of_kinds = np.full((len(self.kinds) + 1,) * 2, NO_KIND, dtype=np.int8)
        for i, (before, after) in enumerate(self.transitions):
            of_kinds[self._codes["action"][before], self._codes["action"][after]] = i
        return of_kinds

    @cached_property
    def _pairs(self) -> dict[str, dict[str, int]]:
        """Kinds of pairs by channel and action: wherever a name may be cut, for either may itself hold the cut."""
        pairs: dict[str, dict[str, int]] = {}
        for name, code in self._codes["channel and action"].items():
            parts = name.split(PAIR_CUT)
            for cut in range(1, len(parts)):
                pairs.setdefault(PAIR_CUT.join(parts[:cut]), {})[PAIR_CUT.join(parts[cut:])] = code
        return pairs


def pair_codes(log: EventLog) -> npt.NDArray[np.int64]:
    """One code for each pair of a channel and an action. Shape (touchpoints,)."""
    return log.channel.astype(np.int64) * len(log.actions) + log.action


def pair_name(log: EventLog, code: int) -> str:
    """How the pair is written in feature names."""
    channel, action = divmod(int(code), len(log.actions))
    return f"{log.channels[channel]}{PAIR_CUT}{log.actions[action]}"


def transition_name(before: str, after: str) -> str:
    """How the transition is written in feature names."""
    return f"{before} to {after}"


def learn_vocabulary(
    log: EventLog, usable: Bools, stages: tuple[str, ...] = (), spans: Spans = DEFAULT_SPANS
) -> Vocabulary:
    """Learn the kinds from the touchpoints marked `usable`: those that some training row may know.

    A value that fewer than 0.5 % of the customers (at least 10) have shown is pooled into "(other)", and so is a
    campaign that lasts less than half of the time in which there are campaigns. The actions stand
    in the order in which they usually occur first: by how many of a customer's other actions came before rather than
    after the first of each, on average (Borda 1784), and then by name. The transitions are at most 12, those that most
    customers have shown. What a CRM recorded of the journey's `stages` is no touchpoint.
    """
    customer = np.repeat(np.arange(len(log.customer_ids)), np.diff(log.offsets))
    records = stage_records(log, stages)
    stages_recorded = bool((records & usable).any())
    usable = usable & ~records
    seen = _Seen(customer[usable], max(RARE_CUSTOMERS, int(RARE_SHARE * len(np.unique(customer[usable])))))
    channels = seen.frequent(log.channel[usable], log.channels.__getitem__)
    usual_place = dict(zip(log.actions, seen.mean_places(log.action[usable], len(log.actions)), strict=True))
    actions = sorted(
        seen.frequent(log.action[usable], log.actions.__getitem__), key=lambda name: (usual_place[name], name)
    )
    pairs = seen.frequent(pair_codes(log)[usable], lambda code: pair_name(log, code))
    campaigns = seen.frequent(_lasting(log.campaign[usable], log.occurred_us[usable]), log.campaigns.__getitem__)
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
        transitions=_transitions(seen, log.action[usable], log.actions, [*actions, OTHER]),
        stages=stages,
        stages_recorded=stages_recorded,
        spans=spans,
    )


@dataclass(frozen=True)
class _Seen:
    customer: npt.NDArray[np.int64]
    least_customers: int

    def frequent(self, codes: npt.NDArray[np.integer[Any]], name: Callable[[int], str]) -> list[str]:
        """Names of the most widespread codes, sorted."""
        return sorted(name(code) for code in self.widespread(codes, MOST_OF_A_FAMILY))

    def widespread(self, codes: npt.NDArray[np.integer[Any]], most: int) -> list[int]:
        """The codes that most customers have shown, and at least `least_customers`; -1 is none."""
        shown = np.unique(np.stack([codes, self.customer])[:, codes >= 0], axis=1)[0]
        values, customers = np.unique(shown, return_counts=True)
        first = np.lexsort((values, -customers))[:most]
        return [int(values[i]) for i in first if customers[i] >= self.least_customers]

    def mean_places(self, codes: Int32s, n_codes: int) -> Floats:
        """For each code, how many of a customer's other codes came before minus after its first, on average."""
        shown, first = np.unique(self.customer * n_codes + codes, return_index=True)
        by_time = shown[np.argsort(first)]  # the log is sorted by customer, then time
        customer, code = np.divmod(by_time, n_codes) if n_codes else (by_time, by_time)
        _, start, shown_by = np.unique(customer, return_index=True, return_counts=True)
        before = np.arange(len(code)) - np.repeat(start, shown_by)
        after = np.repeat(shown_by, shown_by) - 1 - before
        sums, customers = np.bincount(code, before - after, n_codes), np.bincount(code, minlength=n_codes)
        return sums / np.maximum(customers, 1)


def _lasting(campaign: Int32s, occurred_us: Int64s) -> Int32s:
    """The campaigns that last half of the time in which there are any, -1 for the others.

    One that comes and goes is a date by another name, and tells a model what came of those of that date.
    """
    some = campaign >= 0
    if not some.any():
        return campaign
    first, last = np.full(campaign.max() + 1, np.inf), np.full(campaign.max() + 1, -np.inf)
    np.minimum.at(first, campaign[some], occurred_us[some])
    np.maximum.at(last, campaign[some], occurred_us[some])
    lasts = last - first >= LEAST_LASTING * np.ptp(occurred_us[some])
    return np.where(some & lasts[campaign], campaign, NO_KIND).astype(np.int32)


def _transitions(seen: _Seen, actions: Int32s, names: list[str], kinds: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The commonest steps between two consecutive touchpoints of different kinds of action, in the usual order."""
    of_name = {name: i for i, name in enumerate(dict.fromkeys(kinds))}
    kind = np.array([of_name.get(name, of_name[OTHER]) for name in names], dtype=np.int64)[actions]
    step = np.full(len(kind), NO_KIND, dtype=np.int64)
    steps = (seen.customer[1:] == seen.customer[:-1]) & (kind[1:] != kind[:-1])
    step[1:][steps] = (kind[:-1] * len(of_name) + kind[1:])[steps]
    told_apart, commonest = list(of_name), sorted(seen.widespread(step, MOST_TRANSITIONS))
    pairs = [(told_apart[code // len(told_apart)], told_apart[code % len(told_apart)]) for code in commonest]
    return tuple({transition_name(*pair): pair for pair in pairs}.values())  # of two written alike, one


def _kinds(family: Family, names: Iterable[str]) -> tuple[Kind, ...]:
    # A channel may itself be called "(other)", and two pairs may be written alike: a name stands for one kind.
    return tuple(Kind(family, name) for name in dict.fromkeys(names))


def _names(codes: Int32s, names: list[str]) -> list[str]:
    return [names[code] for code in np.unique(codes) if code >= 0]
