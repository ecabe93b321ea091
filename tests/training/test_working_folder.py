"""The commit that a training ran beside, asked of a real repository."""

import subprocess
from pathlib import Path

from training.working_folder import git_state


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Anna", "-c", "user.email=anna@example.org", "-c", "commit.gpgsign=false"]
    asked = subprocess.run(["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True)
    return asked.stdout.strip()


def test_a_folder_without_repository_or_commit_has_no_state(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert git_state(tmp_path) is None
    assert git_state(tmp_path / "nowhere") is None


def test_a_commit_and_whether_tracked_files_differ_from_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("one\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_state(tmp_path) == (commit, False)
    (tmp_path / "mlflow.db").write_text("not tracked")
    assert git_state(tmp_path) == (commit, False)
    (tmp_path / "code.py").write_text("two\n")
    assert git_state(tmp_path) == (commit, True)
    (tmp_path / "within").mkdir()
    assert git_state(tmp_path / "within") == (commit, True)
