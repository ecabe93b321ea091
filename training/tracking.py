"""Runs and models in MLflow: the only `import mlflow`."""

from __future__ import annotations

import atexit
import errno
import io
import json
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from features.errors import BadEnvironment, BadUsage
from models.bundle import load_bundle
from models.score_columns import score_columns
from training.fingerprint import Fingerprint
from training.record_names import finite_metrics, flat_parameters
from training.run_owner import has_ended, machine, this_process
from training.settings import Settings
from training.sqlite_store import make_store, sqlite_file, store_lock
from training.working_folder import git_state

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # some seconds; MLflow's own 7 take four minutes
import mlflow  # it reads these when imported
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelStatus, Run
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

EXPERIMENT = "journeycast"
REGISTERED_MODEL = "journeycast"
CHAMPION = "champion"
FORMER = "former"
CHAMPION_REFERENCE = f"models:/{REGISTERED_MODEL}@{CHAMPION}"
STORE = "sqlite:///mlflow.db"
LOADER = "serving.pyfunc"
# What the loader imports. Journeycast itself is on no index: install it where the model is loaded.
NEEDED = (
    "msgspec",
    "numba",
    "numpy",
    "onnxruntime",
    "pandas",
    "platformdirs",
    "polars",
    "pydantic",
    "safetensors",
    "scipy",
    "tokenizers",
)
NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # what MLflow says of a name that leads nowhere
ASKED = Schema([ColSpec(DataType.string, name) for name in ("customer_id", "as_of", "touchpoints")])
PROCESS = "process"  # the tag that says whose a run is


@contextmanager
def tracked_run(name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[str]:
    """One run in MLflow, within the run that is open where one is; yields its id.

    It ends FINISHED, FAILED where something fails inside, KILLED where it is interrupted. Runs of this machine whose
    process is no more are KILLED first. The store is MLFLOW_TRACKING_URI, or `mlflow.db` in the working folder; the
    experiment MLFLOW_EXPERIMENT_NAME, or `journeycast`. Raises BadEnvironment where the store is out of reach.
    """
    run_id = _start(name, tags)
    status = "FAILED"
    try:
        mlflow.log_params(flat_parameters(parameters))
        yield run_id
        status = "FINISHED"
    except MlflowException as error:
        raise _unreachable(error) from None
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        with _in_reach(told=status == "FINISHED"):
            mlflow.end_run(status)


def log_metrics(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Record figures in the current run; those that are not finite are named in a tag instead."""
    finite, others = finite_metrics(metrics)
    mlflow.log_metrics(finite, step=step)
    if others:
        mlflow.set_tag("not_finite", ", ".join(others))


def log_gate(run_id: str, metrics: Mapping[str, float]) -> None:
    """Record what the gate has found in the challenger's run, which has ended."""
    with _in_reach(told=True):
        mlflow.log_metrics(finite_metrics(metrics)[0], run_id=run_id)


def set_tags(tags: Mapping[str, str]) -> None:
    """Say more of the current run."""
    mlflow.set_tags(dict(tags))


def log_settings(settings: Settings) -> None:
    """Record the resolved configuration in the current run as `config.toml`: the same command repeats the run by it."""
    mlflow.log_text(settings.to_toml(), "config.toml")


def log_data(data: Fingerprint, source: str, use: Literal["training", "testing"]) -> None:
    """Record in the current run which data it used, without a row of it; `source` says where they came from."""
    schema = Schema([ColSpec(kind, column) for column, kind in data.types.items()])
    recorded = Dataset(
        name=data.name,
        digest=data.digest,
        source_type="local",
        source=json.dumps({"uri": source}),
        schema=json.dumps({"mlflow_colspec": schema.to_dict()}),
        profile=json.dumps(data.counts),
    )
    used = DatasetInput(recorded, [InputTag("mlflow.data.context", use)])
    mlflow.MlflowClient().log_inputs(_current_run_id(), [used])


def log_folder(folder: Path, under: str | None = None) -> None:
    """Keep every file of a folder with the current run: pictures, the model card, resolved settings."""
    mlflow.log_artifacts(str(folder), under)


def log_file(file: Path) -> None:
    """Keep a file with the current run."""
    mlflow.log_artifact(str(file))


def log_bundle(bundle: Path) -> None:
    """Keep the bundle with the current run as a pyfunc that says what it asks for and what it answers."""
    columns = score_columns(load_bundle(bundle).model).items()
    answered = Schema([ColSpec(column.kind, name, required=not column.may_be_empty) for name, column in columns])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*An input example was not provided")  # it would be a customer's data
        mlflow.pyfunc.log_model(
            name="bundle",
            loader_module=LOADER,
            data_path=str(bundle),
            signature=ModelSignature(ASKED, answered),
            pip_requirements=[f"{library}=={version(library)}" for library in NEEDED],
        )


def register_bundle(run_id: str) -> str:
    """Make the bundle of a run that has ended well a new version of the registered model; returns the version.

    Where nobody is the champion, it becomes the champion. What is interrupted before has moved nothing.
    """
    try:
        # Of two at once, one is the first. MLflow prints what it does, whoever asked for quiet.
        with store_lock(mlflow.get_tracking_uri()), redirect_stderr(io.StringIO()):
            registered = mlflow.register_model(f"runs:/{run_id}/bundle", REGISTERED_MODEL)
            client = mlflow.MlflowClient()
            if CHAMPION not in client.get_registered_model(REGISTERED_MODEL).aliases:
                client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, registered.version)
    except MlflowException as error:
        raise _unreachable(error) from None
    return str(registered.version)


def download_bundle(reference: str, folder: Path | None = None) -> Path:
    """The bundle folder behind an MLflow reference, copied into `folder` or a temporary one that the process removes.

    Raises BadUsage where the reference leads nowhere or to something else than a bundle, BadEnvironment where the store
    cannot be used.
    """
    nowhere = f"{reference} was not found in {_address()}; check the name, alias and store"
    if not _has_store():
        raise BadUsage("no_model", nowhere)
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="journeycast-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        local = Path(mlflow.artifacts.download_artifacts(reference, dst_path=str(folder)))
        flavor = mlflow.models.Model.load(local).flavors.get("python_function", {})
        if flavor.get("loader_module") != LOADER:
            raise BadUsage("no_model", f"{reference} is not a Journeycast model")
        return local / str(flavor["data"])
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)  # who asks again and again must not fill the disk
        if _is_not_there(error):
            raise BadUsage("no_model", nowhere) from None
        if isinstance(error, BadUsage) or not isinstance(error, Exception):
            raise
        raise _unreachable(error) from None  # MLflow lets those of its store's driver pass


