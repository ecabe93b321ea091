"""What a bad journey file is told: every fault at once, in plain words."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import BadUsage
from features.journey import Journey, load_journey

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


def faults_of(text: str) -> tuple[str, ...]:
    with pytest.raises(BadUsage) as refused:
        Journey.from_dict(tomllib.loads(text))
    return refused.value.faults


def changed(found: str, instead: str) -> str:
    assert found in THREE_STAGES
    return THREE_STAGES.replace(found, instead, 1)


@pytest.mark.parametrize(
    ("found", "instead", "fault"),
    [
        ("horizons_days", "horizon_days", "unknown key 'horizon_days' in [conversion]; did you mean 'horizons_days'?"),
        (
            'actions = ["bought"]\n',
            'action = ["bought"]\n',
            "unknown key 'action' in [conversion]; did you mean 'actions'?",
        ),
        ("[labels]", "[lables]", "unknown key 'lables' in the journey; did you mean 'labels'?"),
        (
            '["asked"]',
            '["asked"], colour = 1',
            "unknown key 'colour' in rule 2 of [labels]; expected one of 'stage', 'when', 'channels', 'actions', "
            "'at_least', 'within_days', 'after'",
        ),
        (
            "[labels]",
            "[labels]\nhide = { chanel = [] }",
            "unknown key 'chanel' in 'hide' of [labels]; did you mean 'channels'?",
        ),
        ('name = "three"\n', "", "the journey lacks the key 'name'; add it"),
        ('name = "three"', "name = 3", "'name' in the journey: expected a text that is not empty, found 3"),
        ("[30]", "30", "'horizons_days' in [conversion]: expected a list, found 30"),
        ("[30]", "[30, 0]", "entry 2 of 'horizons_days' in [conversion]: expected 1 or more, found 0"),
        ("[30]", "[7.5]", "entry 1 of 'horizons_days' in [conversion]: expected a whole number, found 7.5"),
        ("[30]", "[true]", "entry 1 of 'horizons_days' in [conversion]: expected a whole number, found true"),
        ("[30]", "[99999]", "entry 1 of 'horizons_days' in [conversion]: expected 36500 or less, found 99999"),
        ("[30]", "[30, 30]", "'horizons_days' in [conversion]: 30 is listed twice; list each horizon once"),
        ("[30]", "[30]\nrepeatable = 1", "'repeatable' in [conversion]: expected true or false, found 1"),
        (
            'actions = ["bought"]\n',
            "actions = []\n",
            "'actions' in [conversion]: expected at least one entry: nothing can match an empty list, "
            "found a list of 0",
        ),
        (
            'stage = "curious"',
            'stage = "couriuos"',
            "rule 2 of [labels] is for an unknown stage 'couriuos'; did you mean 'curious'?",
        ),
        (
            '"buyer", actions',
            '"fan", actions',
            "rule 3 of [labels] is for an unknown stage 'fan'; expected one of 'new', 'curious', 'buyer'",
        ),
        (
            'after = "curious"',
            'after = "curios"',
            "rule 3 of [labels] comes after an unknown stage 'curios'; did you mean 'curious'?",
        ),
        (
            '  { stage = "curious", actions = ["asked"] },\n',
            "",
            "rule 2 of [labels] comes after 'curious', which no rule defines; "
            "add a rule for 'curious' or leave 'after' out",
        ),
        (
            'after = "curious"',
            'after = "buyer"',
            "rule 3 of [labels] lets 'buyer' come after itself, which can never be met; leave 'after' out",
        ),
        (
            '["asked"]',
            '["asked"], after = "buyer"',
            "the rules of [labels] wait for each other ('curious' after 'buyer' after 'curious'); "
            "drop one 'after' of them",
        ),
        (
            'actions = ["asked"]',
            "within_days = 3",
            "rule 2 of [labels]: says nothing to look for; give 'actions', 'channels' or when = \"any\"",
        ),
        (
            '["asked"]',
            '["asked"], when = "any"',
            "rule 2 of [labels]: when = \"any\" counts every touchpoint; leave out 'when', or 'actions' and 'channels'",
        ),
        ('when = "any"', 'when = "all"', "'when' in rule 1 of [labels]: expected 'any', found 'all'"),
        (
            '["asked"]',
            "[]",
            "'actions' in rule 2 of [labels]: expected at least one entry: nothing can match an empty list, "
            "found a list of 0",
        ),
        ('["asked"]', '["asked"], at_least = 0', "'at_least' in rule 2 of [labels]: expected 1 or more, found 0"),
        (
            '["asked"]',
            '["asked"], within_days = -1',
            "'within_days' in rule 2 of [labels]: expected 1 or more, found -1",
        ),
        ("rules = [\n", 'rules = [ "any",\n', "rule 1 of [labels]: expected a table, found 'any'"),
        (
            '{ stage = "buyer", actions = ["bought"], after = "curious" }',
            '{ stage = "buyer", actions = ["asked"] }',
            "rule 2 of [labels] can never win: rule 3 is met whenever it is, and the last rule met wins; "
            "put the more demanding rule last",
        ),
    ],
)
def test_a_fault_is_told_in_plain_words(found: str, instead: str, fault: str) -> None:
    assert faults_of(changed(found, instead)) == (fault,)


@pytest.mark.parametrize(
    ("stages", "fault"),
    [
        ('["new"]', "a journey needs two stages or more, found 1"),
        (
            '["new", "curious", "buyer", "new"]',
            "'new', 'new' would share the score column 'stage_new'; name each stage once",
        ),
        (
            '["new", "curious", "buyer", "New"]',
            "'new', 'New' would share the score column 'stage_new'; name each stage once",
        ),
        (
            '["new", "curious", "buyer", "a/b"]',
            "'a/b' cannot name a score column; use letters, digits, '_', '-' and inner spaces",
        ),
        (
            '["new", "curious", "buyer", " x"]',
            "' x' cannot name a score column; use letters, digits, '_', '-' and inner spaces",
        ),
        (
            str([f"s{i}" for i in range(125)] + ["new", "curious", "buyer"]),
            "a journey has at most 127 stages, found 128",
        ),
    ],
)
def test_a_frame_must_give_usable_columns(stages: str, fault: str) -> None:
    assert f"'stages' in the journey: {fault}" in faults_of(changed('["new", "curious", "buyer"]', stages))


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (
            '{ name = "curious", exmples = ["How much is it?"] }',
            "unknown key 'exmples' in entry 2 of 'stages' in the journey; did you mean 'examples'?",
        ),
        (
            '{ nam = "curious", examples = ["How much is it?"] }',
            "unknown key 'nam' in entry 2 of 'stages' in the journey; did you mean 'name'?",
        ),
        (
            '{ examples = ["How much is it?"] }',
            "entry 2 of 'stages' in the journey lacks the key 'name'; add it",
        ),
        (
            '{ name = "curious", examples = "How much is it?" }',
            "'examples' in entry 2 of 'stages' in the journey: expected a list, found 'How much is it?'",
        ),
        (
            '{ name = "curious", examples = [] }',
            "'examples' in entry 2 of 'stages' in the journey: expected at least one entry: nothing can match an empty "
            "list, found a list of 0",
        ),
        (
            '{ name = "curious", examples = ["How much is it?", 3] }',
            "entry 2 of 'examples' in entry 2 of 'stages' in the journey: expected a text that is not empty, found 3",
        ),
        (
            '{ name = "curious", examples = [""] }',
            "entry 1 of 'examples' in entry 2 of 'stages' in the journey: expected a text that is not empty, found ''",
        ),
        (
            '{ name = "curious", examples = ["How much is it?", " "] }',
            "'stages' in the journey: an example of 'curious' is blank; write what people say in that stage, or "
            "leave it out",
        ),
        (
            '{ name = "curious", examples = ["How much is it?", "how  much is it? "] }',
            "'stages' in the journey: the example 'how much is it?' is given more than once ('curious', 'curious'); "
            "give each example to one stage, once",
        ),
        (
            '{ name = "curious", examples = ["How?"] }, { name = "keen", examples = ["how?"] }',
            "'stages' in the journey: the example 'how?' is given more than once ('curious', 'keen'); give each "
            "example to one stage, once",
        ),
        ("3", "entry 2 of 'stages' in the journey: expected a name, or a table of 'name' and 'examples', found 3"),
    ],
)
def test_a_fault_in_a_stage_with_examples_is_told_in_plain_words(entry: str, fault: str) -> None:
    assert fault in faults_of(changed('"curious"', entry))


def test_faults_of_examples_are_told_beside_others() -> None:
    stages = changed(
        '["new", "curious"', '[{ name = "new", examples = ["a?"] }, { name = "curious", examples = ["A?"] }'
    )
    faults = faults_of(stages.replace("[30]", "[0]"))
    assert len(faults) == 2
    assert any("the example 'a?' is given more than once ('new', 'curious')" in fault for fault in faults)


@pytest.mark.parametrize(
    "rules",
    [
        '{ stage = "new", when = "any" }, { stage = "curious", when = "any", within_days = 30 }',
        '{ stage = "new", when = "any" }, { stage = "curious", when = "any", at_least = 2 }',
        '{ stage = "new", when = "any" }, { stage = "curious", channels = ["chat"] }',
        '{ stage = "new", when = "any" }, { stage = "new", actions = ["asked"] }',
        '{ stage = "new", when = "any", within_days = 9 }, { stage = "curious", when = "any", within_days = 7 }',
        '{ stage = "new", actions = ["asked"] }, { stage = "curious", actions = ["asked"], after = "new" }',
    ],
)
def test_a_more_demanding_rule_may_come_later(rules: str) -> None:
    frame = 'name = "n"\nstages = ["new", "curious"]\nconversion = { actions = ["bought"] }\n'

    assert len(Journey.from_dict(tomllib.loads(f"{frame}[labels]\nrules = [{rules}]")).labels.rules) == 2


def test_a_wider_later_rule_overrules_an_earlier_one() -> None:
    demanding = '{ stage = "buyer", actions = ["asked"], at_least = 3, within_days = 7 }'
    wide = '{ stage = "new", when = "any", at_least = 2 }'
    frame = 'name = "n"\nstages = ["new", "buyer"]\nconversion = { actions = ["bought"] }\n'

    (fault,) = faults_of(f"{frame}[labels]\nrules = [{demanding}, {wide}]")
    assert fault.startswith("rule 1 of [labels] can never win: rule 2 is met whenever it is")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        nam = "n"
        stages = ["new", "buyer", "buyer"]
        [conversion]
        actions = ["bought"]
        horizons_days = [0, 30, 30]
        [features]
        windows_days = [7, 30, 7]
        half_lives_days = [0, 3.5]
        session_gap_minute = 30
        [labels]
        rules = [
          { stage = "nwe", when = "any" },
          { stage = "buyer", at_least = 0 },
          { stage = "buyer", actions = ["bought"], after = "curious" },
        ]
        """,
    )
    with pytest.raises(BadUsage) as refused:
        load_journey(path)

    assert refused.value.code == "bad_journey"
    assert [fault.removeprefix(f"{path}: ") for fault in refused.value.faults] == [
        "'stages' in the journey: 'buyer', 'buyer' would share the score column 'stage_buyer'; name each stage once",
        "entry 1 of 'horizons_days' in [conversion]: expected 1 or more, found 0",
        "'at_least' in rule 2 of [labels]: expected 1 or more, found 0",
        "'windows_days' in [features]: 7 is listed twice; list each number of days once",
        "entry 1 of 'half_lives_days' in [features]: expected 1 or more, found 0",
        "entry 2 of 'half_lives_days' in [features]: expected a whole number, found 3.5",
        "unknown key 'session_gap_minute' in [features]; did you mean 'session_gap_minutes'?",
        "unknown key 'nam' in the journey; did you mean 'name'?",
        "'horizons_days' in [conversion]: 30 is listed twice; list each horizon once",
        "rule 2 of [labels]: says nothing to look for; give 'actions', 'channels' or when = \"any\"",
        "rule 1 of [labels] is for an unknown stage 'nwe'; did you mean 'new'?",
        "rule 3 of [labels] comes after an unknown stage 'curious'; expected one of 'new', 'buyer', 'buyer'",
    ]


