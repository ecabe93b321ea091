import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.json_text import parse
from serving.refusal import Refusal


def code_of(body: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        parse(body)
    return caught.value.code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b'{"customers": [',
        b"{'customers': []}",
        b'{"customers": [],}',
        b"[1] [2]",
        b'\xef\xbb\xbf{"customers": []}',
        '{"customers": []}'.encode("utf-16"),
        b'{"text": "\xff"}',
        b'{"text": "\xed\xa0\x80"}',
        b'{"text": "\\ud800"}',
        b'{"text": "\\udc00 \\ud800"}',
        b'{"text": "a\x00b"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"value": ' + b"9" * 5_000 + b"}",
        b'{"value": NaN, "text": "\\ud800"}',
        b'{"value": NaN',
        b'\xef\xbb\xbf{"value": NaN}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    assert code_of(body) == "malformed_json"


@pytest.mark.parametrize(
    "body",
    [
        b'{"customers":[],"customers":[]}',
        b'{"customers" : [], "customers":[]}',
        b'{"customers":[],"\\u0063ustomers":[]}',
        b'{"customers":[{"customer_id":"a","customer_id":"b","touchpoints":[]}]}',
        b'{"customers":[{"touchpoints":[{"text":"a","text":"b"}]}]}',
        b'{"customers":[{"touchpoints":[{"text":"\\":","text":"b"}]}]}',
        b'{"customers":[{"touchpoints":[{"other":{"deep":1,"deep":2}}]}]}',
        b'{"customers":[{"touchpoints":["text",{"a":1,"a":2}]}]}',
        b'{"value":NaN,"value":1}',
        b'[{"a":1,"a":1}]',
    ],
)
def test_a_key_that_comes_twice_is_refused_wherever_it_hides(body: bytes) -> None:
    assert code_of(body) == "duplicate_key"


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b'{"text":"\\":"}', {"text": '":'}),
        (b'{"text":":)","more":{"text":1}}', {"text": ":)", "more": {"text": 1}}),
        (b'{"text" : "a"}', {"text": "a"}),
        (b'{"value":1e999,"other":-Infinity}', {"value": float("inf"), "other": float("-inf")}),
        (b'{"text":"NaN"}', {"text": "NaN"}),
        ('{"text":"é 😀"}'.encode(), {"text": "é 😀"}),
        (b'{"text":"\\ud83d\\ude00"}', {"text": "😀"}),
        (b"null", None),
    ],
)
def test_sound_json_is_parsed(body: bytes, document: object) -> None:
    assert parse(body) == document


keys = st.sampled_from(["customers", "touchpoints", "text", "a"])
words = st.text(st.sampled_from('":\\ a{}[],é\n'), max_size=5)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | words, inner, max_size=4),
    max_leaves=25,
)


@settings(max_examples=300)
@given(documents, st.booleans(), st.booleans())
def test_every_document_comes_back_as_it_was_written(document: object, ascii_only: bool, spaced: bool) -> None:
    separators = (" , ", " : ") if spaced else (",", ":")
    body = json.dumps(document, ensure_ascii=ascii_only, separators=separators).encode()
    assert parse(body) == document


@settings(max_examples=300)
@given(st.dictionaries(keys | words, documents, min_size=1, max_size=4), st.data())
def test_no_duplicate_slips_through(fields: dict[str, object], data: st.DataObject) -> None:
    twice = data.draw(st.sampled_from(sorted(fields)))
    pairs = [*fields.items(), (twice, data.draw(documents))]
    members = ",".join(f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in pairs)
    row = "{" + members + "}"
    assert code_of(row.encode()) == "duplicate_key"
    assert code_of(b'{"customers":[{"touchpoints":[%s]}]}' % row.encode()) == "duplicate_key"
