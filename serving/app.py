"""The endpoint's transport, and nothing else: HTTP in, the scorer's answers out."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar, TypeVarTuple

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from features.errors import BadEnvironment
from features.event_log import TouchpointRecord, to_us
from serving.answers import Sealed, answer, logger, refuse
from serving.body import read_body, require_json
from serving.drain import drain_on_sigterm
from serving.gate import Gate
from serving.idempotency import Answered
from serving.limits import Budget
from serving.metrics import Metrics, Timed
from serving.openapi import describe_api
from serving.page import page
from serving.refusal import Refusal
from serving.schemas import Touchpoint
from serving.score_request import Asked, Limits, RefusedCustomer, read_score_request
from serving.settings import Settings
from serving.slices import FIRST_SLICE, next_slice
from serving.together import Together

Row = dict[str, object]
Quick = tuple[str, Sequence[TouchpointRecord], int]  # a customer's id, touchpoints and as_of in UTC microseconds
Ts = TypeVarTuple("Ts")
T = TypeVar("T")

# Reading a body this small takes less time than handing it to another thread.
_READ_AT_ONCE_BYTES = 65_536
_GOLDEN_AS_OF = datetime(2026, 1, 31, tzinfo=UTC)
_GOLDEN_TOUCHPOINTS = [
    Touchpoint(datetime(2026, 1, 1, tzinfo=UTC), "web", "viewed_pricing"),
    Touchpoint(datetime(2026, 1, 2, tzinfo=UTC), "chat", "asked", text="What does it cost, and when can we start?"),
]


class HistoryScorer(Protocol):
    """What the endpoint asks of a scorer."""

    @property
    def model_version(self) -> str: ...

    @property
    def messages_read(self) -> tuple[int, int]: ...

    def describe(self) -> dict[str, Any]: ...

    def is_quick(self, histories: Sequence[tuple[str, Sequence[TouchpointRecord]]]) -> bool: ...

    def score_histories(
        self,
        histories: Sequence[tuple[str, Sequence[TouchpointRecord]]],
        as_of_us: int | Sequence[int],
        reasons: bool = False,
    ) -> list[Row]: ...


class Endpoint:
    """The handlers of the routes around one scorer, which may come late and may be exchanged while requests run.

    A request is answered by the scorer that it began with, to its end. Scoring that may take long happens in one thread
    of its own: measured with 8 clients on 2 cores and 30 ms of work a request, a probe is answered in 12 instead of
    250 ms. What is quick is scored at once while that thread rests, with all else that came in the same round: the
    hand-over would cost up to half a millisecond, each call another. So no scorer needs to be safe for several threads.
    """

    def __init__(self, settings: Settings, gate: Gate, now: Callable[[], datetime]) -> None:
        self.scorer: HistoryScorer | None = None
        self.settings = settings
        self.draining = False
        self.metrics: Metrics | None = None
        self.exposition: Callable[[], bytes] = bytes
        self._gate = gate
        self._limits = Limits(settings.max_customers, settings.max_touchpoints)
        self._now = now
        self._scoring_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scoring")
        self._at_work: set[Future[Any]] = set()
        self._together = Together(self._quick_rows)
        self._requests = Budget(settings.requests_at_once)
        self._body_bytes = Budget(settings.bodies_limit_bytes)
        self._answered = Answered(settings.idempotency_bytes)

    def install(self, scorer: HistoryScorer) -> None:
        """Serve with `scorer` from now on, if it answers a golden request; otherwise raise and leave things alone."""
        golden = [("golden", _GOLDEN_TOUCHPOINTS), ("empty", [])]
        # With reasons, so that the first caller of any kind finds everything loaded and compiled.
        rows = scorer.score_histories(golden, to_us(_GOLDEN_AS_OF), reasons=True)
        _check_rows(rows, 2)
        self.scorer = scorer
        if self.metrics is not None:
            self.metrics.serves(scorer.model_version)

    def drain(self) -> None:
        """Answer on, but say that nobody new should be sent here."""
        self.draining = True

    async def score(self, request: Request) -> Response:
        return await self._answer(request, explain=False)

    async def explain(self, request: Request) -> Response:
        return await self._answer(request, explain=True)

    async def model(self, request: Request) -> Response:
        self._admit(request)
        return answer(self._ready_scorer().describe())

    async def told_metrics(self, request: Request) -> Response:
        if not self.settings.open_metrics:
            self._admit(request)
        content = await asyncio.to_thread(self.exposition)
        return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, _: Request) -> Response:
        return answer(describe_api(None if self.scorer is None else self.scorer.describe()))

    async def livez(self, _: Request) -> Response:
        return answer({"status": "live"})

    async def readyz(self, _: Request) -> Response:
        if self.draining:
            raise Refusal("draining", "This server is about to stop.", retry_after_s=5)
        return answer({"status": "ready", "model_version": self._ready_scorer().model_version})

    @property
    def lets_anyone_in(self) -> bool:
        return self._gate.lets_anyone_in

    def _admit(self, request: Request) -> str:
        caller = self._gate.admit(request)
        return self._gate.admit_signed(request, b"") if caller is None else caller

    def _ready_scorer(self) -> HistoryScorer:
        if self.scorer is None:
            raise Refusal("not_ready", "No model is ready to answer yet.", retry_after_s=5)
        return self.scorer

    async def _answer(self, request: Request, explain: bool) -> Response:
        caller = self._gate.admit(request)
        scorer = self._ready_scorer()
        require_json(request)
        with self._body_bytes.share() as take_bytes:
            try:
                async with asyncio.timeout(self.settings.deadline_s):
                    body = await read_body(
                        request, self.settings.body_limit_bytes, self.settings.body_timeout_s, take_bytes
                    )
                    caller = self._gate.admit_signed(request, body) if caller is None else caller
                    return await self._once(request, caller, body, partial(self._scores, request, scorer, explain))
            except TimeoutError:
                raise Refusal("deadline_exceeded", "This took too long; ask for fewer customers at once.") from None

    async def _once(self, request: Request, caller: str, body: bytes, work: Any) -> Response:
        key = request.headers.get("idempotency-key")
        if key is None:
            return _json(await work(body))
        asked = request.url.path.encode() + b"\0" + body
        content, is_earlier = await self._answered.once(caller, key, asked, time.monotonic(), partial(work, body))
        return _json(content, {"Idempotent-Replayed": "true"} if is_earlier else None)

    async def _scores(self, request: Request, scorer: HistoryScorer, explain: bool, body: bytes) -> bytes:
        with self._requests.share() as take:
            take(1)
            asked = await self._read(body)
            as_of = asked.as_of or self._now()
            rows = await self._rows(request, scorer, asked, as_of, explain or asked.reasons)
            scores = _in_order_asked(asked, rows)
            if self.metrics is not None:
                self.metrics.scored(scores)
            return msgspec.json.encode({"model_version": scorer.model_version, "as_of": as_of, "scores": scores})

    async def _read(self, body: bytes) -> Asked:
        if len(body) <= _READ_AT_ONCE_BYTES:
            return read_score_request(body, self._limits)
        return await self._in_scoring_thread(read_score_request, body, self._limits)

    async def _rows(
        self, request: Request, scorer: HistoryScorer, asked: Asked, as_of: datetime, reasons: bool
    ) -> list[Row]:
        histories: list[tuple[str, list[Touchpoint]]] = [(h.customer_id, h.touchpoints) for h in asked.histories]
        if not reasons and scorer.is_quick(histories):
            return [await self._together.ask(scorer, (*histories[0], to_us(as_of)))]
        rows: list[Row] = []
        size = FIRST_SLICE
        while len(rows) < len(histories):
            if rows and await request.is_disconnected():
                raise ClientDisconnect
            some = histories[len(rows) : len(rows) + size]
            score = partial(scorer.score_histories, some, to_us(as_of), reasons)
            scored, took_s = await self._in_scoring_thread(self._timed, scorer, score)
            rows += _check_rows(scored, len(some))
            size = next_slice(len(some), took_s, self.settings.customers_at_once)
        return rows

    async def _quick_rows(self, scorer: HistoryScorer, asked: Sequence[Quick]) -> list[Row]:
        histories, moments_us = [each[:2] for each in asked], [each[2] for each in asked]
        score = partial(scorer.score_histories, histories, moments_us)
        scored, _ = (
            await self._in_scoring_thread(self._timed, scorer, score) if self._at_work else self._timed(scorer, score)
        )
        return _check_rows(scored, len(asked))

    def _timed(self, scorer: HistoryScorer, score: Callable[[], list[Row]]) -> tuple[list[Row], float]:
        started_s, (new, cached) = time.perf_counter(), scorer.messages_read
        rows = score()
        took_s = time.perf_counter() - started_s
        if self.metrics is not None:
            self.metrics.read(scorer.messages_read[0] - new, scorer.messages_read[1] - cached)
        return rows, took_s

    def answered(self, path: str, status: int, seconds: float) -> None:
        if self.metrics is not None:
            self.metrics.answered(path, status, seconds)

    async def _in_scoring_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        future = self._scoring_thread.submit(work, *args)
        self._at_work.add(future)
        future.add_done_callback(self._at_work.discard)  # also where the caller's deadline has passed meanwhile
        return await asyncio.wrap_future(future)


def make_app(
    scorer: HistoryScorer | None, settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Starlette:
    """Make the endpoint's application: `POST /score` and `/explain`; by GET the model, metrics, API, page and probes.

    Without a scorer it is live but not ready; `app.state.endpoint.install` brings one later. `now` tells the `as_of`
    of requests that name none. Raises BadUsage where keys or secrets cannot be read.
    """
    endpoint = Endpoint(settings, Gate(settings), now)
    if scorer is not None:
        endpoint.install(scorer)
    app = Starlette(
        routes=[
            Route("/score", endpoint.score, methods=["POST"]),
            Route("/explain", endpoint.explain, methods=["POST"]),
            Route("/model", endpoint.model, methods=["GET"]),
            Route("/livez", endpoint.livez, methods=["GET"]),
            Route("/readyz", endpoint.readyz, methods=["GET"]),
            Route("/metrics", endpoint.told_metrics, methods=["GET"]),
            Route("/openapi.json", endpoint.openapi, methods=["GET"]),
            Route("/", page, methods=["GET"]),
        ],
        middleware=[
            Middleware(Timed, answered=endpoint.answered),
            Middleware(Sealed, closing=lambda: endpoint.draining),
        ],
        exception_handlers={
            Refusal: _on_refusal,
            HTTPException: _on_http_exception,
            ClientDisconnect: _on_disconnect,
            BadEnvironment: _on_bad_environment,
        },
        lifespan=_life,
    )
    app.router.redirect_slashes = False
    app.state.endpoint = endpoint
    app.state.watch = None
    return app


@asynccontextmanager
async def _life(app: Starlette) -> AsyncIterator[None]:
    """Follow the bundle, and drain before the end."""
    endpoint, watch = app.state.endpoint, app.state.watch
    with drain_on_sigterm(endpoint.drain, endpoint.settings.drain_s):
        watching = asyncio.create_task(watch.keep_looking(endpoint.settings.watch_s)) if watch else None
        yield
        if watching is not None:
            watching.cancel()


def _json(content: bytes, headers: dict[str, str] | None = None) -> Response:
    return Response(content, headers=headers, media_type="application/json")


def _check_rows(rows: list[Row], expected: int) -> list[Row]:
    """Rather no answer than a wrong one: raise if a row is missing or a number in one is not finite."""
    if len(rows) != expected:
        raise ArithmeticError(f"the scorer answered {len(rows)} rows for {expected} histories")
    if not _is_finite(rows):
        raise ArithmeticError("a score is not a finite number")
    return rows


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return all(map(_is_finite, value)) if isinstance(value, list) else True


def _in_order_asked(asked: Asked, rows: list[Row]) -> list[Row]:
    remaining = iter(rows)
    return [
        customer.as_row() if isinstance(customer, RefusedCustomer) else next(remaining) for customer in asked.customers
    ]


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return refuse(request, error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return refuse(request, Refusal("method_not_allowed", "This path has another method."), error.headers)
    return refuse(request, Refusal("not_found", "There is nothing at this path."))


async def _on_disconnect(request: Request, _: Exception) -> Response:
    return refuse(request, Refusal("client_left", "The caller left before the body was complete."))


async def _on_bad_environment(request: Request, error: Exception) -> Response:
    assert isinstance(error, BadEnvironment)
    logger.error("request %s met a bad environment: %s", request.state.request_id, error.code)
    return refuse(request, Refusal("not_ready", "Something that scoring needs is missing here.", retry_after_s=5))
