import json
from datetime import UTC, datetime
from typing import Any

import pytest

from serving.refusal import Refusal
from serving.schemas import History, Touchpoint
from serving.score_request import Asked, Limits, RefusedCustomer, read_score_request

LIMITS = Limits(customers=3, touchpoints=2)
TOUCHPOINT = {"occurred_at": "2026-01-31T09:00:00Z", "channel": "web", "action": "viewed"}


def read(request: Any) -> Asked:
    return read_score_request(json.dumps(request).encode(), LIMITS)


def with_touchpoint(**fields: Any) -> dict[str, Any]:
    return {"customers": [{"customer_id": "a", "touchpoints": [TOUCHPOINT, TOUCHPOINT | fields]}]}


def refused(request: Any) -> tuple[str, str | None]:
    with pytest.raises(Refusal) as caught:
        read(request)
    return caught.value.code, caught.value.field


def test_a_request_is_read_into_histories() -> None:
    fields = {"event_id": "e1", "recorded_at": "2026-02-01T00:00:00+01:00", "actor": "company", "value": 3}
    words = {"campaign": "spring", "variant": "b", "conversation_id": "c1", "text": "Hello.", "customer_id": "a"}
    asked = read({"as_of": "2026-03-01T01:00:00+01:00", "reasons": True} | with_touchpoint(**fields, **words))
    nine = datetime(2026, 1, 31, 9, tzinfo=UTC)
    full = Touchpoint(
        nine,
        "web",
        "viewed",
        "e1",
        datetime(2026, 1, 31, 23, tzinfo=UTC),
        "company",
        3.0,
        "spring",
        "b",
        "c1",
        "Hello.",
        "a",
    )
    assert asked == Asked(
        as_of=datetime(2026, 3, 1, tzinfo=UTC),
        reasons=True,
        customers=[History("a", [Touchpoint(nine, "web", "viewed"), full])],
    )


def test_what_is_not_given_has_the_defaults_of_the_contract() -> None:
    asked = read({"customers": [{"customer_id": "a", "touchpoints": []}]})
    assert asked == Asked(as_of=None, reasons=False, customers=[History("a", [])])


@pytest.mark.parametrize(
    "fields", [{name: None for name in Touchpoint.__struct_fields__[3:]}, {"actor": "", "campaign": ""}]
)
def test_null_and_empty_count_as_not_given(fields: dict[str, Any]) -> None:
    first, second = read(with_touchpoint(**fields)).histories[0].touchpoints
    assert first == second


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"value": "12"}, "wrong_type", "value"),
        ({"value": True}, "wrong_type", "value"),
        ({"value": float("nan")}, "not_finite", "value"),
        ({"value": float("-inf")}, "not_finite", "value"),
        ({"value": 10**400}, "not_finite", "value"),
        ({"channel": None}, "wrong_type", "channel"),
        ({"channel": ""}, "empty", "channel"),
        ({"channel": ["web"]}, "wrong_type", "channel"),
        ({"action": 7}, "wrong_type", "action"),
        ({"actor": "CANARY"}, "not_allowed", "actor"),
        ({"actor": "company\n"}, "not_allowed", "actor"),
        ({"event_id": 12}, "wrong_type", "event_id"),
        ({"occurred_at": "2026-01-31T09:00:00"}, "naive_time", "occurred_at"),
        ({"recorded_at": "2026-01-31 09:00"}, "naive_time", "recorded_at"),
        ({"occurred_at": 1769850000}, "wrong_type", "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "bad_time", "occurred_at"),
        ({"recorded_at": "9999-12-31T23:59:59-01:00"}, "bad_time", "recorded_at"),
        ({"event_id": "a\0b"}, "nul_character", "event_id"),
        ({"text": "a\0b"}, "nul_character", "text"),
        ({"customer_id": "b"}, "other_customer", "customer_id"),
    ],
)
def test_a_bad_value_is_refused_by_the_path_of_its_field(fields: dict[str, Any], code: str, field: str) -> None:
    assert refused(with_touchpoint(**fields)) == (code, f"customers[0].touchpoints[1].{field}")


