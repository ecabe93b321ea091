"""Which code a training ran beside: the commit of the folder that it was started in."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

MOST_SECONDS: Final = 10


def git_state(folder: Path) -> tuple[str, bool] | None:
    """The commit checked out in `folder`, and whether tracked files differ from it; None without git or a commit."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None or changes is None else (commit, bool(changes))


def _git(folder: Path, *words: str) -> str | None:
    try:
        asked = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=MOST_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()
