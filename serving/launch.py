"""`journeycast serve`: checks what can be checked before anybody calls, then keeps the workers running.

`python -m serving.launch HOST PORT` does so without the command line's packages: that is how a Bento's image starts.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import socket
import sys
import tempfile
from pathlib import Path

from features.errors import BadEnvironment, BadUsage, Fault
from models.bundle_files import read_bundle_files
from serving.gate import Gate
from serving.settings import BUNDLE_VARIABLE, PREFIX, Settings
from serving.workers import Workers

BACKLOG = 2048


def serve(bundle: Path, host: str = "127.0.0.1", port: int = 3000, market: Path | None = None) -> None:
    """Serve a bundle's folder over HTTP until SIGTERM or SIGINT; requests that have begun are answered first.

    `market` is a file to use instead of the bundle's market, and of the setting. Blocks. Raises BadUsage where there is
    no bundle, for another bundle's market, a host that is no IP address, one that others can call while no keys are
    set, keys or secrets that cannot be read, and an impossible port; BadEnvironment where the bundle or the market is
    damaged or the port is taken.
    """
    settings = Settings.from_environment()
    if not 0 < port < 65_536:
        raise BadUsage("bad_port", f"{port} is not a port; give one between 1 and 65535.")
    _check_openness(host, settings, Gate(settings))
    if importlib.util.find_spec("bentoml") is None:  # only the workers import it
        raise BadEnvironment("missing_extra", "bentoml is not installed; install journeycast[serve]")
    read_bundle_files(bundle)  # a worker would stay, not ready; whoever starts the server wants to know at once
    if market := market or settings.market:
        _check_market(bundle, market)
        os.environ[f"{PREFIX}MARKET"] = str(market.resolve())
    for name, file in (("KEY_FILE", settings.key_file), ("SECRET_FILE", settings.secret_file)):
        if file is not None:  # workers have another working folder
            os.environ[f"{PREFIX}{name}"] = str(file.absolute())
    shown = f"[{host}]" if ":" in host else host
    print(f"settings: {settings.in_words()}", file=sys.stderr)
    with _listening(host, port) as listening, tempfile.TemporaryDirectory(prefix="journeycast-serve-") as home:
        print(f"listening on http://{shown}:{port}", file=sys.stderr)
        metrics = Path(home) / "metrics"
        metrics.mkdir()
        # The bundle's path is not resolved: where a link stands there, the endpoint follows it.
        os.environ |= {BUNDLE_VARIABLE: str(bundle.absolute()), "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        os.environ["BENTOML_DO_NOT_TRACK"] = "True"
        os.environ.setdefault("BENTOML_HOME", home)
        with Workers(listening, settings.workers, Path(home), settings.shutdown_timeout_s) as workers:
            workers.keep()


def _check_openness(host: str, settings: Settings, gate: Gate) -> None:
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise BadUsage("bad_host", f"{host} is not an IP address; for this machine alone give 127.0.0.1.") from None
    if not is_loopback and gate.lets_anyone_in and not settings.anyone:
        raise BadUsage(
            "no_keys",
            f"{host} can be called from other machines, and no keys are set: give {PREFIX}KEY_FILE "
            f"(`journeycast make-key NAME` makes keys), or {PREFIX}ANYONE=true where something else keeps others out.",
        )


def _check_market(bundle: Path, market: Path) -> None:
    from models.bundle import load_bundle  # half a second of imports, which most starts need not pay
    from serving.scorer import with_market

    with_market(load_bundle(bundle), market)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise BadEnvironment("cannot_listen", f"Cannot listen on {host}:{port}: {error.strerror}.") from None


def main() -> None:
    """Serve the bundle of the setting; a fault ends it with its words and exit code 2 (usage) or 4 (environment)."""
    try:
        settings = Settings.from_environment()
        if settings.bundle is None or len(sys.argv) != 3 or not sys.argv[2].isdecimal():
            raise BadUsage("bad_arguments", f"give HOST and PORT, and the bundle's folder as {BUNDLE_VARIABLE}")
        serve(settings.bundle, sys.argv[1], int(sys.argv[2]))
    except Fault as fault:
        print(*(f"{fault.code}: {line}" for line in fault.faults), sep="\n", file=sys.stderr)
        sys.exit(2 if isinstance(fault, BadUsage) else 4)


if __name__ == "__main__":
    main()
