import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from starlette.testclient import TestClient

from features.errors import BadEnvironment
from features.event_log import TouchpointRecord, from_us
from serving.app import make_app
from serving.settings import Settings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TOUCHPOINT = {"occurred_at": "2026-01-31T09:00:00Z", "channel": "web", "action": "viewed"}
JSON = {"Content-Type": "application/json"}


CONVERSION = "conversion_30d"


class CountingScorer:
    """Scores by the number of touchpoints; a customer's id may ask for trouble."""

    model_version = "v7"
    messages_read = (0, 0)

    def describe(self) -> dict[str, Any]:
        return {"model_version": "v7", "features": 1}

    def is_quick(self, histories: Sequence[tuple[str, Sequence[TouchpointRecord]]]) -> bool:
        return bool(histories) and histories[0][0] == "quick"

    def score_histories(
        self,
        histories: Sequence[tuple[str, Sequence[TouchpointRecord]]],
        as_of_us: int | Sequence[int],
        reasons: bool = False,
    ) -> list[dict[str, object]]:
        moments_us = [as_of_us] * len(histories) if isinstance(as_of_us, int) else as_of_us
        asked = zip(histories, moments_us, strict=True)
        rows = [self._row(customer_id, len(touchpoints), moment_us) for (customer_id, touchpoints), moment_us in asked]
        if reasons:
            rows = [row | {"reasons": [{"feature": "touchpoints", "effect": 0.5}]} for row in rows]
        return rows[:-1] if histories[-1][0] == "lost" else rows

    def _row(self, customer_id: str, touchpoints: int, as_of_us: int) -> dict[str, object]:
        if customer_id == "explode":
            raise ValueError(f"CANARY {customer_id}")
        if customer_id == "unembedded":
            raise BadEnvironment("no_embedder", "CANARY")
        if customer_id == "slow":
            time.sleep(0.2)
        return {
            "customer_id": customer_id,
            "as_of": from_us(as_of_us),
            "stage": "awareness",
            "conversion_30d": {"nan": float("nan"), "inf": float("inf")}.get(customer_id, touchpoints / 100),
            "plausible_stages": ["awareness"],
            "reliability": "ok" if touchpoints else "no_data",
            "model_version": "v7",
        }


def client(**changed: Any) -> TestClient:
    return TestClient(make_app(CountingScorer(), Settings(**changed), now=lambda: NOW))


@pytest.fixture(scope="module")
def endpoint() -> TestClient:
    return client(body_limit_bytes=100_000, max_customers=5, max_touchpoints=3)


def post(endpoint: TestClient, body: Any, headers: dict[str, str] = JSON) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return endpoint.post("/score", content=content, headers=headers)


def customer(customer_id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"customer_id": customer_id, "touchpoints": [TOUCHPOINT | fields]}


def row(customer_id: str, touchpoints: int, as_of: str = "2026-03-01T00:00:00Z") -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "as_of": as_of,
        "stage": "awareness",
        "conversion_30d": touchpoints / 100,
        "plausible_stages": ["awareness"],
        "reliability": "ok" if touchpoints else "no_data",
        "model_version": "v7",
    }


def test_one_customer_is_scored_now(endpoint: TestClient) -> None:
    response = post(endpoint, {"customers": [customer()]})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == {"model_version": "v7", "as_of": "2026-03-01T00:00:00Z", "scores": [row("a", 1)]}


def test_one_customer_is_scored_as_of_a_given_time_with_reasons(endpoint: TestClient) -> None:
    response = post(endpoint, {"as_of": "2026-02-01T01:00:00.5+01:00", "reasons": True, "customers": [customer()]})
    as_of = "2026-02-01T00:00:00.500000Z"
    assert response.json() == {
        "model_version": "v7",
        "as_of": as_of,
        "scores": [row("a", 1, as_of) | {"reasons": [{"feature": "touchpoints", "effect": 0.5}]}],
    }


def test_an_empty_history_is_scored_as_no_data(endpoint: TestClient) -> None:
    response = post(endpoint, {"customers": [{"customer_id": "a", "touchpoints": []}]})
    assert (response.status_code, response.json()["scores"]) == (200, [row("a", 0)])


