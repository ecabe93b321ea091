"""What an endpoint serves by a registered alias: the link moves with the alias, and stays while the store is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from features.errors import BadUsage
from models.bundle import load_bundle
from training import tracking
from training.followed_champion import FollowedChampion, followed

CHAMPION = "models:/journeycast@champion"


@pytest.fixture
def other(plain_bundle: Path, store: Path) -> str:  # noqa: ARG001 (tracking writes into the store)
    """The version of another registered model."""
    with tracking.tracked_run("other", {}, {}) as run_id:
        tracking.log_bundle(plain_bundle)
    return tracking.register_bundle(run_id)


def test_the_link_moves_when_the_alias_does_and_what_was_served_stays_a_while(
    other: str, plain_bundle: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    champion = FollowedChampion(CHAMPION, tmp_path / "bundle", told.append)
    champion.look()
    first, folder = load_bundle(tmp_path / "bundle").version, (tmp_path / "bundle").resolve()
    champion.look()
    assert (tmp_path / "bundle").resolve() == folder

    tracking.promote_version(other)
    champion.look()
    assert load_bundle(tmp_path / "bundle").version == load_bundle(plain_bundle).version != first
    assert load_bundle(folder).version == first
    assert told == [f"{CHAMPION} is version {other} now"]

    tracking.roll_back()
    champion.look()
    assert load_bundle(tmp_path / "bundle").version == first
    assert not folder.exists()
    kept = [path for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()]
    assert len(kept) == 2, "what is served, and what was before it"


def test_a_thread_follows_and_ends_and_an_alias_that_is_gone_is_told_once(other: str, plain_bundle: Path) -> None:
    told: list[str] = []
    with followed(CHAMPION, told.append, every_s=0.05) as link:
        assert "followed champion" in {thread.name for thread in threading.enumerate()}
        first = load_bundle(link).version
        client = tracking.mlflow.MlflowClient()
        client.delete_registered_model_alias("journeycast", "champion")
        wait_for(lambda: len(told) == 1)
        time.sleep(0.5)
        assert "is not followed: models:/journeycast@champion was not found" in told.pop()
        assert load_bundle(link).version == first
        client.set_registered_model_alias("journeycast", "champion", other)
        # The link is followed once, as the endpoint does: it may move between two files.
        wait_for(lambda: load_bundle(link.resolve()).version == load_bundle(plain_bundle).version)
    assert told == [f"{CHAMPION} is version {other} now"]
    assert "followed champion" not in {thread.name for thread in threading.enumerate()}
    assert not link.parent.exists()


def wait_for(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.mark.usefixtures("store")
def test_an_alias_that_nobody_has_is_refused_at_once() -> None:
    with (
        pytest.raises(BadUsage, match="models:/journeycast@nobody was not found"),
        followed("models:/journeycast@nobody", print),
    ):
        pytest.fail("nothing to follow")


@pytest.mark.usefixtures("store")
def test_an_end_does_not_wait_for_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def look(_: FollowedChampion) -> None:
        if threading.current_thread() is not threading.main_thread():
            asked.set()
            answer.wait(30)

    monkeypatch.setattr(FollowedChampion, "look", look)
    with followed(CHAMPION, lambda _: None, every_s=0.01):
        assert asked.wait(30)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    answer.set()