def _is_not_there(error: BaseException) -> bool:
    if isinstance(error, MlflowException):
        return error.error_code in NOT_THERE
    return isinstance(error, OSError) and error.errno in (None, errno.ENOENT)  # MLflow raises some without one


def registered_version(reference: str) -> str | None:
    """The version behind a reference to the registered model; None where it leads nowhere.

    Raises BadUsage where the reference is to something else, for only a registered version can be the champion.
    """
    named = re.fullmatch(rf"models:/{REGISTERED_MODEL}(?:/(\d+)|@([^/@]+))", reference)
    if named is None:
        raise BadUsage(
            "not_registered",
            f"{reference} names no registered version; give models:/{REGISTERED_MODEL}/VERSION or @alias",
        )
    version, alias = named.groups()
    return str(version) if version else _version_of(alias)


def version_reference(version: str) -> str:
    """How a registered version is referred to."""
    return f"models:/{REGISTERED_MODEL}/{version}"


def promote_version(version: str, over: str | None = None) -> None:
    """Make a version the champion; the one before keeps the alias `former`, and the new one remembers it.

    Raises BadUsage where it was judged `over` another version than the one that has the place by now.
    """
    with store_lock(_address()):
        before = _version_of(CHAMPION)
        if None not in (over, before) and before not in (over, version):
            raise BadUsage(
                "champion_moved",
                f"version {before} is the champion by now, and version {version} was judged against version {over}; "
                f"judge it anew: journeycast promote --challenger {version_reference(version)}",
            )
        with _in_reach(told=True):
            client = mlflow.MlflowClient()
            if before is not None and before != version:
                client.set_model_version_tag(REGISTERED_MODEL, version, FORMER, before)
                client.set_registered_model_alias(REGISTERED_MODEL, FORMER, before)
            client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, version)  # last: it is what others read