def test_bad_rows_of_a_list_get_errors_and_none_is_lost(endpoint: TestClient) -> None:
    response = post(endpoint, {"customers": [customer("b"), customer("a", value="12"), 7, customer("a")]})
    number = {"code": "wrong_type", "message": "Expected number or null, found string."}
    assert response.status_code == 200
    assert response.json()["scores"] == [
        row("b", 1),
        {"customer_id": "a", "error": number | {"field": "customers[1].touchpoints[0].value"}},
        {"error": {"code": "wrong_type", "message": "Expected object, found integer.", "field": "customers[2]"}},
        row("a", 1),
    ]


def test_a_list_of_bad_rows_only_is_still_a_list(endpoint: TestClient) -> None:
    response = post(endpoint, {"customers": [7, customer("a", value=True)]})
    assert (response.status_code, len(response.json()["scores"])) == (200, 2)


def test_a_long_list_is_scored_in_slices_and_keeps_its_order() -> None:
    customers = [{"customer_id": str(i), "touchpoints": [TOUCHPOINT] * (i % 3)} for i in range(1_000)]
    response = post(client(customers_at_once=7), {"customers": customers})
    assert response.json()["scores"] == [row(str(i), i % 3) for i in range(1_000)]


def one(fields: bytes, customer_id: bytes = b"CANARY") -> bytes:
    """The body of a request for one customer with one touchpoint that has these fields besides the required ones."""
    required = b'"occurred_at":"2026-01-31T09:00:00Z","channel":"web","action":"viewed"'
    return b'{"customers":[{"customer_id":"%s","touchpoints":[{%s,%s}]}]}' % (customer_id, required, fields)


NO_TOUCHPOINTS = b'{"customer_id":"CANARY","touchpoints":[]}'
BAD_BODIES = [
    (422, "not_finite", one(b'"value":NaN')),
    (422, "not_finite", one(b'"value":Infinity')),
    (422, "not_finite", one(b'"value":-Infinity')),
    (422, "not_finite", one(b'"value":1e999')),
    (422, "unknown_field", one(b'"CANARY":1')),
    (422, "unknown_field", b'{"CANARY":1,"customers":[%s]}' % NO_TOUCHPOINTS),
    (422, "unknown_field", b'{"customers":[{"customer_id":"a","touchpoints":[],"CANARY":1}]}'),
    (422, "wrong_type", one(b'"value":"12"')),
    (422, "wrong_type", one(b'"value":true')),
    (422, "wrong_type", b'["CANARY"]'),
    (422, "not_allowed", one(b'"actor":"CANARY"')),
    (422, "nul_character", one(b'"value":1', customer_id=b"CANARY\\u0000")),
    (422, "naive_time", b'{"as_of":"2026-01-31T09:00:00","customers":[%s]}' % NO_TOUCHPOINTS),
    (422, "bad_time", b'{"as_of":"CANARY","customers":[%s]}' % NO_TOUCHPOINTS),
    (422, "empty", b'{"customers":[]}'),
    (400, "duplicate_key", one(b'"text":"CANARY","text":"CANARY"')),
    (400, "duplicate_key", b'{"customers":[],"customers":[%s]}' % NO_TOUCHPOINTS),
    (400, "malformed_json", b""),
    (400, "malformed_json", one(b'"text":"CANARY"')[:-1]),
    (400, "malformed_json", one(b'"text":"CANARY \xff"')),
    (400, "malformed_json", b"\xef\xbb\xbf" + one(b'"text":"CANARY"')),
    (400, "malformed_json", one(b'"text":"CANARY"').decode().encode("utf-16")),
    (400, "malformed_json", one(b'"text":"CANARY \\ud800"')),
    (400, "malformed_json", one(b'"text":' + b"[" * 40_000)),
    (400, "malformed_json", one(b'"text":' + b"[" * 40_000 + b"]" * 40_000)),
    (400, "malformed_json", one(b'"value":' + b"1" * 5_000)),
    (413, "too_many_customers", b'{"customers":[%s]}' % b",".join([NO_TOUCHPOINTS] * 6)),
    (413, "too_many_touchpoints", b'{"customers":[{"customer_id":"CANARY","touchpoints":[{},{},{},{}]}]}'),
    (413, "body_too_large", one(b'"text":"CANARY"') + b" " * 100_000),
]


