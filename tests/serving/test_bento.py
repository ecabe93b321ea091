import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[2]
LIMIT_S = 120


BENTOML = [sys.executable, "-m", "bentoml"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BentoML's home with the Bento that `bentoml build` makes of this repository."""
    home = tmp_path_factory.mktemp("bentoml")
    environment = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    done = subprocess.run(
        [*BENTOML, "build", str(ROOT), "--version", "test"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    take_compiled_code(home / "bentos" / "journeycast" / "test" / "src")
    return home


def take_compiled_code(source: Path) -> None:
    """Have Numba find what it compiled in this repository: the same files, half a minute's work."""
    for path in source.rglob("*.py"):
        original = ROOT / path.relative_to(source)
        os.utime(path, ns=(original.stat().st_atime_ns, original.stat().st_mtime_ns))
    for room in ("features", "models"):
        (source / room / "__pycache__").mkdir(exist_ok=True)
        for compiled in (ROOT / room / "__pycache__").glob("*.nb[ic]"):
            shutil.copy2(compiled, source / room / "__pycache__")


@pytest.fixture(scope="module")
def bento(home: Path) -> Path:
    return home / "bentos" / "journeycast" / "test"


def test_a_bento_holds_the_serving_side_alone(bento: Path) -> None:
    inside = {path.relative_to(bento / "src") for path in (bento / "src").rglob("*") if path.is_file()}
    assert {path.parts[0] for path in inside} <= {"features", "models", "serving", "LICENSE", "bentofile.yaml"}
    assert {path.suffix for path in inside if path.parts[0] == "serving"} <= {".py", ".html", ".j2"}
    assert not (bento / "models").exists()


def test_a_bento_asks_for_the_ranges_of_the_project_and_not_for_torch() -> None:
    asked = yaml.safe_load((ROOT / "bentofile.yaml").read_text())["python"]["packages"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(asked) <= {*project["dependencies"], *project["optional-dependencies"]["serve"]}
    assert set(project["optional-dependencies"]["serve"]) <= set(asked)
    assert not {"torch", "lightgbm", "mlflow", "scikit-learn"} & {words.partition(">")[0] for words in asked}


def test_the_endpoint_scores_without_what_lists_and_trainings_need(plain_bundle: Path) -> None:
    code = (
        "import pathlib, sys, serving.service\n"
        "serving.service._open(pathlib.Path(sys.argv[1])).score_histories([('a', [])], 0, reasons=True)\n"
        "print('scipy.linalg', 'scipy.linalg' in sys.modules, *{name.partition('.')[0] for name in sys.modules})\n"
        "import scipy.linalg"  # whoever wants it afterwards has it
    )
    asked = [sys.executable, "-c", code, plain_bundle]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    assert done.stdout.startswith("scipy.linalg False ")
    assert {"numba", "bentoml"} <= set(done.stdout.split())
    assert not {"dataframely", "lightgbm", "mlflow", "pandas", "polars", "sklearn", "torch"} & set(done.stdout.split())


def test_its_image_is_small_and_its_user_is_not_root(bento: Path) -> None:
    lines = (bento / "env" / "docker" / "Dockerfile").read_text().splitlines()
    made = [line for line in lines if line and not line.startswith("#")]
    assert made[0].startswith("FROM python:3.11-slim")
    users = [line for line in made if line.startswith("USER")]
    assert users == ["USER journeycast"]
    assert made.index("USER journeycast") < next(i for i, line in enumerate(made) if line.startswith("ENTRYPOINT"))
    assert not [line for line in made if "apt-get" in line or "torch" in line]
    copied = [word for line in made if line.startswith("COPY") for word in line.split()[1:-1] if word[0] != "-"]
    assert all((bento / path).exists() for path in copied)


@pytest.mark.parametrize("how", ["bentoml serve", "as its image starts"])
def test_what_was_built_answers(how: str, home: Path, bento: Path, plain_bundle: Path, tmp_path: Path) -> None:
    port = str(free_port())
    served = [*BENTOML, "serve", "journeycast:test", "--host", "127.0.0.1", "--port", port]
    command = served if how == "bentoml serve" else [sys.executable, "-m", "serving.launch", "127.0.0.1", port]
    environment = os.environ | {
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "JOURNEYCAST_BUNDLE": str(plain_bundle),
        "JOURNEYCAST_SERVE_DRAIN_S": "0.1",
        "PYTHONSAFEPATH": "",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=bento / "src", env=environment, stdout=log, stderr=log)
    try:
        body = {"as_of": "2026-01-20T00:00:00Z", "customers": [{"customer_id": "a", "touchpoints": []}]}
        until = time.monotonic() + LIMIT_S
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.1)
        answer = httpx.post(
            f"http://127.0.0.1:{port}/score", content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        assert [score["reliability"] for score in answer.json()["scores"]] == ["no_data"]
    finally:
        process.terminate()
        process.wait(LIMIT_S)
