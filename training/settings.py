"""A training's configuration: one TOML file, frozen and checked; every value may be overridden on the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator

from features.errors import BadUsage
from features.journey import Days, Journey, Name, Names, SomeNames, load_journey
from features.toml_file import Location, plain_faults, read_toml, toml_text
from training.tree_choice import TreeChoice, TreeChoices

EMBEDDERS: Final = ("minilm", "static", "none")
MOST_FOLDS: Final = 100

Share = Annotated[float, Field(gt=0, lt=1)]
Target = Literal["stage", "conversion"]
Leak = Literal["telling_feature", "future", "label_evidence", "twin_customers", "serving_difference"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Data(_Section):
    """What is read. `splits` picks rows of a labels file by their split column. Of touchpoints known after
    `known_until` nothing is used; where it is not given, the command's own time stands in for it."""

    touchpoints: Annotated[SomeNames | None, Strict(False)] = None
    labels: Name | None = None
    splits: Annotated[SomeNames | None, Strict(False)] = None
    stage_history: Name | None = None
    max_reject_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    known_until: AwareDatetime | None = None


class Snapshots(_Section):
    """When the customers are looked at, and which of them, where no labels file says so.

    `every` = "auto" takes the starts of months (UTC), or Mondays or days where these are too few; "event" takes the
    moments at which one of `actions` became known. Of these moments a customer's count at which something was known of
    the customer's last `seen_within_days`, the first touchpoint had been known for `known_for_days`, at least
    `at_least_touchpoints` were known and, with `not_yet_converted`, no conversion was.
    """

    every: Literal["auto", "month", "week", "day", "event"] = "auto"
    actions: Names = ()
    seen_within_days: Days = 365
    not_yet_converted: bool = False
    known_for_days: Annotated[int, Field(ge=0)] = 0
    at_least_touchpoints: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _events_are_named(self) -> Self:
        if (self.every == "event") != bool(self.actions):
            raise ValueError('snapshots at events need every = "event" and actions, one of the two is missing')
        return self


class Split(_Section):
    """Which rows a model is judged on; see `training.split`.

    `late_share` of the rows are late, `person_share` of the persons are held out (0.3 of them together with time, else
    0.2). `gap_days` stands between what is learnt from and what is judged; without it, the longest horizon.
    """

    kind: Literal["time and person", "time", "person"] = "time and person"
    late_share: Share = 0.3
    person_share: Share | None = None
    gap_days: Annotated[float, Field(ge=0)] | None = None


class Backtest(_Section):
    """`folds` moments at which a model like this one is trained and judged on the `test_days` that follow (0: none).

    Persons may recur, as they do in use, unless they are to be `disjoint_persons`.
    """

    folds: Annotated[int, Field(ge=0, le=MOST_FOLDS)] = 0
    test_days: Days | None = None
    disjoint_persons: bool = False


class Fit(_Section):
    """How a model is fitted. `learn` leaves the stage or the conversions out; `embedder` may be a folder.

    `allow_leaks` lets a training go on although a guard of that name has found a leak; see `training.leak_guards`.
    """

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    embedder: Name = "minilm"
    learn: Annotated[tuple[Target, ...], Field(min_length=1), Strict(False)] = ("stage", "conversion")
    allow_leaks: Annotated[tuple[Leak, ...], Strict(False)] = ()


class Trees(_Section):
    """What is set of a model's trees, as `journeycast tune` finds it; what is not given stays as the model has it."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    num_leaves: Annotated[int, Field(ge=2, le=1024)] | None = None
    min_data_in_leaf: Annotated[int, Field(ge=1)] | None = None
    lambda_l2: Annotated[float, Field(ge=0)] | None = None
    feature_fraction: Annotated[float, Field(gt=0, le=1)] | None = None

    def choice(self) -> TreeChoice:
        """The same, as fitting takes it."""
        return TreeChoice(**dict(self))


class Settings(_Section):
    """The whole configuration. `journey` is a journey file or the definition itself; None is the four-stage default."""

    data: Data = Data()
    journey: Annotated[Any, Field(validate_default=False)] = None
    snapshots: Snapshots = Snapshots()
    split: Split = Split()
    backtest: Backtest = Backtest()
    fit: Fit = Fit()
    stage_trees: Trees = Trees()
    conversion_trees: Trees = Trees()

    @property
    def trees(self) -> TreeChoices:
        """What is set of the trees of both models."""
        return TreeChoices(self.stage_trees.choice(), self.conversion_trees.choice())

    @model_validator(mode="after")
    def _journey_is_readable(self) -> Self:
        if not isinstance(self.journey, str | dict | None):
            raise ValueError("journey is neither the name of a file nor a table; give one of them")
        return self

    def load_journey(self) -> Journey:
        """The journey. Raises BadUsage with every fault in it."""
        if isinstance(self.journey, dict):
            return Journey.from_dict(self.journey)
        return load_journey(None if self.journey is None else Path(self.journey))

    def resolved(self, journey: Journey, known_until: Any) -> Settings:
        """The same run, told without leaning on the working folder, the clock or the journey file."""
        data = self.data.model_copy(
            update={
                "touchpoints": tuple(map(_absolute, self.data.touchpoints or ())),
                "labels": self.data.labels and _absolute(self.data.labels),
                "stage_history": self.data.stage_history and _absolute(self.data.stage_history),
                "known_until": known_until,
            }
        )
        fit = self.fit.model_copy(update={"embedder": _embedder_in(Path(), self.fit.embedder, absolute=True)})
        return self.model_copy(update={"data": data, "journey": journey.to_dict(), "fit": fit})

    def to_toml(self) -> str:
        """The configuration as TOML; `load_settings` reads it back."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        tables = {name: dict(value) for name, value in values.items() if isinstance(value, _Section | dict)}
        return toml_text(tables, {"journey": self.journey} if isinstance(self.journey, str) else {})

    def about(self) -> dict[str, Any]:
        """What a bundle tells of its configuration, JSON-ready: all of it but where the data lay, so that equal data
        in another folder give an equal bundle; the journey stands in the bundle itself."""
        told = self.model_dump(mode="json", exclude_none=True, exclude={"journey": True, "data": _PLACES})
        told["fit"]["embedder"] = Path(self.fit.embedder).name
        return told


