"""The journey's definition: its stages, what counts as a conversion, and the rules by which a stage is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from features.errors import BadUsage
from features.journey_faults import (
    evidence_faults,
    example_faults,
    frame_faults,
    horizon_faults,
    journey_place,
    readable_faults,
    reference_faults,
    span_faults,
)
from features.toml_file import plain_faults, read_toml

MOST_DAYS = 36_500  # a century: longer windows are typing errors, and microseconds must fit int64
MOST_SPANS = 20  # each adds a column for every kind of touchpoint

# Values are taken strictly (no "30" or true for 30); only TOML's and JSON's lists become tuples.
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], Strict(False)]
SomeNames = Annotated[tuple[Name, ...], Field(min_length=1), Strict(False)]
Days = Annotated[int, Field(ge=1, le=MOST_DAYS)]
ManyDays = Annotated[tuple[Days, ...], Field(max_length=MOST_SPANS), Strict(False)]


@dataclass(frozen=True)
class Evidence:
    """Touchpoints told apart by where and what: a channel of `channels` and an action of `actions`; None is any."""

    channels: frozenset[str] | None = None
    actions: frozenset[str] | None = None

    def matches(self, channel: str, action: str) -> bool:
        """Whether a touchpoint of this channel and action belongs to the evidence."""
        return (self.channels is None or channel in self.channels) and (self.actions is None or action in self.actions)

    def covers(self, other: Evidence) -> bool:
        """Whether every touchpoint of `other` belongs to this evidence too."""
        return _includes(self.channels, other.channels) and _includes(self.actions, other.actions)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Stage(_Part):
    """A stage of the frame: its name and, where given, sentences such as people say who are in it."""

    name: Name
    examples: SomeNames | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain_name(cls, given: object) -> object:
        return {"name": given} if isinstance(given, str) else given

    @model_serializer
    def _as_written(self) -> str | dict[str, Any]:
        return self.name if self.examples is None else {"name": self.name, "examples": list(self.examples)}


class Conversion(_Part):
    """What counts as a conversion, and within how many days it is forecast.

    `horizons_days` is kept ascending; empty means "in the end", for labels that have no horizon. Unless `repeatable`,
    only a customer's first conversion counts.
    """

    actions: SomeNames
    horizons_days: Annotated[tuple[Days, ...], Strict(False)] = ()
    repeatable: bool = False

    @field_validator("horizons_days")
    @classmethod
    def _ascending(cls, horizons_days: tuple[int, ...]) -> tuple[int, ...]:
        _refuse(horizon_faults(horizons_days))
        return tuple(sorted(horizons_days))

    @property
    def horizons(self) -> tuple[int | None, ...]:
        """The horizons to forecast, in days; a single None ("in the end") where the journey names none."""
        return self.horizons_days or (None,)


class Rule(_Part):
    """One way to know a stage: enough touchpoints of some evidence, lately or ever.

    Met at `as_of` when at least `at_least` matching touchpoints occurred in (as_of - within_days, as_of], or ever
    where `within_days` is None. With `after`, only touchpoints strictly later than the first moment at which any rule
    of that stage was met count. The customer's and the company's acts count alike.
    """

    stage: Name
    when: Literal["any"] | None = None
    channels: SomeNames | None = None
    actions: SomeNames | None = None
    at_least: Annotated[int, Field(ge=1)] = 1
    within_days: Days | None = None
    after: Name | None = None

    @model_validator(mode="after")
    def _one_kind_of_evidence(self) -> Self:
        _refuse(evidence_faults([key for key, given in self if given is not None]))
        return self

    @cached_property
    def evidence(self) -> Evidence:
        """The touchpoints this rule counts."""
        return Evidence(_optional_set(self.channels), _optional_set(self.actions))


class Hide(_Part):
    """Evidence that defines the labels and is never a feature: a touchpoint of these channels or of these actions."""

    channels: Names = ()
    actions: Names = ()


class StageLabels(_Part):
    """How a stage is known when no labels file is given: the last rule met at `as_of` wins."""

    rules: Annotated[tuple[Rule, ...], Strict(False)] = ()
    hide: Hide = Hide()


class Spans(_Part):
    """The spans of time that touchpoint features look back over, both lists kept ascending.

    A count of all touchpoints ever stands beside those of `windows_days`. What names 30 days in its own name, such as
    the active days in 30 days, means 30 days whatever windows are chosen.
    """

    windows_days: ManyDays = (1, 7, 30, 90, 365)
    half_lives_days: ManyDays = (3, 30, 180)
    session_gap_minutes: Annotated[int, Field(ge=1, le=MOST_DAYS * 1440)] = 30

    @field_validator("windows_days", "half_lives_days")
    @classmethod
    def _ascending(cls, spans_days: tuple[int, ...]) -> tuple[int, ...]:
        _refuse(span_faults(spans_days))
        return tuple(sorted(spans_days))


class Journey(_Part):
    """The frame of stages, in order (people may skip and step back), with its conversion and its label rules.

    In a file an entry of `stages` is a name, or a table of `name` and `examples`.
    """

    name: Name
    frame: Annotated[tuple[Stage, ...], Strict(False)] = Field(alias="stages")
    conversion: Conversion
    labels: StageLabels = StageLabels()
    features: Spans = Spans()

    @field_validator("frame")
    @classmethod
    def _usable_stages(cls, frame: tuple[Stage, ...]) -> tuple[Stage, ...]:
        _refuse([*frame_faults([stage.name for stage in frame]), *example_faults(_examples(frame))])
        return frame

    @model_validator(mode="after")
    def _rules_fit_the_frame(self) -> Self:
        waits = [(rule.stage, rule.after) for rule in self.labels.rules]
        _refuse([*reference_faults(self.stages, waits), *_overruled_faults(self.labels.rules)])
        return self

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """The stages' names, in order."""
        return tuple(stage.name for stage in self.frame)

    @cached_property
    def examples(self) -> dict[str, tuple[str, ...]]:
        """What people say in a stage, for the stages whose examples the file gives, in frame order."""
        return dict(_examples(self.frame))

    @property
    def stage_columns(self) -> dict[str, str]:
        """The score column of each stage's probability, in frame order."""
        return {stage: f"stage_{stage}" for stage in self.stages}

    @property
    def defining_evidence(self) -> tuple[Evidence, ...]:
        """The evidence by which the rules know a stage. Rules with when = "any" name none: everybody shows theirs."""
        return tuple(dict.fromkeys(rule.evidence for rule in self.labels.rules if rule.when is None))

    def hidden_evidence(self, *, labels_by_rule: bool) -> tuple[Evidence, ...]:
        """The evidence that a stage model must not see: what the file hides and, where the rules make the stage
        labels (`labels_by_rule`), what the rules look at as well."""
        hide = self.labels.hide
        channels = (Evidence(channels=frozenset(hide.channels)),) if hide.channels else ()
        actions = (Evidence(actions=frozenset(hide.actions)),) if hide.actions else ()
        return (*channels, *actions, *(self.defining_evidence if labels_by_rule else ()))

    def to_dict(self) -> dict[str, Any]:
        """The definition as JSON-ready values; `from_dict` reads it back."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def from_dict(cls, definition: Mapping[str, Any]) -> Journey:
        """Read a definition made of plain values, as TOML or JSON yield them.

        Raises BadUsage with every fault in it.
        """
        try:
            return cls.model_validate(definition)
        except ValidationError as error:
            faults = (*plain_faults(error, _KEYS, journey_place), *readable_faults(definition, _KEYS))
            raise BadUsage("bad_journey", dict.fromkeys(faults)) from None


def conversion_column(horizon_days: int | None) -> str:
    """The score column of a conversion forecast: `conversion_<h>d`, or `conversion` where there is no horizon."""
    return "conversion" if horizon_days is None else f"conversion_{horizon_days}d"


def load_journey(path: Path | None) -> Journey:
    """Read a journey file; without one, the four-stage default.

    Raises BadUsage with every fault in the file: unreadable TOML, unknown keys, impossible values or rules.
    """
    if path is None:
        return DEFAULT_JOURNEY
    missing = BadUsage("no_journey", "there is no such file; give a TOML file, or none for the default four stages")
    try:
        return Journey.from_dict(read_toml(path, missing, "bad_journey"))
    except BadUsage as bad:
        raise BadUsage(bad.code, [f"{path}: {fault}" for fault in bad.faults]) from None


def _examples(frame: Iterable[Stage]) -> list[tuple[str, tuple[str, ...]]]:
    return [(stage.name, stage.examples) for stage in frame if stage.examples is not None]


def _overruled_faults(rules: Sequence[Rule]) -> Iterator[str]:
    """Rules that can never win, because a later rule for another stage is met whenever they are."""
    for (number, rule), (later_number, later) in combinations(enumerate(rules, start=1), 2):
        if rule.stage != later.stage and _always_met_with(rule, later):
            overruled = f"rule {number} of [labels] can never win: rule {later_number} is met whenever it is"
            yield f"{overruled}, and the last rule met wins; put the more demanding rule last"


def _always_met_with(rule: Rule, later: Rule) -> bool:
    as_wide = _window_days(later) >= _window_days(rule)
    as_soon = later.after in (None, rule.after)
    return as_wide and as_soon and later.at_least <= rule.at_least and later.evidence.covers(rule.evidence)


def _window_days(rule: Rule) -> float:
    return inf if rule.within_days is None else rule.within_days


def _refuse(faults: Iterable[str]) -> None:
    if told := "\n".join(faults):
        raise ValueError(told)


def _includes(whole: frozenset[str] | None, part: frozenset[str] | None) -> bool:
    return whole is None or (part is not None and part <= whole)


def _optional_set(names: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


_KEYS: dict[tuple[str, ...], list[str]] = {
    (): [field.alias or name for name, field in Journey.model_fields.items()],
    ("stages",): list(Stage.model_fields),
    ("conversion",): list(Conversion.model_fields),
    ("labels",): list(StageLabels.model_fields),
    ("labels", "rules"): list(Rule.model_fields),
    ("labels", "hide"): list(Hide.model_fields),
    ("features",): list(Spans.model_fields),
}

DEFAULT_JOURNEY = Journey(
    name="default",
    stages=tuple(Stage(name=name) for name in ("awareness", "consideration", "conversion", "advocacy")),
    conversion=Conversion(actions=("purchase",), horizons_days=(30, 90)),
    labels=StageLabels(
        rules=(
            Rule(stage="awareness", when="any"),
            Rule(stage="consideration", actions=("viewed_pricing", "asked"), at_least=2, within_days=60),
            Rule(stage="conversion", actions=("purchase",)),
            Rule(stage="advocacy", actions=("referred", "reviewed"), after="conversion"),
        ),
    ),
)
