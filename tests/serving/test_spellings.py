import json
from datetime import datetime
from pathlib import Path

import pytest

from features.touchpoints import read_touchpoints
from serving.refusal import Refusal
from serving.score_request import Limits, read_score_request
from serving.spellings import needs_respelling, respell_as_of, respell_history

TIMES = [
    "2026-01-31T09:00:00Z",
    "2026-01-31t09:00:00z",
    "2026-01-31 09:00:00+01:00",
    "2026-01-31T09:00:00 UTC",
    "2026-01-31T09:00Z",
    "2026-01-31T09:00+0130",
    "2026-01-31T09:00:00-05",
    " 2026-01-31T09:00:00Z\n",
    "2026-01-31T09:00:00.5Z",
    "2026-01-31T09:00:00.1234567Z",
    "2026-01-31T09:00:00.999999999+02",
    "1969-12-31T23:59:59.9999999Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
]
NO_TIMES = [
    "2026-01-31T09:00:00",
    "2026-01-31T09:00",
    "2026-01-31",
    "2026-01-31T09:00:00.Z",
    "2026-01-31T09:00:00,5Z",
    "2026-01-31T9:00:00Z",
    "2026-01-31T24:00:00Z",
    "2026-01-31T09:00:61Z",
    "2026-02-30T09:00:00Z",
    "2026-01-31T09:00:00+25:00",
    "2026-01-31T09:00:00+1:00",
    "20260131T090000Z",
    "2026-W05-6T09:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-01:00",
    "0000-01-01T00:00:00Z",
    "1769850000",
    "yesterday",
    "",
]


def by_request(row: dict[str, object]) -> datetime | None:
    body = json.dumps({"customers": [{"customer_id": "a", "touchpoints": [row]}]}).encode()
    try:
        return read_score_request(body, Limits(1, 1)).histories[0].touchpoints[0].occurred_at
    except Refusal:
        return None


def by_file(rows: list[dict[str, object]], folder: Path) -> dict[str, datetime]:
    path = folder / "touchpoints.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    frame = read_touchpoints(path, max_reject_share=1.0).frame
    return dict(zip(frame["customer_id"], frame["occurred_at"], strict=True))


def test_a_time_is_read_as_from_a_file_or_refused_as_from_a_file(tmp_path: Path) -> None:
    rows = {time: {"occurred_at": time, "channel": "web", "action": "viewed"} for time in TIMES + NO_TIMES}
    from_requests = {time: by_request(row) for time, row in rows.items()}
    from_file = by_file([row | {"customer_id": f"at {time}"} for time, row in rows.items()], tmp_path)
    assert from_requests == {time: from_file.get(f"at {time}") for time in rows}
    assert [time for time, moment in from_requests.items() if moment is not None] == TIMES


def test_empty_texts_are_null_and_the_actor_has_its_default() -> None:
    touchpoint = {"occurred_at": "2026-01-31T09:00Z", "channel": "", "actor": "", "text": "", "value": None}
    assert respell_history({"customer_id": "a", "touchpoints": [touchpoint, 7]}) == {
        "customer_id": "a",
        "touchpoints": [{"occurred_at": "2026-01-31T09:00:00Z", "channel": "", "text": None, "value": None}, 7],
    }


@pytest.mark.parametrize("sent", [None, [], "a", {"customer_id": "a"}, {"touchpoints": 3}])
def test_what_is_no_history_stays_as_it_is(sent: object) -> None:
    assert respell_history(sent) == sent
    assert respell_as_of(sent) == sent


@pytest.mark.parametrize(
    ("as_of", "respelled"), [("2026-01-31 09:00 UTC", "2026-01-31T09:00:00Z"), ("2026-01-31", "2026-01-31"), (7, 7)]
)
def test_as_of_may_be_spelled_alike(as_of: object, respelled: object) -> None:
    assert respell_as_of({"as_of": as_of}) == {"as_of": respelled}


@pytest.mark.parametrize(
    ("body", "needed"),
    [
        (b'{"text":"a","at":"2026-01-31T09:00:00.123456Z"}', False),
        (b'{"text":"","at":"2026-01-31T09:00:00Z"}', True),
        (b'{"text":"a","at":"2026-01-31T09:00:00.1234567Z"}', True),
    ],
)
def test_only_unusual_bodies_are_respelled(body: bytes, needed: bool) -> None:
    assert needs_respelling(body) is needed