@pytest.mark.parametrize(("status", "code", "body"), BAD_BODIES)
def test_a_bad_body_has_its_status_and_is_not_repeated(
    endpoint: TestClient, caplog: pytest.LogCaptureFixture, status: int, code: str, body: bytes
) -> None:
    response = post(endpoint, body)
    error = response.json()
    assert (response.status_code, error["code"], error["request_id"]) == (
        status,
        code,
        response.headers["x-request-id"],
    )
    assert set(error) - {"field"} == {"code", "message", "request_id"}
    assert "CANARY" not in response.text
    assert caplog.text == ""


def test_an_unknown_key_that_comes_close_gets_the_known_name(endpoint: TestClient) -> None:
    error = post(endpoint, one(b'"valeu":1')).json()
    assert (error["field"], error["message"]) == (
        "customers[0].touchpoints[0]",
        "This object holds a key that is not in the contract. Did you mean value?",
    )


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        ("unsupported_media_type", {}),
        ("unsupported_media_type", {"Content-Type": "text/plain"}),
        ("unsupported_media_type", {"Content-Type": "application/xml"}),
        ("unsupported_media_type", {"Content-Type": "application/jsonp"}),
        ("unsupported_media_type", {"Content-Type": "application/json; charset=latin-1"}),
        ("unsupported_media_type", {"Content-Type": "application/vnd.bentoml+pickle"}),
        ("unsupported_encoding", JSON | {"Content-Encoding": "gzip"}),
    ],
)
def test_another_content_type_or_encoding_is_415(endpoint: TestClient, code: str, headers: dict[str, str]) -> None:
    response = post(endpoint, {"customers": [customer()]}, headers)
    assert (response.status_code, response.json()["code"]) == (415, code)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
def test_json_may_say_that_it_is_utf_8(endpoint: TestClient, content_type: str) -> None:
    assert post(endpoint, {"customers": [customer()]}, {"Content-Type": content_type}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/score", 405, "POST"),
        ("OPTIONS", "/score", 405, "POST"),
        ("GET", "/explain", 405, "POST"),
        ("POST", "/model", 405, "GET HEAD"),
        ("DELETE", "/livez", 405, "GET HEAD"),
        ("POST", "/readyz", 405, "GET HEAD"),
        ("POST", "/metrics", 405, "GET HEAD"),
        ("POST", "/", 405, "GET HEAD"),
        ("GET", "/index.html", 404, None),
        ("POST", "/score/", 404, None),
        ("GET", "/CANARY", 404, None),
        ("GET", "/../etc/passwd", 404, None),
        ("GET", "/docs.json", 404, None),
    ],
)
def test_another_method_or_path_is_refused(
    endpoint: TestClient, method: str, path: str, status: int, allow: str | None
) -> None:
    response = endpoint.request(method, path)
    allowed = response.headers.get("allow")
    assert (response.status_code, allowed and set(allowed.split(", "))) == (status, allow and set(allow.split()))
    assert response.json()["code"] == {405: "method_not_allowed", 404: "not_found"}[status]
    assert "CANARY" not in response.text


@pytest.mark.parametrize(
    ("customer_id", "status", "code"),
    [
        ("nan", 500, "internal_error"),
        ("inf", 500, "internal_error"),
        ("lost", 500, "internal_error"),
        ("explode", 500, "internal_error"),
        ("unembedded", 503, "not_ready"),
    ],
)
def test_an_unsound_answer_is_no_answer(
    endpoint: TestClient, caplog: pytest.LogCaptureFixture, customer_id: str, status: int, code: str
) -> None:
    response = post(endpoint, {"customers": [customer(), customer(customer_id)]})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert (len(caplog.records), caplog.records[0].levelname) == (1, "ERROR")
    assert "CANARY" not in response.text + caplog.text


def test_a_request_past_its_deadline_is_504_and_the_next_is_answered() -> None:
    endpoint = client(deadline_s=0.05)
    response = post(endpoint, {"customers": [customer("slow")]})
    assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")
    time.sleep(0.2)
    assert post(endpoint, {"customers": [customer()]}).status_code == 200


