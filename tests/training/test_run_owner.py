"""A process is told from those that are no more, that took its number, or that run elsewhere."""

import os
import subprocess
import sys

import pytest

from training import run_owner
from training.run_owner import has_ended, this_process

WRITE = "from training.run_owner import this_process; print(this_process(), flush=True); input()"


def test_this_process_lives() -> None:
    assert not has_ended(this_process())


def test_a_process_has_ended_when_it_is_killed_even_before_its_parent_asks() -> None:
    with subprocess.Popen([sys.executable, "-c", WRITE], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as other:
        assert other.stdout is not None
        line = other.stdout.readline().decode().strip()
        assert not has_ended(line)
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it is gone, its exit code still waits to be asked for
        assert has_ended(line)
    assert has_ended(line)


def test_another_process_of_its_number_is_not_taken_for_it() -> None:
    where, number, began_s = this_process().rsplit(" ", 2)
    assert has_ended(f"{where} {number} {int(began_s) - 60}")
    assert not has_ended(f"{where} {number} {int(began_s) - 1}")


def test_nothing_is_said_of_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    line = this_process().rsplit(" ", 2)[0] + " 4194305 0"
    assert has_ended(line)
    monkeypatch.setattr(run_owner.socket, "gethostname", lambda: "elsewhere")
    assert not has_ended(line)