def load_settings(path: Path | None, changes: Mapping[str, Any]) -> Settings:
    """Read a configuration file (None: the defaults) and change some values, named `section.key`.

    Relative paths in the file are taken from the file's folder. Raises BadUsage with every fault: unreadable TOML,
    unknown keys with their near miss, impossible values.
    """
    tables: dict[str, Any] = {}
    if path is not None:
        missing = BadUsage("no_config", "there is no such file; give a TOML file")
        try:
            tables = read_toml(path, missing, "bad_config")
            _checked(tables)
        except BadUsage as bad:
            raise BadUsage(bad.code, [f"{path}: {fault}" for fault in bad.faults]) from None
        tables = _from_folder(tables, path.absolute().parent)
    return _checked(_changed(tables, changes))


def read_changes(words: Sequence[str]) -> dict[str, Any]:
    """The changes that `--set section.key=value` names; a value that is no TOML is a text.

    Raises BadUsage for words of another form.
    """
    changes: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise BadUsage("bad_set", f"--set {word}: expected section.key=value, for example split.kind=person")
        changes[key.strip()] = _toml_value(value.strip())
    return changes


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _changed(tables: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    changed = {name: dict(table) if isinstance(table, dict) else table for name, table in tables.items()}
    for key, value in changes.items():
        section, dot, name = key.partition(".")
        if not dot:
            changed[section] = value
        elif isinstance(changed.setdefault(section, {}), dict):
            changed[section][name] = value
        else:
            raise BadUsage("bad_config", f"{key}: '{section}' is no table here, so nothing in it can be set")
    return changed


def _checked(tables: Mapping[str, Any]) -> Settings:
    try:
        return Settings.model_validate(tables)
    except ValidationError as error:
        raise BadUsage("bad_config", dict.fromkeys(plain_faults(error, _KEYS, _place))) from None


def _from_folder(tables: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The tables with the paths in them taken from `folder`."""
    found = dict(tables)
    data = dict(found.get("data", {}))
    for key in ("labels", "stage_history"):
        if key in data:
            data[key] = _in(folder, data[key])
    if "touchpoints" in data:
        data["touchpoints"] = [_in(folder, source) for source in data["touchpoints"]]
    if isinstance(found.get("journey"), str):
        found["journey"] = _in(folder, found["journey"])
    if "embedder" in found.get("fit", {}):
        found["fit"] = {**found["fit"], "embedder": _embedder_in(folder, found["fit"]["embedder"])}
    return found | ({"data": data} if data else {})


def _in(folder: Path, source: str) -> str:
    return source if "://" in source else str(folder / source)


def _absolute(source: str) -> str:
    return _in(Path().absolute(), source)


def _embedder_in(folder: Path, embedder: str, absolute: bool = False) -> str:
    """A name stays what it is; a folder that is there is one."""
    is_folder = embedder not in EMBEDDERS and (folder / embedder).is_dir()
    return str((folder / embedder).absolute() if absolute else folder / embedder) if is_folder else embedder


def _place(location: Location) -> str:
    match location:
        case ():
            return "the configuration"
        case (section,):
            return f"[{section}]"
        case (*within, int(position)):
            return f"entry {position + 1} of {_place(tuple(within))}"
        case (*within, key):
            return f"'{key}' in {_place(tuple(within))}"
    raise AssertionError(location)


_PLACES: Final = {"touchpoints", "labels", "stage_history"}
_KEYS: dict[tuple[str, ...], list[str]] = {
    (): list(Settings.model_fields),
    **{(name,): list(section.model_fields) for name, section in
       (("data", Data), ("snapshots", Snapshots), ("split", Split), ("backtest", Backtest), ("fit", Fit),
        ("stage_trees", Trees), ("conversion_trees", Trees))},
}  # fmt: skip
