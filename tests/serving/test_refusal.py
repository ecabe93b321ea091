import msgspec
import pytest

from serving.refusal import Refusal, explain


class Shop(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    open: bool = True
    prices: list[float] = []


def explained(sent: object) -> dict[str, str]:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(sent, Shop)
    return explain(caught.value, sent, "shops[2]", {"": ("name", "open", "prices")}).as_error()


def test_a_missing_field_is_named() -> None:
    assert explained({}) == {
        "code": "missing_field",
        "message": "This field is required.",
        "field": "shops[2].name",
    }


def test_a_wrong_type_is_told_in_the_words_of_json() -> None:
    assert explained({"name": "a", "prices": [1.0, "CANARY"]}) == {
        "code": "wrong_type",
        "message": "Expected number, found string.",
        "field": "shops[2].prices[1]",
    }


def test_an_unknown_key_is_not_repeated_but_a_near_miss_is_suggested_by_the_known_name() -> None:
    assert explained({"name": "a", "price": []}) == {
        "code": "unknown_field",
        "message": "This object holds a key that is not in the contract. Did you mean prices?",
        "field": "shops[2]",
    }


def test_an_unknown_key_without_a_near_miss_gets_no_suggestion() -> None:
    message = "This object holds a key that is not in the contract."
    assert explained({"name": "a", "CANARY": 1})["message"] == message


def test_a_key_that_is_there_already_is_not_suggested() -> None:
    message = "This object holds a key that is not in the contract."
    assert explained({"name": "a", "prices": [], "price": 1})["message"] == message


def test_words_of_msgspec_that_are_not_known_are_not_passed_on() -> None:
    error = msgspec.ValidationError("Something about CANARY - at `$.name`")
    assert explain(error, {}, "", {}).as_error() == {
        "code": "not_in_contract",
        "message": "This does not follow the contract.",
        "field": "name",
    }


def test_a_refusal_without_a_field_has_none_on_the_wire() -> None:
    assert Refusal("not_found", "There is nothing here.").as_error() == {
        "code": "not_found",
        "message": "There is nothing here.",
    }