def test_a_long_list_whose_customers_are_slow_ends_at_its_deadline_and_frees_the_thread() -> None:
    endpoint = client(deadline_s=1.0)
    started = time.monotonic()
    response = post(endpoint, {"customers": [customer("slow")] * 50})
    assert response.status_code == 504
    assert post(endpoint, {"customers": [customer()]}).status_code == 200
    assert time.monotonic() - started < 3.0  # not fifty times 0.2 s


def test_what_is_quick_is_scored_at_once_unless_the_scoring_thread_is_at_work() -> None:
    threads: list[str] = []

    class Noting(CountingScorer):
        def score_histories(self, histories: Any, as_of_us: Any, reasons: bool = False) -> list[dict[str, object]]:
            threads.append(f"{histories[0][0]} in {threading.current_thread().name.partition('_')[0]}")
            return super().score_histories(histories, as_of_us, reasons)

    async def ask() -> None:
        app = make_app(Noting(), Settings(), now=lambda: NOW)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://endpoint") as caller:

            async def score(customer_id: str) -> None:
                body = json.dumps({"customers": [customer(customer_id)]})
                assert (await caller.post("/score", content=body, headers=JSON)).status_code == 200

            await score("quick")
            slow = asyncio.create_task(score("slow"))
            await asyncio.sleep(0.05)
            await score("quick")
            await slow
            await score("quick")

    asyncio.run(ask())
    here = threading.current_thread().name.partition("_")[0]
    expected = [f"quick in {here}", "slow in scoring", "quick in scoring", f"quick in {here}"]
    assert threads[1:] == expected  # the first is the golden request


def test_quick_requests_at_the_same_time_are_scored_together_each_at_its_own_moment() -> None:
    together: list[int] = []

    class Noting(CountingScorer):
        def score_histories(self, histories: Any, as_of_us: Any, reasons: bool = False) -> list[dict[str, object]]:
            together.append(len(histories))
            return super().score_histories(histories, as_of_us, reasons)

    async def ask() -> list[dict[str, Any]]:
        app = make_app(Noting(), Settings(), now=lambda: NOW)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://endpoint") as caller:

            async def score(day: int, touchpoints: int) -> dict[str, Any]:
                asked = {"customer_id": "quick", "touchpoints": customer()["touchpoints"] * touchpoints}
                body = json.dumps({"customers": [asked], "as_of": f"2026-02-0{day}T00:00:00Z"})
                answer = (await caller.post("/score", content=body, headers=JSON)).json()
                return {"day": answer["as_of"], **{name: answer["scores"][0][name] for name in ("as_of", CONVERSION)}}

            return await asyncio.gather(score(1, 3), score(2, 1), score(3, 2))

    days = [f"2026-02-0{day}T00:00:00Z" for day in (1, 2, 3)]
    chances = [0.03, 0.01, 0.02]
    assert asyncio.run(ask()) == [
        {"day": day, "as_of": day, CONVERSION: chance} for day, chance in zip(days, chances, strict=True)
    ]
    assert together == [2, 3]  # the first is the golden request


def test_explain_gives_reasons_without_being_asked_for_them(endpoint: TestClient) -> None:
    body = json.dumps({"customers": [customer()]}).encode()
    scores = endpoint.post("/explain", content=body, headers=JSON).json()["scores"]
    assert scores == [row("a", 1) | {"reasons": [{"feature": "touchpoints", "effect": 0.5}]}]


def test_while_draining_it_is_live_and_answers_but_is_not_ready_and_keeps_no_connection() -> None:
    app = make_app(CountingScorer(), Settings(), now=lambda: NOW)
    app.state.endpoint.drain()
    endpoint = TestClient(app)
    answers = [endpoint.get("/readyz"), endpoint.get("/livez"), post(endpoint, {"customers": [customer()]})]
    assert [answer.status_code for answer in answers] == [503, 200, 200]
    assert [answer.headers["connection"] for answer in answers] == ["close"] * 3
    assert (answers[0].json()["code"], answers[0].headers["retry-after"]) == ("draining", "5")