def roll_back() -> tuple[str, str]:
    """Give the champion's place back to the version that had it before; returns who left and who came back.

    Raises BadUsage where there is no former champion.
    """
    nobody = BadUsage("no_former_champion", f"models:/{REGISTERED_MODEL}@{CHAMPION} has taken nobody's place")
    if not _has_store():
        raise nobody
    with store_lock(_address()):
        champion = _version_of(CHAMPION)
        former = None if champion is None else _former_of(champion)
        if champion is None or former is None:
            raise nobody
        earlier = _former_of(former)
        with _in_reach(told=True):
            client = mlflow.MlflowClient()
            client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, former)
            if earlier is None:
                client.delete_registered_model_alias(REGISTERED_MODEL, FORMER)
            else:
                client.set_registered_model_alias(REGISTERED_MODEL, FORMER, earlier)
        return champion, former


def tag_version(version: str, tags: Mapping[str, str]) -> None:
    """Note something on a registered version."""
    _connect()
    with _in_reach(told=True):
        for name, value in tags.items():
            mlflow.MlflowClient().set_model_version_tag(REGISTERED_MODEL, version, name, value)


def _former_of(version: str) -> str | None:
    with _in_reach(told=True):
        former: str | None = mlflow.MlflowClient().get_model_version(REGISTERED_MODEL, version).tags.get(FORMER)
    return former


def _version_of(alias: str) -> str | None:
    if not _has_store():
        return None
    try:
        return str(mlflow.MlflowClient().get_model_version_by_alias(REGISTERED_MODEL, alias).version)
    except MlflowException as error:
        if error.error_code in NOT_THERE:
            return None
        raise _unreachable(error) from None
    except Exception as error:  # MLflow lets those of its store's driver pass
        raise _unreachable(error) from None


def _start(name: str, tags: Mapping[str, str]) -> str:
    _connect()
    commit = git_state(Path.cwd())
    code = {} if commit is None else {"mlflow.source.git.commit": commit[0], "git_dirty": str(commit[1]).lower()}
    own = {**code, "journeycast": version("journeycast"), PROCESS: this_process(), **tags}
    with _in_reach(told=True):
        if (within := mlflow.active_run()) is not None:
            return _id(mlflow.start_run(run_name=name, tags=own, nested=True, experiment_id=within.info.experiment_id))
        with store_lock(address := mlflow.get_tracking_uri()):
            make_store(address, lambda fresh: mlflow.MlflowClient(fresh).search_experiments(max_results=1))
            experiment = mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
        _end_dead_runs(experiment.experiment_id)
        return _id(mlflow.start_run(run_name=name, tags=own, experiment_id=experiment.experiment_id))


def _id(run: Run) -> str:
    return str(run.info.run_id)


def _end_dead_runs(experiment_id: str) -> None:
    """Nobody else tells MLflow that a process was killed: its run would stay RUNNING, its model PENDING."""
    client = mlflow.MlflowClient()
    ours = f"attributes.status = 'RUNNING' and tags.`{PROCESS}` LIKE '{machine()} %'"
    for run in client.search_runs([experiment_id], ours):
        if has_ended(run.data.tags[PROCESS]):
            for model in client.search_logged_models([experiment_id], f"source_run_id = '{_id(run)}'"):
                if model.status == LoggedModelStatus.PENDING:
                    client.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
            client.set_terminated(_id(run), "KILLED")


@atexit.register
def _end_open_runs() -> None:
    """MLflow itself would end a run that was interrupted while it began as FINISHED; this is called before."""
    while mlflow.active_run() is not None:
        with _in_reach(told=False):
            mlflow.end_run("KILLED")


def _current_run_id() -> str:
    run = mlflow.active_run()
    if run is None:
        raise RuntimeError("no run is open; record within tracked_run")
    return _id(run)


def _address() -> str:
    _connect()
    return str(mlflow.get_tracking_uri())


def _has_store() -> bool:
    """Whether there is anything to look into: MLflow would make an empty SQLite file and look into that."""
    file = sqlite_file(_address())
    return file is None or file.exists()


def _connect() -> None:
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(STORE)


@contextmanager
def _in_reach(told: bool) -> Iterator[None]:
    """Tell that the store is out of reach; or, where another fault is on its way, let that one pass."""
    try:
        yield
    except Exception as error:  # MLflow lets those of its store's driver pass
        if told:
            raise _unreachable(error) from None


def _unreachable(error: Exception) -> BadEnvironment:
    return BadEnvironment(
        "tracking_unreachable",
        f"MLflow at {mlflow.get_tracking_uri()} cannot be used ({type(error).__name__}); set MLFLOW_TRACKING_URI",
    )
