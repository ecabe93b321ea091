"""The journey file: what it means, and which files are none."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features.errors import BadUsage
from features.journey import (
    DEFAULT_JOURNEY,
    Conversion,
    Evidence,
    Journey,
    Rule,
    Spans,
    conversion_column,
    load_journey,
)

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))

CONTRACT = """
name = "default"
stages = ["awareness", "consideration", "conversion", "advocacy"]

[conversion]
actions = ["purchase"]
horizons_days = [30, 90]
repeatable = false

[labels]
rules = [
  { stage = "awareness",     when = "any" },
  { stage = "consideration", actions = ["viewed_pricing", "asked"], at_least = 2, within_days = 60 },
  { stage = "conversion",    actions = ["purchase"] },
  { stage = "advocacy",      actions = ["referred", "reviewed"], after = "conversion" },
]
hide = { channels = [], actions = [] }
"""

THREE_STAGES = """
name = "three"
stages = ["new", "curious", "buyer"]
[conversion]
actions = ["bought"]
horizons_days = [30]
[labels]
rules = [
  { stage = "new", when = "any" },
  { stage = "curious", actions = ["asked"] },
  { stage = "buyer", actions = ["bought"], after = "curious" },
]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "journey.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_contracts_default_is_used(tmp_path: Path) -> None:
    assert load_journey(None) == DEFAULT_JOURNEY == load_journey(write(tmp_path, CONTRACT))


def test_a_journey_is_read_as_written(tmp_path: Path) -> None:
    journey = load_journey(write(tmp_path, THREE_STAGES))

    assert journey.name == "three"
    assert journey.stages == ("new", "curious", "buyer")
    assert journey.conversion == Conversion(actions=("bought",), horizons_days=(30,), repeatable=False)
    assert journey.labels.rules == (
        Rule(stage="new", when="any"),
        Rule(stage="curious", actions=("asked",), at_least=1, within_days=None),
        Rule(stage="buyer", actions=("bought",), after="curious"),
    )


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journey.toml"
    path.write_bytes(b"\xef\xbb\xbf" + THREE_STAGES.encode())

    assert load_journey(path).name == "three"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_a_journey_of_its_own_name(path: Path) -> None:
    assert load_journey(path).name == path.stem


def test_the_examples_are_found() -> None:
    assert {"bank_loans", "donations", "grocery_coupons", "lean_community", "pizza_requests"} <= {
        path.stem for path in EXAMPLES
    }


def test_a_journey_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        DEFAULT_JOURNEY.name = "other"  # type: ignore[misc]


def test_score_columns_are_named_in_one_place() -> None:
    assert list(DEFAULT_JOURNEY.stage_columns.values()) == [
        "stage_awareness",
        "stage_consideration",
        "stage_conversion",
        "stage_advocacy",
    ]
    assert conversion_column(7) == "conversion_7d"


def test_without_a_horizon_the_conversion_is_in_the_end() -> None:
    conversion = Conversion(actions=("donated",))

    assert conversion.horizons == (None,)
    assert conversion_column(None) == "conversion"


def test_horizons_are_kept_ascending() -> None:
    assert Conversion(actions=("bought",), horizons_days=(90, 7, 30)).horizons == (7, 30, 90)


def test_windows_and_half_lives_are_kept_ascending_and_survive_json() -> None:
    spans = "features = { windows_days = [90, 14], half_lives_days = [], session_gap_minutes = 60 }\n"
    journey = Journey.from_dict(tomllib.loads(spans + THREE_STAGES))

    assert journey.features == Spans(windows_days=(14, 90), half_lives_days=(), session_gap_minutes=60)
    assert Journey.from_dict(json.loads(json.dumps(journey.to_dict()))) == journey


def test_without_spans_a_journey_looks_back_as_is_usual() -> None:
    assert Journey.from_dict(tomllib.loads(THREE_STAGES)).features.model_dump(mode="json") == {
        "windows_days": [1, 7, 30, 90, 365],
        "half_lives_days": [3, 30, 180],
        "session_gap_minutes": 30,
    }


def test_evidence_matches_a_channel_and_an_action_together() -> None:
    asked_in_chat = Rule(stage="new", channels=("chat",), actions=("asked",)).evidence

    assert asked_in_chat.matches("chat", "asked")
    assert not asked_in_chat.matches("chat", "viewed")
    assert not asked_in_chat.matches("email", "asked")
    assert Rule(stage="new", when="any").evidence.matches("email", "viewed")


