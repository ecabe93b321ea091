"""Runs and models in MLflow: the only `import mlflow`."""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from features.errors import BadEnvironment, BadUsage

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # some seconds; MLflow's own 7 take four minutes
import mlflow  # it reads these when imported
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
    "lightgbm",
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
ASKED = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, name) for name in ("customer_id", "as_of", "touchpoints")]),
)


@contextmanager
def tracked_run(name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[str]:
    """One run in MLflow; yields its id. A failure inside marks it FAILED.

    The store is MLFLOW_TRACKING_URI, or `mlflow.db` in the working folder. Raises BadEnvironment where it is out of
    reach.
    """
    _connect()
    try:
        mlflow.set_experiment(EXPERIMENT)
        run = mlflow.start_run(run_name=name, tags=dict(tags))
    except Exception as error:  # MLflow lets those of its store's driver pass
        raise _unreachable(error) from None
    with run:
        try:
            mlflow.log_params(dict(parameters))
            yield run.info.run_id
        except MlflowException as error:
            raise _unreachable(error) from None


def log_metrics(metrics: Mapping[str, float]) -> None:
    """Record figures in the current run."""
    mlflow.log_metrics(dict(metrics))


def log_bundle(bundle: Path, register: bool) -> str | None:
    """Record the bundle in the current run as a pyfunc; with `register`, as a new version of the registered model.

    The first version ever registered becomes the champion. Returns the version.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*An input example was not provided")  # it would be a customer's data
        logged = mlflow.pyfunc.log_model(
            name="bundle",
            loader_module=LOADER,
            data_path=str(bundle),
            signature=ASKED,
            pip_requirements=[f"{library}=={version(library)}" for library in NEEDED],
            registered_model_name=REGISTERED_MODEL if register else None,
        )
    if not register:
        return None
    registered = str(logged.registered_model_version)
    client = mlflow.MlflowClient()
    if CHAMPION not in client.get_registered_model(REGISTERED_MODEL).aliases:
        client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, registered)
    return registered


def download_bundle(reference: str) -> Path:
    """The bundle folder behind an MLflow reference, copied into a temporary folder that lasts as long as the process.

    Raises BadUsage where the reference leads nowhere or to something else than a bundle, BadEnvironment where the store
    cannot be used.
    """
    _connect()
    folder = tempfile.mkdtemp(prefix="journeycast-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        local = Path(mlflow.artifacts.download_artifacts(reference, dst_path=folder))
        flavor = mlflow.models.Model.load(local).flavors["python_function"]
    except (MlflowException, OSError, KeyError):
        raise BadUsage(
            "no_model", f"{reference} was not found in {mlflow.get_tracking_uri()}; check the name, alias and store"
        ) from None
    except Exception as error:  # as above
        raise _unreachable(error) from None
    if flavor.get("loader_module") != LOADER:
        raise BadUsage("no_model", f"{reference} is not a Journeycast model")
    return local / str(flavor["data"])


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


def promote_version(version: str) -> None:
    """Make a version the champion; the one before keeps the alias `former`, and the new one remembers it."""
    _connect()
    client, before = mlflow.MlflowClient(), _version_of(CHAMPION)
    if before is not None and before != version:
        client.set_model_version_tag(REGISTERED_MODEL, version, FORMER, before)
        client.set_registered_model_alias(REGISTERED_MODEL, FORMER, before)
    client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, version)  # last: it is what others read


def roll_back() -> tuple[str, str]:
    """Give the champion's place back to the version that had it before; returns who left and who came back.

    Raises BadUsage where there is no former champion.
    """
    champion = _version_of(CHAMPION)
    client = mlflow.MlflowClient()
    tags = client.get_model_version(REGISTERED_MODEL, champion).tags if champion else {}
    if champion is None or FORMER not in tags:
        raise BadUsage("no_former_champion", f"models:/{REGISTERED_MODEL}@{CHAMPION} has taken nobody's place")
    former = str(tags[FORMER])
    earlier = client.get_model_version(REGISTERED_MODEL, former).tags.get(FORMER)
    client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, former)
    if earlier is None:
        client.delete_registered_model_alias(REGISTERED_MODEL, FORMER)
    else:
        client.set_registered_model_alias(REGISTERED_MODEL, FORMER, str(earlier))
    return champion, former


def tag_version(version: str, tags: Mapping[str, str]) -> None:
    """Note something on a registered version."""
    _connect()
    for name, value in tags.items():
        mlflow.MlflowClient().set_model_version_tag(REGISTERED_MODEL, version, name, value)


def _version_of(alias: str) -> str | None:
    _connect()
    try:
        return str(mlflow.MlflowClient().get_model_version_by_alias(REGISTERED_MODEL, alias).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise _unreachable(error) from None
    except Exception as error:  # MLflow lets those of its store's driver pass
        raise _unreachable(error) from None


def _connect() -> None:
    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(STORE)


def _unreachable(error: Exception) -> BadEnvironment:
    return BadEnvironment(
        "tracking_unreachable",
        f"MLflow at {mlflow.get_tracking_uri()} cannot be used ({type(error).__name__}); set MLFLOW_TRACKING_URI",
    )