def test_too_many_requests_at_once_are_told_to_come_back_and_the_others_are_answered() -> None:
    async def ask() -> list[httpx.Response]:
        app = make_app(CountingScorer(), Settings(requests_at_once=2), now=lambda: NOW)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://endpoint") as caller:
            body = json.dumps({"customers": [customer("slow")]})
            first = await asyncio.gather(*(caller.post("/score", content=body, headers=JSON) for _ in range(5)))
            return [*first, await caller.post("/score", content=body, headers=JSON)]

    responses = asyncio.run(ask())
    assert sorted(response.status_code for response in responses[:5]) == [200, 200, 503, 503, 503]
    refused = [response for response in responses if response.status_code == 503]
    assert {(r.json()["code"], r.headers["retry-after"]) for r in refused} == {("overloaded", "1")}
    assert responses[5].status_code == 200


def test_bodies_that_wait_together_have_a_limit_and_stalled_ones_take_no_place_of_a_request() -> None:
    async def ask() -> list[int]:
        settings = Settings(requests_at_once=1, bodies_limit_bytes=300, body_timeout_s=0.2)
        app = make_app(CountingScorer(), settings, now=lambda: NOW)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://endpoint") as caller:
            waiting = [asyncio.create_task(caller.post("/score", content=stalled(), headers=JSON)) for _ in range(5)]
            await asyncio.sleep(0.05)
            one = await caller.post("/score", content=json.dumps({"customers": [customer()]}), headers=JSON)
            large = await caller.post("/score", content=b" " * 250, headers=JSON)
            return [one.status_code, large.status_code, *[(await task).status_code for task in waiting]]

    assert asyncio.run(ask()) == [200, 503, 408, 408, 408, 408, 408]


def test_a_caller_beyond_the_rate_is_429_and_hubspot_reads_milliseconds() -> None:
    endpoint = client(rate_per_s=0.5, rate_burst=1)
    body = {"customers": [customer()]}
    assert post(endpoint, body).status_code == 200
    refused = post(endpoint, body)
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, "rate_limited", "2")
    hubspot = post(endpoint, body, JSON | {"X-HubSpot-Signature-v3": "x"})
    assert 1_000 < int(hubspot.headers["retry-after"]) <= 2_000


def test_a_request_sent_again_under_its_key_is_answered_as_before() -> None:
    times = iter([NOW, NOW.replace(year=2027)])
    endpoint = TestClient(make_app(CountingScorer(), Settings(), now=lambda: next(times)))
    keyed = JSON | {"Idempotency-Key": "call-1"}
    first, second = (post(endpoint, {"customers": [customer()]}, keyed) for _ in range(2))
    assert first.content == second.content
    assert ("idempotent-replayed" in first.headers, second.headers["idempotent-replayed"]) == (False, "true")
    other = post(endpoint, {"customers": [customer("b")]}, keyed)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    assert post(endpoint, {"customers": [customer()]}).json()["as_of"] == "2027-03-01T00:00:00Z"


def sent_in_pieces(body: AsyncIterator[bytes], **changed: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(CountingScorer(), Settings(**changed), now=lambda: NOW))
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint") as caller:
            return await caller.post("/score", content=body, headers=JSON)

    return asyncio.run(send())


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b" " * 1_000


async def stalled() -> AsyncIterator[bytes]:
    yield b'{"customers":'
    await asyncio.sleep(60)


async def unhurried() -> AsyncIterator[bytes]:
    for byte in json.dumps({"customers": [customer()]}).encode():
        yield bytes([byte])


def test_a_body_without_end_is_cut_off_at_the_limit() -> None:
    response = sent_in_pieces(endless(), body_limit_bytes=100_000)
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def test_a_body_that_stalls_is_408() -> None:
    response = sent_in_pieces(stalled(), body_timeout_s=0.05)
    assert (response.status_code, response.json()["code"]) == (408, "body_timeout")


def test_a_body_may_come_byte_by_byte() -> None:
    assert sent_in_pieces(unhurried()).json()["scores"] == [row("a", 1)]


def test_a_body_of_exactly_the_limit_is_read() -> None:
    body = json.dumps({"customers": [customer()]}).encode()
    assert post(client(body_limit_bytes=len(body)), body).status_code == 200
    assert post(client(body_limit_bytes=len(body) - 1), body).status_code == 413


