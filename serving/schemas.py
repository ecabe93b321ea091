"""What travels over the wire: the contract's names and types, as msgspec checks them."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Any

import msgspec

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Word = Annotated[str, msgspec.Meta(min_length=1)]
# No Literal: a record of the event log has a plain string here.
Actor = Annotated[str, msgspec.Meta(pattern=r"^(customer|company)\Z")]
Finite = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]


class Touchpoint(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One touchpoint of the contract; times are aware datetimes. `customer_id` may repeat the customer's own."""

    occurred_at: Moment
    channel: Word
    action: Word
    event_id: str | None = None
    recorded_at: Moment | None = None
    actor: Actor = "customer"
    value: Finite | None = None
    campaign: str | None = None
    variant: str | None = None
    conversation_id: str | None = None
    text: str | None = None
    customer_id: str | None = None


class History(msgspec.Struct, forbid_unknown_fields=True):
    """What is known about one customer, in any order."""

    customer_id: Word
    touchpoints: list[Touchpoint]


class ScoreRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The envelope. Customers stay unread here, because a bad one must not cost the others their answer."""

    customers: Annotated[list[Any], msgspec.Meta(min_length=1)]
    as_of: Moment | None = None
    reasons: bool = False
