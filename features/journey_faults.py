"""What is wrong with a journey's definition, in plain words and all at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar, cast

from features.toml_file import Keys, Location, listed, located, shown, suggestion

MOST_STAGES = 127  # a stage is stored as int8

Waits = Sequence[tuple[str, str | None]]  # each rule's (stage, after)
Entry = TypeVar("Entry", bound=Hashable)


def frame_faults(stages: Sequence[str]) -> Iterator[str]:
    """What is wrong with the stages as a frame, and with their names as the names of score columns."""
    if len(stages) < 2:
        yield f"a journey needs two stages or more, found {len(stages)}"
    if len(stages) > MOST_STAGES:
        yield f"a journey has at most {MOST_STAGES} stages, found {len(stages)}"
    for stage in stages:
        if stage != stage.strip() or not all(letter.isalnum() or letter in "_- " for letter in stage):
            yield f"'{stage}' cannot name a score column; use letters, digits, '_', '-' and inner spaces"
    for folded in repeated(stage.casefold() for stage in stages):
        same = [stage for stage in stages if stage.casefold() == folded]
        yield f"{listed(same)} would share the score column 'stage_{folded}'; name each stage once"


def example_faults(examples: Iterable[tuple[str, Sequence[str]]]) -> Iterator[str]:
    """Examples that say nothing, or that cannot tell one stage from another; `examples` gives each stage's."""
    said = [(_folded(example), stage) for stage, sentences in examples for example in sentences]
    for stage in dict.fromkeys(stage for example, stage in said if not example):
        yield f"an example of '{stage}' is blank; write what people say in that stage, or leave it out"
    for example in repeated(example for example, _ in said if example):
        stages = listed([stage for other, stage in said if other == example])
        yield f"the example {shown(example)} is given more than once ({stages}); give each example to one stage, once"


def reference_faults(stages: Sequence[str], waits: Waits) -> Iterator[str]:
    """What is wrong with the stages that the rules are for, and with those that they come after."""
    # A misspelt stage counts as the one it is near to, so that one slip is told once.
    defined = {meant for stage, _ in waits for meant in get_close_matches(stage, stages, n=1)}
    for number, (stage, after) in enumerate(waits, start=1):
        if stage not in stages:
            yield f"rule {number} of [labels] is for an unknown stage '{stage}'; {suggestion(stage, stages)}"
        if after is not None:
            yield from (f"rule {number} of [labels] {fault}" for fault in _after_faults(stage, after, stages, defined))
    yield from _cycle_faults(waits)


def evidence_faults(keys: Collection[str]) -> Iterator[str]:
    """What is wrong with a rule's keys: it needs `when`, or names of actions or channels, and not both."""
    names_evidence = "actions" in keys or "channels" in keys
    if "when" not in keys and not names_evidence:
        yield "says nothing to look for; give 'actions', 'channels' or when = \"any\""
    if "when" in keys and names_evidence:
        yield "when = \"any\" counts every touchpoint; leave out 'when', or 'actions' and 'channels'"


def horizon_faults(horizons_days: Iterable[int]) -> Iterator[str]:
    """Horizons that would each name a score column twice."""
    for horizon in repeated(horizons_days):
        yield f"{horizon} is listed twice; list each horizon once"


def span_faults(spans_days: Iterable[int]) -> Iterator[str]:
    """Windows or half-lives that would each name a feature twice."""
    for days in repeated(spans_days):
        yield f"{days} is listed twice; list each number of days once"


def readable_faults(definition: Mapping[str, Any], keys: Keys) -> Iterator[str]:
    """The faults of meaning in a definition whose form is broken elsewhere, as far as its parts can be read."""
    frame = _list_of((str, dict), definition.get("stages")) or []
    stages = _list_of(str, [entry.get("name") if isinstance(entry, dict) else entry for entry in frame]) or None
    rules = _list_of(dict, _section(definition, "labels").get("rules"))
    horizons_days = _list_of(int, _section(definition, "conversion").get("horizons_days"))
    yield from _at(("conversion", "horizons_days"), horizon_faults(horizons_days or ()))
    for key in ("windows_days", "half_lives_days"):
        spans_days = _list_of(int, _section(definition, "features").get(key))
        yield from _at(("features", key), span_faults(spans_days or ()))
    if stages is not None:
        yield from _at(("stages",), frame_faults(stages))
        tables = [entry for entry in frame if isinstance(entry, dict)]
        yield from _at(
            ("stages",), example_faults([(e["name"], _list_of(str, e.get("examples")) or []) for e in tables])
        )
    for position, rule in enumerate(rules or ()):
        if set(rule) <= set(keys["labels", "rules"]):  # an unknown key may be the evidence, misspelt
            yield from _at(("labels", "rules", position), evidence_faults(rule))
    waits = [(rule.get("stage"), rule.get("after")) for rule in rules or ()]
    if stages is not None and all(isinstance(stage, str) and isinstance(after, str | None) for stage, after in waits):
        yield from reference_faults(stages, waits)


def repeated(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that come more than once, each once."""
    return [entry for entry, count in Counter(entries).items() if count > 1]


def journey_place(location: Location) -> str:
    """Where in a journey file something stands, in words."""
    match location:
        case ():
            return "the journey"
        case ("labels", "rules", int(position)):
            return f"rule {position + 1} of [labels]"
        case ("labels", "hide"):
            return "'hide' of [labels]"
        case ("conversion" | "labels" | "features" as section,):
            return f"[{section}]"
        case (*within, int(position)):
            return f"entry {position + 1} of {journey_place(tuple(within))}"
        case (*within, key):
            return f"'{key}' in {journey_place(tuple(within))}"
    raise AssertionError(location)


def _after_faults(stage: str, after: str, stages: Sequence[str], defined: Collection[str]) -> Iterator[str]:
    if after not in stages:
        yield f"comes after an unknown stage '{after}'; {suggestion(after, stages)}"
    elif after == stage:
        yield f"lets '{stage}' come after itself, which can never be met; leave 'after' out"
    elif after not in defined:
        yield f"comes after '{after}', which no rule defines; add a rule for '{after}' or leave 'after' out"


def _cycle_faults(waits: Waits) -> Iterator[str]:
    waiting: TopologicalSorter[str] = TopologicalSorter()
    for stage, after in waits:
        if after is not None and after != stage:
            waiting.add(stage, after)
    try:
        waiting.prepare()
    except CycleError as error:
        circle = " after ".join(f"'{stage}'" for stage in reversed(error.args[1]))
        yield f"the rules of [labels] wait for each other ({circle}); drop one 'after' of them"


def _section(definition: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = definition.get(name)
    return section if isinstance(section, Mapping) else {}


def _list_of(kind: type | tuple[type, ...], found: object) -> list[Any] | None:
    """The list as it was given, or None where it is not wholly a list of that kind."""
    readable = isinstance(found, list) and all(isinstance(entry, kind) for entry in found)
    return cast(list[Any], found) if readable else None


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _at(location: Location, faults: Iterable[str]) -> Iterator[str]:
    return located(location, faults, journey_place)
