"""The endpoint's transport, and nothing else: HTTP in, the scorer's answers out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar, TypeVarTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from features.errors import BadEnvironment
from features.event_log import TouchpointRecord, to_us
from serving.answers import Sealed, answer, logger, refuse
from serving.refusal import Refusal
from serving.schemas import Touchpoint
from serving.score_request import Asked, Limits, RefusedCustomer, read_score_request
from serving.settings import Settings

Row = dict[str, object]
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

    def describe(self) -> dict[str, Any]: ...

    def score_histories(
        self, histories: Sequence[tuple[str, Sequence[TouchpointRecord]]], as_of_us: int, reasons: bool = False
    ) -> list[Row]: ...


class Endpoint:
    """The handlers of the routes around one scorer, which may come late and may be exchanged while requests run.

    All scoring happens in one thread of its own. Measured with 8 clients on 2 cores, against scoring in the event
    loop: with 30 ms of work a request, a probe is answered in 12 instead of 250 ms; the hand-over costs up to half a
    millisecond. And no scorer needs to be safe for several threads.
    """

    def __init__(self, settings: Settings, now: Callable[[], datetime]) -> None:
        self.scorer: HistoryScorer | None = None
        self.settings = settings
        self._limits = Limits(settings.max_customers, settings.max_touchpoints)
        self._now = now
        self._scoring_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scoring")

    def install(self, scorer: HistoryScorer) -> None:
        """Serve with `scorer` from now on, if it answers a golden request; otherwise raise and leave things alone."""
        golden = [("golden", _GOLDEN_TOUCHPOINTS), ("empty", [])]
        # With reasons, so that the first caller of any kind finds everything loaded and compiled.
        rows = scorer.score_histories(golden, to_us(_GOLDEN_AS_OF), reasons=True)
        _check_rows(rows, 2)
        self.scorer = scorer

    async def score(self, request: Request) -> Response:
        scorer = self._ready_scorer()
        _require_json(request)
        try:
            async with asyncio.timeout(self.settings.deadline_s):
                asked = await self._read(request)
                as_of = asked.as_of or self._now()
                rows = await self._rows(scorer, asked, as_of)
        except TimeoutError:
            raise Refusal("deadline_exceeded", "This took too long; ask for fewer customers at once.") from None
        content = {"model_version": scorer.model_version, "as_of": as_of, "scores": _in_order_asked(asked, rows)}
        return answer(content)

    async def model(self, _: Request) -> Response:
        return answer(self._ready_scorer().describe())

    async def livez(self, _: Request) -> Response:
        return answer({"status": "live"})

    async def readyz(self, _: Request) -> Response:
        return answer({"status": "ready", "model_version": self._ready_scorer().model_version})

    def _ready_scorer(self) -> HistoryScorer:
        if self.scorer is None:
            raise Refusal("not_ready", "No model is ready to answer yet.")
        return self.scorer

    async def _read(self, request: Request) -> Asked:
        body = await _read_body(request, self.settings)
        if len(body) <= _READ_AT_ONCE_BYTES:
            return read_score_request(body, self._limits)
        return await self._in_scoring_thread(read_score_request, body, self._limits)

    async def _rows(self, scorer: HistoryScorer, asked: Asked, as_of: datetime) -> list[Row]:
        """Score in slices: between them other requests get their turn, and a request past its deadline ends."""
        histories: list[tuple[str, list[Touchpoint]]] = [(h.customer_id, h.touchpoints) for h in asked.histories]
        size = self.settings.customers_at_once
        rows: list[Row] = []
        for start in range(0, len(histories), size):
            some = histories[start : start + size]
            scored = await self._in_scoring_thread(scorer.score_histories, some, to_us(as_of), asked.reasons)
            rows += _check_rows(scored, len(some))
        return rows

    async def _in_scoring_thread(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._scoring_thread, work, *args)


def make_app(
    scorer: HistoryScorer | None, settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Starlette:
    """Make the endpoint's application: `POST /score`, `GET /model`, `/livez` and `/readyz`.

    BentoML answers `GET /metrics`; the route is here so that other methods get the same 405 as elsewhere.
    Without a scorer it is live but not ready; `app.state.endpoint.install` brings one later. `now` tells the `as_of`
    of requests that name none.
    """
    endpoint = Endpoint(settings, now)
    if scorer is not None:
        endpoint.install(scorer)
    app = Starlette(
        routes=[
            Route("/score", endpoint.score, methods=["POST"]),
            Route("/model", endpoint.model, methods=["GET"]),
            Route("/livez", endpoint.livez, methods=["GET"]),
            Route("/readyz", endpoint.readyz, methods=["GET"]),
            Route("/metrics", _metrics, methods=["GET"]),
        ],
        middleware=[Middleware(Sealed)],
        exception_handlers={
            Refusal: _on_refusal,
            HTTPException: _on_http_exception,
            ClientDisconnect: _on_disconnect,
            BadEnvironment: _on_bad_environment,
        },
    )
    app.router.redirect_slashes = False
    app.state.endpoint = endpoint
    return app


async def _metrics(_: Request) -> Response:
    raise HTTPException(404)


def _require_json(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.strip().replace('"', "")
    if media_type.strip() != "application/json" or charset not in ("", "charset=utf-8"):
        raise Refusal("unsupported_media_type", "Send application/json, in UTF-8.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refusal("unsupported_encoding", "Send the body without a content encoding.")


async def _read_body(request: Request, settings: Settings) -> bytes:
    """The whole body, its bytes counted as they come: a declared length may be missing or wrong."""
    limit = settings.body_limit_bytes
    body = bytearray()
    if _declared_length(request) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise Refusal("body_timeout", f"The body did not arrive within {settings.body_timeout_s:g} s.") from None
    return bytes(body)


def _declared_length(request: Request) -> float:
    declared = request.headers.get("content-length", "")
    return float(declared) if declared.isdecimal() else 0


def _too_large(limit_bytes: int) -> Refusal:
    return Refusal("body_too_large", f"A body has at most {limit_bytes} bytes; ask for fewer customers at once.")


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
    return refuse(request, Refusal("not_ready", "Something that scoring needs is missing here."))
