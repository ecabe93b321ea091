"""Small callers as the CRM systems' documents describe them: each gets what it needs, within its limits.

The limits are those of the vendors' documents: a Salesforce callout waits 10 s; HubSpot signs what it sends and reads
`Retry-After` in milliseconds; Segment numbers its events by `messageId`, sends 500 KB a batch at most, and reads
`Retry-After` in seconds.
"""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from serving.app import make_app
from serving.keys import entry
from serving.scorer import Scorer
from serving.settings import Settings

NOW = datetime(2026, 1, 20, tzinfo=UTC)
KEY = "jc_a-key-for-tests"
SECRET = "hubspot-app-secret"
PUBLIC_URL = "https://scores.example.com"


@pytest.fixture(scope="module")
def scorer(plain_bundle: Path) -> Scorer:
    return Scorer.load(plain_bundle)


@pytest.fixture
def serve(scorer: Scorer, tmp_path: Path) -> Callable[..., TestClient]:
    """The endpoint with a key for some and a signing secret for HubSpot."""
    (tmp_path / "secrets").write_text(f"hubspot hubspot-v3 {SECRET}\n")

    def start(**changed: Any) -> TestClient:
        secrets = {"secret_file": tmp_path / "secrets", "public_url": PUBLIC_URL}
        return TestClient(make_app(scorer, Settings(keys=entry("crm", KEY), **secrets, **changed), now=lambda: NOW))

    return start


class ApexCaller:
    """Salesforce External Services: operations and types from the document, a named credential's header, 10 s."""

    def __init__(self, endpoint: TestClient) -> None:
        self.endpoint = endpoint
        self.document = endpoint.get("/openapi.json", headers={"X-API-Key": KEY}).json()

    def invoke(self, operation_id: str, body: Any) -> Any:
        path, method = next(
            (path, method)
            for path, item in self.document["paths"].items()
            for method, operation in item.items()
            if operation["operationId"] == operation_id
        )
        started = time.monotonic()
        response = self.endpoint.request(method, path, json=body, headers={"X-API-Key": KEY})
        assert time.monotonic() - started < 10
        assert response.status_code == 200, response.text
        assert len(response.content) < 6_000_000  # the heap of a synchronous transaction
        return response.json()


def test_a_salesforce_style_caller_finds_its_operation_and_reads_flat_fields(serve: Callable[..., TestClient]) -> None:
    caller = ApexCaller(serve())
    operations = [operation for item in caller.document["paths"].values() for operation in item.values()]
    assert all(re.fullmatch(r"[A-Za-z]\w*", operation["operationId"]) for operation in operations)
    assert all(len(operation["description"]) <= 1_333 for operation in operations)
    assert "anyOf" not in json.dumps(caller.document)
    visited = {"occurred_at": "2026-01-05T09:30:00.000Z", "channel": "web", "action": "visited"}
    leads = [{"customer_id": f"00Q{i:012}AAA", "touchpoints": [visited] * (i % 3)} for i in range(200)]

    answer = caller.invoke("score", {"customers": leads})

    assert [score["customer_id"] for score in answer["scores"]] == [lead["customer_id"] for lead in leads]
    declared = caller.document["components"]["schemas"]["Score"]["properties"]
    for score in answer["scores"]:
        assert set(score) <= set(declared)
        assert not [value for value in score.values() if isinstance(value, dict)]
        assert score["stage"] in ("new", "active")


class HubSpotCaller:
    """A workflow's webhook: signed with v3 over the public URL, sent again after a 429 or a 5xx, never after a 4xx."""

    def __init__(self, endpoint: TestClient) -> None:
        self.endpoint = endpoint
        self.waited_ms: list[int] = []

    def send(self, contact: Any, clock_ms: int | None = None) -> httpx.Response:
        uri, body = "/score?portalId=62515&source=workflow%3Alead", json.dumps(contact)
        sent_ms = str(clock_ms or int(time.time() * 1000))
        signed = f"POST{PUBLIC_URL}{uri.replace('%3A', ':')}{body}{sent_ms}"
        signature = base64.b64encode(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256)).decode()
        headers = {
            "Content-Type": "application/json",
            "X-HubSpot-Signature-v3": signature,
            "X-HubSpot-Request-Timestamp": sent_ms,
        }
        started = time.monotonic()
        response = self.endpoint.post(uri, content=body, headers=headers)
        assert time.monotonic() - started < 30
        if response.status_code == 429:
            self.waited_ms.append(int(response.headers["Retry-After"]))
            time.sleep(self.waited_ms[-1] / 1000)
            return self.send(contact)
        return response


