import errno
import shutil
from pathlib import Path

import pytest

from features.errors import BadEnvironment
from serving.bundle_watch import BundleWatch


class Shelf:
    """Opens a folder by reading its one file, and remembers what was installed."""

    def __init__(self, path: Path) -> None:
        self.opened = 0
        self.installed: list[str] = []
        self.watch = BundleWatch(path, self.open, self.installed.append)

    def open(self, folder: Path) -> str:
        self.opened += 1
        content = (folder / "model.json").read_text()
        if content == "damaged":
            raise BadEnvironment("bundle_corrupt", "restore the bundle")
        if content == "broken":
            raise ValueError("CANARY")
        return content


def write(folder: Path, content: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(content)
    return folder


def replaced(folder: Path, content: str) -> None:
    draft = write(folder.with_name("draft"), content)
    shutil.rmtree(folder)
    draft.rename(folder)


def test_a_bundle_is_opened_once_and_again_when_its_folder_is_replaced(tmp_path: Path) -> None:
    shelf = Shelf(write(tmp_path / "bundle", "one"))
    shelf.watch.look()
    shelf.watch.look()
    replaced(tmp_path / "bundle", "two")
    shelf.watch.look()
    assert (shelf.installed, shelf.opened) == (["one", "two"], 2)


def test_a_link_that_is_moved_is_followed(tmp_path: Path) -> None:
    current = tmp_path / "current"
    current.symlink_to(write(tmp_path / "a", "one"))
    shelf = Shelf(current)
    shelf.watch.look()
    (tmp_path / "next").symlink_to(write(tmp_path / "b", "two"))
    (tmp_path / "next").replace(current)
    shelf.watch.look()
    assert shelf.installed == ["one", "two"]


def test_what_is_refused_is_told_once_and_leaves_the_old_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(write(tmp_path / "bundle", "one"))
    for content in ("one", "damaged", "broken", "two"):
        write(tmp_path / "bundle", content)
        shelf.watch.look()
        shelf.watch.look()
    assert shelf.installed == ["one", "two"]
    assert [message.split(" < ")[0] for message in caplog.messages] == [
        "the bundle is refused: bundle_corrupt: restore the bundle",
        "the bundle is refused: ValueError",
    ]
    assert "CANARY" not in caplog.text


def test_between_two_renames_nothing_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(write(tmp_path / "bundle", "one"))
    shelf.watch.look()
    (tmp_path / "bundle").rename(tmp_path / "away")
    shelf.watch.look()
    (tmp_path / "away").rename(tmp_path / "bundle")
    shelf.watch.look()
    assert (shelf.installed, caplog.messages) == (["one"], [])


def test_a_bundle_may_come_after_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(tmp_path / "bundle")
    shelf.watch.look()
    assert caplog.messages == ["the bundle is refused: no_bundle: there is no bundle at the given path"]
    write(tmp_path / "bundle", "one")
    shelf.watch.look()
    assert shelf.installed == ["one"]


def test_what_the_system_refused_is_tried_again_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(write(tmp_path / "bundle", "one"))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", too_many_open)
        shelf.watch.look()
        shelf.watch.look()
    assert len(caplog.messages) == 1
    shelf.watch.look()
    shelf.watch.look()
    assert (shelf.installed, shelf.opened) == (["one"], 3)


def too_many_open(_: Path) -> str:
    raise OSError(errno.EMFILE, "Too many open files")


def test_a_bundle_that_is_gone_is_told_once_and_one_that_comes_is_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(write(tmp_path / "bundle", "one"))
    shelf.watch.look()
    shutil.rmtree(tmp_path / "bundle")
    shelf.watch.look()
    shelf.watch.look()
    assert caplog.messages == []  # so long, it may be on its way

    for _ in range(3):
        shelf.watch.look()
    assert caplog.messages == [
        "there is no bundle at the given path any more; the one that was opened last is served on"
    ]
    write(tmp_path / "bundle", "two")
    shelf.watch.look()
    assert shelf.installed == ["one", "two"]
