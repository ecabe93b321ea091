"""A score request, read: what is asked, and which customers cannot be scored and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from serving.json_text import parse
from serving.refusal import Refusal, explain
from serving.schemas import History, ScoreRequest, Touchpoint
from serving.spellings import needs_respelling, respell_as_of, respell_history

_FIRST_TIME, _LAST_TIME = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_ENVELOPE_KEYS = {"": ScoreRequest.__struct_fields__}
_HISTORY_KEYS = {"": History.__struct_fields__, "touchpoints": Touchpoint.__struct_fields__}


@dataclass(frozen=True)
class Limits:
    """How much one request may ask for: `customers`, and `touchpoints` of each."""

    customers: int
    touchpoints: int


@dataclass(frozen=True)
class RefusedCustomer:
    """A customer that cannot be scored; `customer_id` is None where it could not be read."""

    customer_id: str | None
    refusal: Refusal

    def as_row(self) -> dict[str, object]:
        """The customer's place in the answer."""
        row: dict[str, object] = {} if self.customer_id is None else {"customer_id": self.customer_id}
        return row | {"error": self.refusal.as_error()}


@dataclass(frozen=True)
class Asked:
    """What a request asks for. `customers` keeps the order asked; `as_of` is in UTC, None for now."""

    as_of: datetime | None
    reasons: bool
    customers: list[History | RefusedCustomer]

    @property
    def histories(self) -> list[History]:
        return [customer for customer in self.customers if isinstance(customer, History)]


def read_score_request(body: bytes, limits: Limits) -> Asked:
    """Read the body of `POST /score`.

    A fault in one of several customers stays with that customer. Raises Refusal for a fault of the request as a whole,
    and for the fault of an only customer.
    """
    document = parse(body)
    respell = needs_respelling(body)
    request = _read_envelope(document, limits)
    may_hold_nul = b"\\u0000" in body  # JSON knows no other way to write one
    customers = [
        _read_customer(sent, f"customers[{i}]", limits, respell, may_hold_nul)
        for i, sent in enumerate(request.customers)
    ]
    if len(customers) == 1 and isinstance(customers[0], RefusedCustomer):
        raise customers[0].refusal
    return Asked(request.as_of, request.reasons, customers)


def _read_envelope(document: object, limits: Limits) -> ScoreRequest:
    sent = respell_as_of(document)
    try:
        request = msgspec.convert(sent, ScoreRequest)
    except msgspec.ValidationError as error:
        raise explain(error, sent, "", _ENVELOPE_KEYS) from None
    if len(request.customers) > limits.customers:
        raise Refusal("too_many_customers", f"One request holds at most {limits.customers} customers.", "customers")
    if request.as_of is not None:
        if not _FIRST_TIME <= request.as_of <= _LAST_TIME:
            raise _out_of_range("as_of")
        request.as_of = request.as_of.astimezone(UTC)
    return request


def _read_customer(
    sent: object, path: str, limits: Limits, respell: bool, may_hold_nul: bool
) -> History | RefusedCustomer:
    try:
        _check_length(sent, path, limits)
        history = _convert(sent, path, respell)
        _check_touchpoints(history, path)
        if may_hold_nul:
            _check_nul(history, path)
    except Refusal as refusal:
        return RefusedCustomer(_customer_id(sent), refusal)
    return history


def _convert(sent: object, path: str, respell: bool) -> History:
    """Convert as sent or, where that fails or would differ from files, in the wire's spelling: most need none."""
    if not respell:
        try:
            return msgspec.convert(sent, History)
        except msgspec.ValidationError:
            pass
    respelled = respell_history(sent)
    try:
        return msgspec.convert(respelled, History)
    except msgspec.ValidationError as error:
        raise explain(error, respelled, path, _HISTORY_KEYS) from None


def _check_length(sent: Any, path: str, limits: Limits) -> None:
    touchpoints = sent.get("touchpoints") if isinstance(sent, dict) else None
    if isinstance(touchpoints, list) and len(touchpoints) > limits.touchpoints:
        message = f"One customer has at most {limits.touchpoints} touchpoints."
        raise Refusal("too_many_touchpoints", message, f"{path}.touchpoints")


def _check_touchpoints(history: History, path: str) -> None:
    for i, touchpoint in enumerate(history.touchpoints):
        if touchpoint.customer_id is not None and touchpoint.customer_id != history.customer_id:
            field = f"{path}.touchpoints[{i}].customer_id"
            raise Refusal("other_customer", "This touchpoint belongs to another customer.", field)
        if not _FIRST_TIME <= touchpoint.occurred_at <= _LAST_TIME:
            raise _out_of_range(f"{path}.touchpoints[{i}].occurred_at")
        if touchpoint.recorded_at is not None and not _FIRST_TIME <= touchpoint.recorded_at <= _LAST_TIME:
            raise _out_of_range(f"{path}.touchpoints[{i}].recorded_at")


def _out_of_range(field: str) -> Refusal:
    return Refusal("bad_time", "In UTC this is before year 1 or after year 9999.", field)


def _check_nul(history: History, path: str) -> None:
    objects = [(path, history), *((f"{path}.touchpoints[{i}]", row) for i, row in enumerate(history.touchpoints))]
    for at, struct in objects:
        for name in struct.__struct_fields__:
            value = getattr(struct, name)
            if isinstance(value, str) and "\0" in value:
                raise Refusal("nul_character", "This holds a NUL character.", f"{at}.{name}")


def _customer_id(sent: Any) -> str | None:
    customer_id = sent.get("customer_id") if isinstance(sent, dict) else None
    return customer_id if isinstance(customer_id, str) and customer_id and "\0" not in customer_id else None
