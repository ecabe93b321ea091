"""A store that is made whole or not at all, by one process at a time."""

import fcntl
import os
from pathlib import Path

import pytest

from training.sqlite_store import make_store, sqlite_file, store_lock


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("sqlite:///{folder}/mlflow.db", "mlflow.db"),
        ("sqlite:///{folder}/mlflow.db?timeout=60", "mlflow.db"),
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:///{folder}/nowhere/mlflow.db", None),
        ("sqlite:///:memory:", None),
        ("http://127.0.0.1:5000", None),
        ("postgresql://anna@localhost/mlflow", None),
    ],
)
def test_which_stores_are_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, name: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sqlite_file(address.format(folder=tmp_path)) == (None if name is None else tmp_path / name)


def test_a_store_appears_when_it_is_whole_and_what_was_begun_before_is_forgotten(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/mlflow.db"
    for left in (".mlflow.db.begun", ".mlflow.db.begun-journal"):
        (tmp_path / left).write_text("half of it")
    seen = []

    def fill(fresh: str) -> None:
        seen.append([path.name for path in tmp_path.iterdir()])
        Path(fresh.removeprefix("sqlite:///")).write_text("whole")

    make_store(address, fill)
    make_store(address, fill)
    assert seen == [[]]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"mlflow.db": "whole"}


def test_a_making_that_fails_leaves_no_store(tmp_path: Path) -> None:
    def fill(fresh: str) -> None:
        Path(fresh.removeprefix("sqlite:///")).write_text("half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_store(f"sqlite:///{tmp_path}/mlflow.db", fill)
    assert not (tmp_path / "mlflow.db").exists()


def test_the_lock_keeps_others_out_while_it_is_held_and_leaves_no_file(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with store_lock(f"sqlite:///{tmp_path}/mlflow.db"), pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(folder)
    with store_lock("http://127.0.0.1:5000"):
        pass
    assert list(tmp_path.iterdir()) == []