def test_spans_that_are_broken_are_told_with_those_that_come_twice() -> None:
    features = "[features]\nwindows_days = [7, 0, 7]\nsession_gap_minutes = 0\nhalf_lives_days = ["
    half_lives = ", ".join(str(days) for days in range(1, 22))

    assert faults_of(f"{THREE_STAGES}{features}{half_lives}]") == (
        "entry 2 of 'windows_days' in [features]: expected 1 or more, found 0",
        "'half_lives_days' in [features]: expected at most 20 entries, found a list of 21",
        "'session_gap_minutes' in [features]: expected 1 or more, found 0",
        "'windows_days' in [features]: 7 is listed twice; list each number of days once",
    )


def test_no_trace_of_the_checking_library_is_shown(tmp_path: Path) -> None:
    with pytest.raises(BadUsage) as refused:
        load_journey(write(tmp_path, changed("[30]", "[0]")))

    assert refused.value.__suppress_context__
    assert "pydantic" not in str(refused.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "stages", "conversion", "labels", "rules", "hide", "stage"]), inner
            )
        ),
        max_leaves=8,
    ).filter(lambda definition: isinstance(definition, dict))
)
def test_nonsense_is_refused_in_words(definition: dict[str, object]) -> None:
    with pytest.raises(BadUsage) as refused:
        Journey.from_dict(definition)

    assert refused.value.faults