def test_a_large_body_is_read_in_the_scoring_thread_with_the_same_result() -> None:
    request = {"customers": [customer("a", text="b" * 70_000), customer("c", value="12")]}
    scores = post(client(), request).json()["scores"]
    assert [scores[0], scores[1]["error"]["code"]] == [row("a", 1), "wrong_type"]


def test_the_model_describes_itself(endpoint: TestClient) -> None:
    assert endpoint.get("/model").json() == {"model_version": "v7", "features": 1}


def test_the_endpoint_is_live_and_ready(endpoint: TestClient) -> None:
    assert endpoint.get("/livez").json() == {"status": "live"}
    assert endpoint.get("/readyz").json() == {"status": "ready", "model_version": "v7"}


def test_without_a_model_the_endpoint_is_live_but_not_ready() -> None:
    endpoint = TestClient(make_app(None, Settings()))
    answers = [endpoint.get("/readyz"), endpoint.get("/model"), post(endpoint, {"customers": [customer()]})]
    assert endpoint.get("/livez").status_code == 200
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(503, "not_ready")] * 3


def test_a_scorer_that_fails_the_golden_request_leaves_the_old_one_in_place() -> None:
    class Unsound(CountingScorer):
        model_version = "v8"

        def score_histories(self, *_: Any, **__: Any) -> list[dict[str, object]]:
            return [{"conversion_30d": 0.5}, {"conversion_30d": float("nan")}]

    app = make_app(CountingScorer(), Settings())
    with pytest.raises(ArithmeticError, match="not a finite number"):
        app.state.endpoint.install(Unsound())
    assert TestClient(app).get("/readyz").json()["model_version"] == "v7"


def test_a_new_scorer_takes_over() -> None:
    class Newer(CountingScorer):
        model_version = "v8"

    app = make_app(CountingScorer(), Settings())
    app.state.endpoint.install(Newer())
    assert TestClient(app).get("/readyz").json()["model_version"] == "v8"


def test_a_caller_who_leaves_is_not_a_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Any] = []

    async def leave() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def collect(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/score", "headers": headers, "query_string": b""}
    asyncio.run(make_app(CountingScorer(), Settings())(scope, leave, collect))
    assert sent[0]["status"] == 400
    assert caplog.text == ""


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 11).flatmap(lambda draw: odd if draw == 11 else usual)


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.none(), max_size=2),
    st.sampled_from(["", "\0", "\ud800", "2026-01-31", "9999-12-31T23:59:59-14:00", 10**400, {"deep": {}}]),
)
words = mostly(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), odd)
times = mostly(st.datetimes(timezones=st.just(UTC)).map(str), odd)
optional_fields = {
    "event_id": words,
    "recorded_at": times,
    "actor": mostly(st.sampled_from(["customer", "company"]), odd),
    "value": mostly(st.floats(allow_nan=False, allow_infinity=False), odd),
    "text": words,
}
touchpoints = st.fixed_dictionaries({"occurred_at": times, "channel": words, "action": words}, optional=optional_fields)
customers = st.fixed_dictionaries(
    {"customer_id": words, "touchpoints": mostly(st.lists(mostly(touchpoints, odd), max_size=3), odd)}
)
requests = st.fixed_dictionaries(
    {"customers": mostly(st.lists(mostly(customers, odd), min_size=1, max_size=5), odd)},
    optional={"as_of": times, "reasons": mostly(st.booleans(), odd)},
)
edits = mostly(st.just([]), st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=3)), max_size=3))


def edited(body: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    for place, piece in edits:
        at = place % (len(body) + 1)
        body = body[:at] + piece + body[at + 1 :]
    return body


@examples(max_examples=300)
@given(requests, edits)
def test_whatever_comes_gets_an_answer_in_json_and_never_a_fault_of_ours(
    endpoint: TestClient, request: Any, edits: list[tuple[int, bytes]]
) -> None:
    response = post(endpoint, edited(json.dumps(request).encode(), edits))
    answer = response.json()
    assert response.status_code in {200, 400, 413, 422}
    if response.status_code != 200:
        assert set(answer) - {"field"} == {"code", "message", "request_id"}
    else:
        assert all("error" in score or 0 <= score["conversion_30d"] <= 1 for score in answer["scores"])
