"""What tests share: the real data where it is at hand, one small training, and property tests that always run alike."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from features.event_log import EventLog
    from features.journey import Journey
    from features.rows import Embed
    from models.journey_model import JourneyModel
    from training.labels import LabelledRows

# Examples are drawn from each test's own name, not from a clock or a database of earlier runs.
settings.register_profile("journeycast", derandomize=True, deadline=None)
settings.load_profile("journeycast")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data beside the repository; none of it is part of the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data (../shared/data) is not on this machine")
    return folder


# What follows imports when it is asked for: most tests need no model and should start at once.


@pytest.fixture(scope="session")
def fit_briefly() -> Callable[[LabelledRows, EventLog, Journey, Embed | None], JourneyModel]:
    """`training.fit.fit` with a handful of trees."""
    from training.fit import fit

    def briefly(rows: LabelledRows, log: EventLog, journey: Journey, embed: Embed | None) -> JourneyModel:
        with _few_trees():
            return fit(rows, log, journey, embed, seed=0)

    return briefly


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `journeycast simulate` and `journeycast train --register` leave it.

    simulated/touchpoints.parquet, bundle/ with the real embedder, mlflow.db.
    """
    import journeycast

    folder = tmp_path_factory.mktemp("trained")
    with _few_trees(), pytest.MonkeyPatch.context() as patch:
        _work_in(folder, patch)
        journeycast.simulate(folder / "simulated", customers=240, seed=1)
        journeycast.train([str(folder / "simulated" / "touchpoints.parquet")], folder / "bundle", register=True)
    return folder


@pytest.fixture(scope="session")
def plain_bundle(
    fit_briefly: Callable[[LabelledRows, EventLog, Journey, Embed | None], JourneyModel],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A bundle that opens in a moment: no text, two stages, no horizon.

    All of its 100 customers visited, once to three times; 40 asked twice and converted; 25 are `active`, 75 `new`.
    """
    import polars as pl

    from features.event_log import EventLog
    from features.journey import Journey
    from models.bundle import save_bundle
    from serving.schemas import Touchpoint
    from training.labels import rows_by_labels

    rules = [{"stage": "new", "when": "any"}, {"stage": "active", "actions": ["asked"]}]
    definition = {"name": "plain", "stages": ["new", "active"], "labels": {"rules": rules}}
    journey = Journey.from_dict({**definition, "conversion": {"actions": ["purchase"]}})
    customers = range(100)
    visits = [Touchpoint(datetime(2026, 1, day, tzinfo=UTC), "web", "visited") for day in (2, 5, 9)]
    asked = [Touchpoint(datetime(2026, 1, day, tzinfo=UTC), "web", "asked") for day in (3, 10)]
    histories = [(f"c{i:02}", visits[i % 3 :] + asked * (i < 40)) for i in customers]
    labels = {
        "customer_id": [customer_id for customer_id, _ in histories],
        "as_of": [datetime(2026, 1, 20, tzinfo=UTC)] * 100,
        "stage": ["new" if i % 4 else "active" for i in customers],
        "converted": [i < 40 for i in customers],
        "horizon_days": pl.Series([None] * 100, dtype=pl.Int32),
    }
    log = EventLog.from_records(histories)
    model = fit_briefly(rows_by_labels(journey, log, pl.DataFrame(labels)), log, journey, None)
    folder = tmp_path_factory.mktemp("plain") / "bundle"
    save_bundle(model, None, folder)
    return folder


@pytest.fixture
def store(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a copy of the MLflow store of `trained`, which a test may change."""
    shutil.copy(trained / "mlflow.db", tmp_path)
    _work_in(tmp_path, monkeypatch)
    return tmp_path


def _work_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    patch.setenv("MLFLOW_EXPERIMENT_ID", "")  # MLflow sets it; so it is put back at the end
    patch.delenv("MLFLOW_EXPERIMENT_ID")


@contextmanager
def _few_trees() -> Iterator[None]:
    """For tests of what becomes of a model, where it does not matter how good it is."""
    from training import fit_conversion, fit_stage

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_conversion, "ROUNDS", (4, 8))
        patch.setattr(fit_stage, "ROUNDS", (2, 4))
        yield


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The address of an empty database on a PostgreSQL server of these tests' own, without network."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("no PostgreSQL server is installed (Debian's package postgresql)")
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    with tempfile.TemporaryDirectory(prefix="journeycast-postgresql-") as folder:
        if user is not None:
            shutil.chown(folder, user)
        start = partial(subprocess.run, cwd=folder, user=user, check=True, capture_output=True, text=True)
        try:
            start([programs[-1], "-D", f"{folder}/data", "-U", "tester", "-E", "UTF8", "--auth=trust", "--no-sync"])
            options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
            control = [programs[-1].with_name("pg_ctl"), "-D", f"{folder}/data", "-w", "-l", f"{folder}/log"]
            start([*control, "-o", options, "start"])
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no PostgreSQL server can be started: {getattr(error, 'stderr', error)}")
        try:
            yield f"postgresql://tester:secret-word@/postgres?host={folder}"
        finally:
            start([*control, "-m", "immediate", "stop"])
