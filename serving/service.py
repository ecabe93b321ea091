"""BentoML around the endpoint: the workers, the life cycle, the metrics."""

from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path

import bentoml
from _bentoml_sdk import Service  # type: ignore[import-untyped]
from bentoml._internal.container import BentoMLContainer  # type: ignore[attr-defined]
from bentoml._internal.context import server_context
from bentoml._internal.log import configure_server_logging
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.answers import logger
from serving.app import HistoryScorer, make_app
from serving.bundle_watch import BundleWatch
from serving.metrics import Metrics
from serving.settings import BUNDLE_VARIABLE, Settings

SETTINGS = Settings.from_environment()
APP = make_app(None, SETTINGS)


class FrontDoor:
    """Answers everything itself; lets BentoML see its life cycle and, where its log or traces are wanted, the calls.

    Stock BentoML leaves `/`, `/docs.json`, `/schema.json` and `/static_content` open (the first loads code from third
    parties), answers errors in shapes of its own, and turns every path asked for into a label of its metrics and a line
    of its log, whatever the path holds. Its middleware (metrics, traces, context) takes longer than all our scoring.
    """

    seen_by_bentoml = frozenset({("POST", "/score"), ("POST", "/explain"), ("GET", "/model"), ("HEAD", "/model")})

    def __init__(self, bentoml_app: ASGIApp, app: ASGIApp, is_watched: bool) -> None:
        self.bentoml_app = bentoml_app
        self.app = app
        self.is_watched = is_watched

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_call = self.is_watched and (scope.get("method"), scope.get("path")) in self.seen_by_bentoml
        await (self.bentoml_app if is_call or scope["type"] == "lifespan" else self.app)(scope, receive, send)


class GuardedService(Service):  # type: ignore[misc]
    """A BentoML service whose application stands behind the front door."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        app = super().to_asgi(is_main)
        # BentoML's timeout never cancels its timer, so a request's memory stays until `traffic.timeout` has passed and
        # the collector's pauses grow with the load. The endpoint ends late requests itself (`deadline_s`).
        app.user_middleware = [item for item in app.user_middleware if item.cls.__name__ != "TimeoutMiddleware"]
        is_traced = bool(BentoMLContainer.tracing.sample_rate.get())
        return FrontDoor(app, APP, SETTINGS.access_log or is_traced)


@bentoml.service(
    name="journeycast",
    service_class=GuardedService,
    workers=SETTINGS.workers,
    # Headers are the caller's words: no content type in the log.
    logging={"access": {"enabled": SETTINGS.access_log, "request_content_type": False, "response_content_type": False}},
)
@bentoml.asgi_app(APP, path="/")
class Journeycast:
    """Tells each customer's journey stage and probability of converting."""

    def __init__(self) -> None:
        """Load the bundle in this worker. Without a sound one it stays live, says why in its log, and is not ready."""
        metrics_client = BentoMLContainer.metrics_client.get()
        APP.state.endpoint.exposition = metrics_client.generate_latest
        APP.state.endpoint.metrics = Metrics()
        if SETTINGS.bundle is None:
            logger.error("not ready: no_bundle: %s is not set: give the bundle's folder.", BUNDLE_VARIABLE)
            return
        APP.state.watch = BundleWatch(SETTINGS.bundle, _open, _install)
        APP.state.watch.look()

    def __is_ready__(self) -> bool:
        return APP.state.endpoint.scorer is not None


def _open(folder: Path) -> HistoryScorer:
    from serving.scorer import Scorer  # seconds of imports, which BentoML's supervisor would pay as well

    _load_numba_without_blas()
    return Scorer.load(folder, market=SETTINGS.market)


def _load_numba_without_blas() -> None:
    """Numba loads SciPy's BLAS (15 MB) with what was compiled; no compiled pass here multiplies matrices.

    What else wants SciPy later is not kept from it.
    """
    if "numba.np.arraymath" not in sys.modules and "scipy.linalg" not in sys.modules:
        sys.modules["scipy.linalg"] = None  # type: ignore[assignment]  # so that importing it fails
        try:
            importlib.import_module("numba.np.arraymath")
        finally:
            del sys.modules["scipy.linalg"]


def _install(scorer: HistoryScorer) -> None:
    APP.state.endpoint.install(scorer)
    # What was loaded stays: the collector need not walk it again at every full collection.
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    logger.warning("serving model %s", scorer.model_version)


def worker_app(worker: int) -> ASGIApp:
    """What worker number `worker` of `journeycast serve` answers with: what BentoML's own worker would set up."""
    configure_server_logging()  # type: ignore[no-untyped-call]
    logger.disabled = False  # BentoML's configuration silences what was there before it
    service: Service = Journeycast
    server_context.worker_index = worker + 1
    server_context.service_name = server_context.bento_name = service.name
    server_context.service_type = "entry_service"
    server_context.bento_version = "not available"
    service.inject_config()
    return service.to_asgi()  # type: ignore[no-any-return]
