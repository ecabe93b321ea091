"""Runs and models in MLflow: what is recorded, what never is, and what happens when something fails."""

import ast
import errno
import json
import re
import sys
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pytest

from features.errors import BadData, BadEnvironment, BadUsage
from models.bundle import load_bundle
from training import tracking
from training.fingerprint import Fingerprint
from training.run_owner import this_process
from training.tracking import (
    download_bundle,
    log_bundle,
    log_data,
    log_folder,
    log_metrics,
    register_bundle,
    tracked_run,
)

ROOT = Path(__file__).parents[2]
ROOMS = {"features", "models", "serving", "training"}
CHAMPION = "models:/journeycast@champion"


def client() -> tracking.mlflow.MlflowClient:
    return tracking.mlflow.MlflowClient()


def status(run_id: str) -> str:
    return str(client().get_run(run_id).info.status)


def champion_version() -> str:
    return str(client().get_model_version_by_alias("journeycast", "champion").version)


def registered(bundle: Path) -> str:
    with tracked_run("another", {}, {}) as run_id:
        log_bundle(bundle)
    return register_bundle(run_id)


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


@pytest.mark.parametrize(
    ("fault", "ends"),
    [
        (BadData("too_few_conversions", "found 3"), "FAILED"),
        (ValueError("bug"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(143), "KILLED"),
    ],
)
@pytest.mark.usefixtures("store")
def test_a_run_in_which_something_fails_says_so_and_the_fault_passes(fault: BaseException, ends: str) -> None:
    with pytest.raises(type(fault)) as caught, tracked_run("spring", {}, {}) as run_id:
        raise fault
    assert caught.value is fault
    assert status(run_id) == ends
    with tracked_run("summer", {}, {}) as following:
        pass
    assert status(following) == "FINISHED"


@pytest.mark.usefixtures("store")
def test_a_run_within_a_run_is_its_child() -> None:
    with tracked_run("spring", {}, {}) as parent:
        for fold in range(2):
            with tracked_run(f"fold {fold}", {"fold": fold}, {}):
                log_metrics({"conversion_30d/roc_auc": 0.5 + fold})
        with pytest.raises(ValueError, match="bug"), tracked_run("fold 2", {}, {}):
            raise ValueError("bug")
        log_metrics({"conversion_30d/roc_auc": 0.75}, step=2)
    children = client().search_runs(["1"], f"tags.mlflow.parentRunId = '{parent}'", order_by=["attributes.run_name"])
    assert [(run.info.run_name, run.info.status) for run in children] == [
        ("fold 0", "FINISHED"), ("fold 1", "FINISHED"), ("fold 2", "FAILED"),
    ]  # fmt: skip
    assert [run.data.metrics for run in children[:2]] == [{"conversion_30d/roc_auc": 0.5 + fold} for fold in range(2)]
    assert status(parent) == "FINISHED"
    (figure,) = client().get_metric_history(parent, "conversion_30d/roc_auc")
    assert (figure.value, figure.step) == (0.75, 2)


@pytest.mark.usefixtures("store")
def test_figures_that_are_not_finite_are_named_not_kept() -> None:
    figures = {"stage/log_loss": float("inf"), "stage/f1_won": float("nan"), "stage/n": 3.0}
    with tracked_run("spring", {}, {}) as run_id:
        log_metrics(figures)
    run = client().get_run(run_id)
    assert run.data.metrics == {"stage/n": 3.0}
    assert run.data.tags["not_finite"] == "stage/log_loss, stage/f1_won"


@pytest.mark.usefixtures("store")
def test_data_are_known_by_their_digest_schema_and_counts() -> None:
    types = {"customer_id": "string", "as_of": "datetime", "conversion_30d": "boolean"}
    with tracked_run("spring", {}, {}) as run_id:
        log_data(Fingerprint("labelled rows", "0a1b", types, {"rows": 6, "customers": 4}), "a.csv, b.csv", "training")
    (used,) = client().get_run(run_id).inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("labelled rows", "0a1b")
    assert json.loads(used.dataset.profile) == {"rows": 6, "customers": 4}
    columns = json.loads(used.dataset.schema)["mlflow_colspec"]
    assert {column["name"]: column["type"] for column in columns} == types
    assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "training")]
    assert tracking.mlflow.data.get_source(used.dataset).to_dict() == {"uri": "a.csv, b.csv"}


