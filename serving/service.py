"""BentoML around the endpoint: the workers, the life cycle, the metrics."""

from __future__ import annotations

import gc
import ipaddress
import math
import os
import sys
import tempfile
from pathlib import Path

import bentoml
from _bentoml_impl.server import serve_http  # type: ignore[import-untyped]
from _bentoml_sdk import Service  # type: ignore[import-untyped]
from bentoml._internal.container import BentoMLContainer  # type: ignore[attr-defined]
from starlette.types import ASGIApp, Receive, Scope, Send

from features.errors import BadEnvironment, BadUsage
from models.bundle_files import read_bundle_files
from serving.answers import logger
from serving.app import HistoryScorer, make_app
from serving.bundle_watch import BundleWatch
from serving.metrics import Metrics
from serving.settings import BUNDLE_VARIABLE, PREFIX, Settings

SETTINGS = Settings.from_environment()
APP = make_app(None, SETTINGS)


class FrontDoor:
    """Lets through to BentoML what it should see and answers everything else itself.

    Stock BentoML leaves `/`, `/docs.json`, `/schema.json` and `/static_content` open (the first loads code from third
    parties), answers errors in shapes of its own, and turns every path asked for into a label of its metrics and a line
    of its log, whatever the path holds.
    """

    through = frozenset({("POST", "/score"), ("POST", "/explain"), ("GET", "/model"), ("HEAD", "/model")})

    def __init__(self, bentoml_app: ASGIApp, app: ASGIApp) -> None:
        self.bentoml_app = bentoml_app
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        to_bentoml = scope["type"] == "lifespan" or (scope.get("method"), scope["path"]) in self.through
        await (self.bentoml_app if to_bentoml else self.app)(scope, receive, send)


class GuardedService(Service):  # type: ignore[misc]
    """A BentoML service whose application stands behind the front door."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        app = super().to_asgi(is_main)
        # BentoML's timeout never cancels its timer, so a request's memory stays until `traffic.timeout` has passed and
        # the collector's pauses grow with the load. The endpoint ends late requests itself (`deadline_s`).
        app.user_middleware = [item for item in app.user_middleware if item.cls.__name__ != "TimeoutMiddleware"]
        return FrontDoor(app, APP)


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

    return Scorer.load(folder, market=SETTINGS.market)


def _install(scorer: HistoryScorer) -> None:
    APP.state.endpoint.install(scorer)
    # What was loaded stays: the collector need not walk it again at every full collection.
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    logger.warning("serving model %s", scorer.model_version)


def serve(bundle: Path, host: str = "127.0.0.1", port: int = 3000, market: Path | None = None) -> None:
    """Serve a bundle's folder over HTTP until SIGTERM or SIGINT; requests that have begun are answered first.

    `market` is a file to use instead of the bundle's market, and of the setting. Blocks. Raises BadUsage where there is
    no bundle, for another bundle's market, a host that is no IP address, one that others can call while no keys are
    set, and an impossible port; BadEnvironment where the bundle or the market is damaged or the port is taken.
    """
    if not 0 < port < 65_536:
        raise BadUsage("bad_port", f"{port} is not a port; give one between 1 and 65535.")
    _check_openness(host)
    read_bundle_files(bundle)  # a worker would stay, not ready; whoever starts the server wants to know at once
    if market := market or SETTINGS.market:
        _check_market(bundle, market)
        os.environ[f"{PREFIX}MARKET"] = str(market.resolve())
    print(f"settings: {SETTINGS.in_words()}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="journeycast-serve-") as home:
        # Not resolved: where a link stands at the path, the endpoint follows it.
        os.environ |= {BUNDLE_VARIABLE: str(bundle.absolute()), "BENTOML_DO_NOT_TRACK": "True"}
        os.environ.setdefault("BENTOML_HOME", home)  # else two servers clear each other's metrics
        os.environ.pop("BENTOML_CONTAINERIZED", None)  # with it, BentoML lets a worker that crashed stay dead
        _run_bentoml(host, port)


def _check_openness(host: str) -> None:
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise BadUsage("bad_host", f"{host} is not an IP address; for this machine alone give 127.0.0.1.") from None
    if not is_loopback and APP.state.endpoint.lets_anyone_in and not SETTINGS.anyone:
        raise BadUsage(
            "no_keys",
            f"{host} can be called from other machines, and no keys are set: give {PREFIX}KEY_FILE "
            f"(`journeycast make-key NAME` makes keys), or {PREFIX}ANYONE=true where something else keeps others out.",
        )


def _check_market(bundle: Path, market: Path) -> None:
    from models.bundle import load_bundle  # seconds of imports, as above
    from serving.scorer import with_market

    with_market(load_bundle(bundle), market)


def _run_bentoml(host: str, port: int) -> None:
    service: Service = Journeycast
    service.inject_config()
    folder = str(Path(__file__).parents[1])
    try:
        serve_http(
            "serving.service:Journeycast",
            working_dir=folder,
            host=host,
            port=port,
            timeout_graceful_shutdown=math.ceil(SETTINGS.shutdown_timeout_s - SETTINGS.drain_s),
        )
    except OSError as error:
        raise BadEnvironment("cannot_listen", f"Cannot listen on {host}:{port}: {error.strerror}.") from None
