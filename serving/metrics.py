"""What Prometheus is told: latency, customers by reliability, messages new and cached, scores, the model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATHS = frozenset({"/", "/score", "/explain", "/model", "/livez", "/readyz", "/metrics", "/openapi.json"})
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
PROBABILITIES = tuple(step / 20 for step in range(1, 21))


class Metrics:
    """The endpoint's metrics in the registry of this process; make one only, and only in a worker.

    prometheus_client looks at its import whether several processes share the metrics; BentoML tells a worker before.
    """

    def __init__(self) -> None:
        from prometheus_client import Counter as Count
        from prometheus_client import Gauge, Histogram

        self._seconds = Histogram(
            "journeycast_request_seconds", "Time to the answer.", ["path", "status"], buckets=SECONDS
        )
        self._customers = Count("journeycast_customers", "Customers answered, by reliability or error.", ["outcome"])
        self._messages = Count("journeycast_messages", "Distinct messages read: embedded, or cached.", ["source"])
        self._probability = Histogram(
            "journeycast_conversion_probability", "Likelihood given for the first horizon.", buckets=PROBABILITIES
        )
        self._model = Gauge(
            "journeycast_model_info", "1 for the model that serves.", ["model_version"], multiprocess_mode="livemax"
        )
        self._version: str | None = None

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request. A path that is none of ours is not repeated: it may hold anything."""
        self._seconds.labels(path if path in PATHS else "other", str(status)).observe(seconds)

    def scored(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Count the customers of an answer."""
        for outcome, customers in Counter(str(row.get("reliability", "error")) for row in rows).items():
            self._customers.labels(outcome).inc(customers)
        for row in rows:
            first = next((row[name] for name in row if name.startswith("conversion")), None)
            if isinstance(first, float):
                self._probability.observe(first)

    def read(self, new: int, cached: int) -> None:
        """Count messages that had to be embedded, and that were found in the cache."""
        self._messages.labels("new").inc(new)
        self._messages.labels("cached").inc(cached)

    def serves(self, model_version: str) -> None:
        """Tell which model answers from now on."""
        if self._version is not None:
            self._model.labels(self._version).set(0)
        self._model.labels(model_version).set(1)
        self._version = model_version


class Timed:
    """Middleware that tells `answered` the path, status and seconds of each request."""

    def __init__(self, app: ASGIApp, answered: Callable[[str, int, float], None]) -> None:
        self.app = app
        self.answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started_s, status = time.perf_counter(), 500

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        finally:
            self.answered(scope["path"], status, time.perf_counter() - started_s)