@pytest.mark.usefixtures("store")
def test_the_files_of_a_folder_are_kept_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "card" / "pictures").mkdir(parents=True)
    (tmp_path / "card" / "index.html").write_text("<title>Card</title>")
    (tmp_path / "card" / "pictures" / "lift.svg").write_text("<svg/>")
    with tracked_run("spring", {}, {}) as run_id:
        log_folder(tmp_path / "card", "model card")
    kept = Path(tracking.mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="model card"))
    assert {path.relative_to(kept).as_posix() for path in files_in(kept)} == {"index.html", "pictures/lift.svg"}


@pytest.mark.usefixtures("store")
def test_a_run_says_which_process_and_which_commit_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = []
    for state in (None, ("0a1b", False), ("0a1b", True)):
        monkeypatch.setattr(tracking, "git_state", lambda folder, state=state: state if folder == Path.cwd() else None)
        with tracked_run("spring", {}, {"labels": "given"}) as run_id:
            tags.append(client().get_run(run_id).data.tags)
    assert {tag["process"] for tag in tags} == {this_process()}
    assert [tag.get("git_dirty") for tag in tags] == [None, "false", "true"]
    assert [tag["mlflow.source.git.commit"] for tag in tags[1:]] == ["0a1b", "0a1b"]


@pytest.mark.usefixtures("store")
def test_the_experiment_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "spring campaign")
    with tracked_run("spring", {}, {}) as run_id:
        pass
    experiment = client().get_experiment(client().get_run(run_id).info.experiment_id)
    assert experiment.name == "spring campaign"


@pytest.mark.usefixtures("store")
def test_a_run_whose_process_is_no_more_is_killed_by_the_next_and_no_other_is() -> None:
    gone = this_process().rsplit(" ", 2)[0] + " 4194305 1000000000"
    elsewhere = "other-machine/00000000 1 1000000000"
    runs = {}
    for owner in (gone, elsewhere, this_process()):
        runs[owner] = client().create_run("1", tags={"process": owner}).info.run_id
    model = client().create_logged_model("1", name="bundle", source_run_id=runs[gone])
    with tracked_run("spring", {}, {}):
        pass
    assert [status(run_id) for run_id in runs.values()] == ["KILLED", "RUNNING", "RUNNING"]
    assert client().get_logged_model(model.model_id).status == "FAILED"


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
    with tracked_run("plain", {}, {}) as run_id:
        log_bundle(plain_bundle)
    assert register_bundle(run_id) == "2"
    assert champion_version() == "1"
    assert files_of(CHAMPION) == champion
    assert load_bundle(download_bundle("models:/journeycast/2")).version == load_bundle(plain_bundle).version
    client().set_registered_model_alias("journeycast", "champion", "2")
    assert load_bundle(download_bundle(CHAMPION)).version == load_bundle(plain_bundle).version


@pytest.mark.usefixtures("store")
def test_a_model_that_is_not_registered_is_found_by_its_run(plain_bundle: Path) -> None:
    with tracked_run("plain", {}, {}) as run_id:
        log_bundle(plain_bundle)
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


def test_looking_where_no_store_is_makes_none(store: Path) -> None:
    (store / "mlflow.db").unlink()
    before = list(store.iterdir())

    with pytest.raises(BadUsage, match="was not found in sqlite"):
        download_bundle(CHAMPION)
    assert tracking.registered_version(CHAMPION) is None
    assert list(store.iterdir()) == before


@pytest.mark.usefixtures("store")
def test_a_run_that_kept_no_such_model_is_told() -> None:
    with tracked_run("empty", {}, {}) as run_id:
        pass
    with pytest.raises(BadUsage, match="was not found in sqlite") as caught:
        download_bundle(f"runs:/{run_id}/nothing")
    assert caught.value.code == "no_model"


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


@pytest.mark.usefixtures("store")
def test_a_promotion_waits_for_a_rollback_that_has_begun(plain_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = champion_version(), registered(plain_bundle), registered(plain_bundle)
    tracking.promote_version(second)
    promoting = threading.Thread(target=tracking.promote_version, args=[third])
    look = tracking._former_of

    def look_while_another_promotes(version: str) -> str | None:
        if promoting.ident is None:
            promoting.start()
            promoting.join(0.5)
        return look(version)

    monkeypatch.setattr(tracking, "_former_of", look_while_another_promotes)
    assert tracking.roll_back() == (second, first)
    promoting.join()
    assert champion_version() == third


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


@pytest.mark.usefixtures("store")
def test_a_download_that_fails_is_told_as_such_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def full(reference: str, dst_path: str) -> str:
        (Path(dst_path) / reference[-8:]).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tracking.mlflow.artifacts, "download_artifacts", full)
    before = list(tmp_path.iterdir())
    with pytest.raises(BadEnvironment) as caught:
        download_bundle(CHAMPION)
    assert caught.value.code == "tracking_unreachable"
    assert list(tmp_path.iterdir()) == before