@pytest.mark.parametrize("field", ["occurred_at", "channel", "action"])
def test_a_required_field_must_be_there(field: str) -> None:
    touchpoint = {name: value for name, value in TOUCHPOINT.items() if name != field}
    request = {"customers": [{"customer_id": "a", "touchpoints": [touchpoint]}]}
    assert refused(request) == ("missing_field", f"customers[0].touchpoints[0].{field}")


@pytest.mark.parametrize(
    ("customer", "code", "field"),
    [
        ({"touchpoints": []}, "missing_field", "customers[0].customer_id"),
        ({"customer_id": "a"}, "missing_field", "customers[0].touchpoints"),
        ({"customer_id": "", "touchpoints": []}, "empty", "customers[0].customer_id"),
        ({"customer_id": 12, "touchpoints": []}, "wrong_type", "customers[0].customer_id"),
        ({"customer_id": "a\0", "touchpoints": []}, "nul_character", "customers[0].customer_id"),
        ({"customer_id": "a", "touchpoints": None}, "wrong_type", "customers[0].touchpoints"),
        ({"customer_id": "a", "touchpoints": [7]}, "wrong_type", "customers[0].touchpoints[0]"),
        ({"customer_id": "a", "touchpoints": [], "CANARY": 1}, "unknown_field", "customers[0]"),
        ({"customer_id": "a", "touchpoints": [TOUCHPOINT] * 3}, "too_many_touchpoints", "customers[0].touchpoints"),
        ("a", "wrong_type", "customers[0]"),
    ],
)
def test_the_fault_of_an_only_customer_is_the_requests(customer: Any, code: str, field: str) -> None:
    assert refused({"customers": [customer]}) == (code, field)


@pytest.mark.parametrize(
    ("request_", "code", "field"),
    [
        ([], "wrong_type", None),
        (None, "wrong_type", None),
        ({}, "missing_field", "customers"),
        ({"customers": []}, "empty", "customers"),
        ({"customers": "a"}, "wrong_type", "customers"),
        ({"customers": ["a"], "as_off": "2026-01-31T09:00:00Z"}, "unknown_field", None),
        ({"customers": ["a"], "as_of": "2026-01-31T09:00:00"}, "naive_time", "as_of"),
        ({"customers": ["a"], "as_of": "0001-01-01T00:00:00+01:00"}, "bad_time", "as_of"),
        ({"customers": ["a"], "reasons": 1}, "wrong_type", "reasons"),
        ({"customers": ["a"] * 4}, "too_many_customers", "customers"),
    ],
)
def test_a_fault_of_the_envelope_is_the_requests(request_: Any, code: str, field: str | None) -> None:
    assert refused(request_) == (code, field)


def test_a_bad_customer_among_others_keeps_its_place_and_its_id() -> None:
    good = {"customer_id": "a", "touchpoints": []}
    bad = {"customer_id": "b", "touchpoints": [TOUCHPOINT | {"value": "12"}]}
    asked = read({"customers": [bad, good, {"customer_id": "c\0", "touchpoints": []}]})
    assert asked.histories == [History("a", [])]
    assert [customer.as_row() for customer in asked.customers if isinstance(customer, RefusedCustomer)] == [
        {
            "customer_id": "b",
            "error": {
                "code": "wrong_type",
                "message": "Expected number or null, found string.",
                "field": "customers[0].touchpoints[0].value",
            },
        },
        {
            "error": {
                "code": "nul_character",
                "message": "This holds a NUL character.",
                "field": "customers[2].customer_id",
            },
        },
    ]


def test_a_customer_may_come_twice() -> None:
    asked = read({"customers": [{"customer_id": "a", "touchpoints": []}] * 2})
    assert asked.histories == [History("a", []), History("a", [])]
