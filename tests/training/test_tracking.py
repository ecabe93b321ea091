"""Runs and models in MLflow: what is recorded, what never is, and what happens when something fails."""

import ast
import re
import sys
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pytest

from features.errors import BadData, BadEnvironment, BadUsage
from models.bundle import load_bundle
from training import tracking
from training.tracking import download_bundle, log_bundle, log_metrics, tracked_run

ROOT = Path(__file__).parents[2]
ROOMS = {"features", "models", "serving", "training"}
CHAMPION = "models:/journeycast@champion"


def client() -> tracking.mlflow.MlflowClient:
    return tracking.mlflow.MlflowClient()


def status(run_id: str) -> str:
    return str(client().get_run(run_id).info.status)


def champion_version() -> str:
    return str(client().get_model_version_by_alias("journeycast", "champion").version)


def files_of(reference: str) -> dict[str, bytes]:
    folder = download_bundle(reference)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files_in(folder)}


def files_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


# Runs


@pytest.mark.usefixtures("store")
def test_a_run_keeps_its_name_parameters_tags_and_figures_and_ends_well() -> None:
    with tracked_run("spring", {"journey": "default", "seed": 0, "split": None}, {"labels": "given"}) as run_id:
        log_metrics({"conversion_30d/roc_auc": 0.75, "conversion_30d/n": 120})
        assert status(run_id) == "RUNNING"
    run = client().get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "spring")
    assert run.data.params == {"journey": "default", "seed": "0", "split": "None"}
    assert run.data.metrics == {"conversion_30d/roc_auc": 0.75, "conversion_30d/n": 120.0}
    assert run.data.tags["labels"] == "given"
    assert client().get_experiment(run.info.experiment_id).name == "journeycast"


@pytest.mark.parametrize("fault", [BadData("too_few_conversions", "found 3"), KeyboardInterrupt(), ValueError("bug")])
@pytest.mark.usefixtures("store")
def test_a_run_in_which_something_fails_is_failed_and_the_fault_passes(fault: BaseException) -> None:
    with pytest.raises(type(fault)) as caught, tracked_run("spring", {}, {}) as run_id:
        raise fault
    assert caught.value is fault
    assert status(run_id) == "FAILED"
    with tracked_run("summer", {}, {}) as following:
        pass
    assert status(following) == "FINISHED"


@pytest.mark.parametrize("address", ["nonsense://store", "sqlite:///{folder}/damaged.db"])
def test_a_store_that_cannot_be_used_is_told_before_any_work(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "damaged.db").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(folder=tmp_path))
    with pytest.raises(BadEnvironment) as caught, tracked_run("spring", {}, {}):
        pytest.fail("the run began")
    assert caught.value.code == "tracking_unreachable"
    assert str(caught.value).startswith(f"MLflow at {address.format(folder=tmp_path)} cannot be used (")
    assert str(caught.value).endswith("); set MLFLOW_TRACKING_URI")


# Models


@pytest.mark.usefixtures("store")
def test_the_first_model_registered_is_the_champion_and_resolves_to_its_bundle(trained: Path) -> None:
    assert champion_version() == "1"
    resolved = load_bundle(download_bundle(CHAMPION))
    assert resolved.version == load_bundle(trained / "bundle").version
    assert resolved.model.reader.reads_text


@pytest.mark.usefixtures("store")
def test_a_second_model_registered_does_not_move_the_champion(plain_bundle: Path) -> None:
    champion = files_of(CHAMPION)
    with tracked_run("plain", {}, {}):
        assert log_bundle(plain_bundle, register=True) == "2"
    assert champion_version() == "1"
    assert files_of(CHAMPION) == champion
    assert load_bundle(download_bundle("models:/journeycast/2")).version == load_bundle(plain_bundle).version
    client().set_registered_model_alias("journeycast", "champion", "2")
    assert load_bundle(download_bundle(CHAMPION)).version == load_bundle(plain_bundle).version


@pytest.mark.usefixtures("store")
def test_a_model_that_is_not_registered_is_found_by_its_run(plain_bundle: Path) -> None:
    with tracked_run("plain", {}, {}) as run_id:
        assert log_bundle(plain_bundle, register=False) is None
    assert load_bundle(download_bundle(f"runs:/{run_id}/bundle")).version == load_bundle(plain_bundle).version
    assert len(client().search_model_versions("name='journeycast'")) == 1