def contact(number: int) -> Any:
    viewed = {"occurred_at": "2026-01-05T00:00:00Z", "channel": "email", "action": "visited", "event_id": f"h{number}"}
    return {"customers": [{"customer_id": str(number), "touchpoints": [viewed]}]}


def test_a_hubspot_style_caller_is_known_by_its_signature_and_comes_back_when_told(
    serve: Callable[..., TestClient],
) -> None:
    caller = HubSpotCaller(serve(rate_per_s=20, rate_burst=3))
    answers = [caller.send(contact(number)) for number in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 6
    assert caller.waited_ms
    assert max(caller.waited_ms) <= 1_000  # a twentieth of a second; in seconds it would have been read as 1 ms


def test_a_hubspot_style_caller_with_an_old_or_foreign_signature_is_not_let_in(
    serve: Callable[..., TestClient],
) -> None:
    caller = HubSpotCaller(serve())
    assert caller.send(contact(1), clock_ms=int(time.time() * 1000) - 301_000).status_code == 401
    assert caller.endpoint.post("/score", json=contact(1), headers={"X-HubSpot-Signature-v3": "x"}).status_code == 401


CHANNELS = {"page": "web", "screen": "app", "track": "web"}


def touchpoints_of(events: Iterable[Any]) -> Any:
    """What a destination function of Segment or RudderStack makes of its events: one customer's touchpoints each.

    `messageId` dedupes, `timestamp` is when it happened, `receivedAt` when it was known; identify, group and alias say
    who somebody is, not what they did.
    """
    customers: dict[str, list[Any]] = {}
    for event in events:
        if event["type"] not in CHANNELS:
            continue
        touchpoint = {
            "event_id": event["messageId"],
            "occurred_at": event["timestamp"],
            "recorded_at": event["receivedAt"],
            "channel": CHANNELS[event["type"]],
            "action": {"page": "visited", "screen": "visited"}.get(event["type"]) or event["event"],
            "value": event.get("properties", {}).get("revenue"),
            "campaign": event.get("context", {}).get("campaign", {}).get("name"),
        }
        customers.setdefault(event.get("userId") or event["anonymousId"], []).append(touchpoint)
    return {"customers": [{"customer_id": name, "touchpoints": rows} for name, rows in customers.items()]}


def segment_event(number: int, kind: str, user: str, **more: Any) -> Any:
    at = NOW - timedelta(days=10, minutes=number)
    stamp = {"timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    received = (at + timedelta(seconds=2)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"type": kind, "messageId": f"ajs-{number}", "userId": user, "receivedAt": received, **stamp, **more}


def test_a_segment_style_caller_sends_events_and_a_repeated_one_counts_once(serve: Callable[..., TestClient]) -> None:
    endpoint = serve()
    visit = segment_event(1, "page", "u1", context={"campaign": {"name": "spring"}})
    asked = segment_event(2, "track", "u1", event="asked", properties={"revenue": 12.5})
    other = segment_event(3, "screen", "u2")
    who = {"type": "identify", "messageId": "ajs-4", "userId": "u1", "traits": {"email": "someone@example.com"}}

    def scores(*events: Any) -> Any:
        body = json.dumps(touchpoints_of(events)).encode()
        assert len(body) < 500_000
        answer = endpoint.post("/score", content=body, headers={"Content-Type": "application/json", "X-API-Key": KEY})
        assert answer.status_code == 200, answer.text
        return answer.json()["scores"]

    once, repeated = scores(visit, asked, other, who), scores(visit, asked, visit, other, who, asked)
    assert [score["customer_id"] for score in once] == ["u1", "u2"]
    assert once == repeated
    assert once[0] != scores(visit, asked, segment_event(5, "page", "u1"))[0]


def test_a_segment_style_caller_beyond_its_rate_is_told_seconds(serve: Callable[..., TestClient]) -> None:
    endpoint = serve(rate_per_s=0.5, rate_burst=1)
    body = touchpoints_of([segment_event(1, "page", "u1")])
    answers = [endpoint.post("/score", json=body, headers={"X-API-Key": KEY}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert 1 <= int(answers[1].headers["Retry-After"]) <= 2