def test_the_defining_evidence_leaves_out_rules_for_everybody() -> None:
    assert DEFAULT_JOURNEY.defining_evidence == (
        Evidence(actions=frozenset({"viewed_pricing", "asked"})),
        Evidence(actions=frozenset({"purchase"})),
        Evidence(actions=frozenset({"referred", "reviewed"})),
    )


def test_rule_made_labels_hide_what_the_rules_look_at() -> None:
    hide = 'hide = { channels = ["repository"], actions = ["scored"] }\n'
    journey = Journey.from_dict(tomllib.loads(THREE_STAGES + hide))
    always = (Evidence(channels=frozenset({"repository"})), Evidence(actions=frozenset({"scored"})))
    defining = (Evidence(actions=frozenset({"asked"})), Evidence(actions=frozenset({"bought"})))

    assert journey.hidden_evidence(labels_by_rule=False) == always
    assert journey.hidden_evidence(labels_by_rule=True) == (*always, *defining)


def test_stage_names_may_hold_spaces_dashes_and_letters_of_any_language() -> None:
    stages = ("first-time buyer", "Käufer_2")
    journey = Journey(name="n", stages=stages, conversion=Conversion(actions=("bought",)))

    assert journey.stage_columns == {"first-time buyer": "stage_first-time buyer", "Käufer_2": "stage_Käufer_2"}


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="there is no such file"):
        load_journey(tmp_path / "absent.toml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="there is no such file"):
        load_journey(tmp_path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="cannot be read: File name too long"):
        load_journey(tmp_path / ("j" * 300))


def test_unreadable_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match=r"is not valid TOML: .*\(at line 3, column 10\)"):
        load_journey(write(tmp_path, 'name = "n"\n\nstages = maybe\n'))


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "journey.toml"
    path.write_bytes('name = "n"\nstages = ["Käufer"]\n'.encode("latin-1"))

    with pytest.raises(BadUsage, match=r"is not UTF-8 text \(at line 2\)"):
        load_journey(path)


def test_absurd_nesting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadUsage, match="is not valid TOML"):
        load_journey(write(tmp_path, "stages = " + "[" * 100_000))


names = st.text("abcdefgh", min_size=1, max_size=4)
evidence = st.one_of(
    st.just({"when": "any"}),
    st.fixed_dictionaries({"actions": st.lists(names, min_size=1)}, optional={"channels": st.lists(names, min_size=1)}),
)
limits = st.fixed_dictionaries({}, optional={"at_least": st.integers(1), "within_days": st.integers(1, 36_500)})
definitions = st.fixed_dictionaries(
    {
        "name": names,
        "stages": st.just(["new", "buyer"]),
        "conversion": st.fixed_dictionaries(
            {"actions": st.lists(names, min_size=1), "horizons_days": st.lists(st.integers(1, 400), unique=True)},
            optional={"repeatable": st.booleans()},
        ),
    },
    optional={
        "labels": st.builds(
            lambda seen, limit, hidden: {"rules": [{"stage": "buyer", **seen, **limit}], "hide": {"channels": hidden}},
            evidence,
            limits,
            st.lists(names),
        )
    },
)


@given(definitions)
def test_a_journey_survives_json(definition: dict[str, Any]) -> None:
    journey = Journey.from_dict(definition)

    assert journey.conversion.horizons_days == tuple(sorted(definition["conversion"]["horizons_days"]))
    assert Journey.from_dict(json.loads(json.dumps(journey.to_dict()))) == journey


def test_a_stage_may_bring_examples_of_what_people_say() -> None:
    stages = ["new", {"name": "curious", "examples": ["How much is it?", "Which one fits me?"]}, {"name": "buyer"}]
    journey = Journey.from_dict({"name": "n", "stages": stages, "conversion": {"actions": ["bought"]}})

    assert journey.stages == ("new", "curious", "buyer")
    assert journey.examples == {"curious": ("How much is it?", "Which one fits me?")}
    assert journey.to_dict()["stages"] == ["new", stages[1], "buyer"]
    assert Journey.from_dict(json.loads(json.dumps(journey.to_dict()))) == journey