@pytest.mark.parametrize(
    "reference",
    ["models:/journeycast@challenger", "models:/journeycast/7", "models:/nobody@champion", "models:/journeycast",
     "runs:/0123456789abcdef/bundle"],
)  # fmt: skip
def test_a_reference_that_leads_nowhere_is_told(store: Path, reference: str) -> None:
    with pytest.raises(BadUsage) as caught:
        download_bundle(reference)
    told = f"{reference} was not found in sqlite:///{store}/mlflow.db; check the name, alias and store"
    assert (caught.value.code, str(caught.value)) == ("no_model", told)


@pytest.mark.usefixtures("store")
def test_a_model_that_is_not_ours_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("somebody else's")
    with tracked_run("other", {}, {}) as run_id:
        tracking.mlflow.pyfunc.log_model(
            name="other", loader_module="json", data_path=str(tmp_path / "other"), pip_requirements=[]
        )
    with pytest.raises(BadUsage) as caught:
        download_bundle(f"runs:/{run_id}/other")
    assert (caught.value.code, str(caught.value)) == ("no_model", f"runs:/{run_id}/other is not a Journeycast model")


@pytest.fixture
def kept(store: Path) -> Path:
    """The champion as MLflow keeps it."""
    return Path(tracking.mlflow.artifacts.download_artifacts(CHAMPION, dst_path=str(store / "kept")))


def test_a_model_is_kept_without_pickle_and_says_what_opens_it(kept: Path) -> None:
    names = {path.relative_to(kept).as_posix() for path in files_in(kept)}
    assert {name for name in names if not name.startswith("data/bundle/")} == {
        "MLmodel", "conda.yaml", "python_env.yaml", "registered_model_meta", "requirements.txt",
    }  # fmt: skip
    assert {Path(name).suffix for name in names} == {"", ".json", ".onnx", ".safetensors", ".txt", ".yaml"}
    assert "loader_module: serving.pyfunc" in (kept / "MLmodel").read_text()


def test_a_model_names_every_package_that_its_loader_imports_and_none_of_training(kept: Path) -> None:
    pinned = dict(line.split("==") for line in (kept / "requirements.txt").read_text().splitlines())
    assert pinned["polars"] == version("polars")
    assert imported_by("serving.pyfunc") - {"pydantic_core"} <= set(pinned)  # that one comes with pydantic
    assert {"torch", "transformers", "scikit-learn"} & set(pinned) == set()


def imported_by(module: str) -> set[str]:
    """The packages of others that a module of ours imports, and those that it leads to."""
    found: set[str] = set()
    ours = [module]
    for name in ours:
        tree = ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text("utf-8"))
        lines = [line for line in ast.walk(tree) if isinstance(line, ast.Import | ast.ImportFrom)]
        named = {line.module or "" for line in lines if isinstance(line, ast.ImportFrom)}
        named |= {alias.name for line in lines if isinstance(line, ast.Import) for alias in line.names}
        ours += sorted(name for name in named if name.split(".")[0] in ROOMS and name not in ours)
        found |= {name.split(".")[0] for name in named} - ROOMS - set(sys.stdlib_module_names)
    return found


# Privacy


def test_no_word_and_no_id_of_a_touchpoint_is_in_the_store_or_among_the_artifacts(trained: Path) -> None:
    touchpoints = pl.read_parquet(trained / "simulated" / "touchpoints.parquet")
    names = ("customer_id", "event_id", "conversation_id")
    ids = re.compile(rb"simulated-[a-z-]*[0-9]{7}")
    assert all(ids.fullmatch(value.encode()) for name in names for value in touchpoints[name].drop_nulls().unique())
    words = [text.encode() for text in touchpoints["text"].drop_nulls().unique().sort() if len(text) > 30]
    # The embedder is everybody's: it was there before the touchpoints.
    kept = [path for path in files_in(trained / "mlruns") if path.parent.name != "embedder"]
    content = b"\n".join(path.read_bytes() for path in [trained / "mlflow.db", *kept])
    assert b"reads_text" in content
    assert ids.findall(content) == []
    assert len(words) > 500
    assert [text for text in words if text in content] == []
