"""What a command tells, in each form."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.progress import Task, TaskID
from rich.table import Table

from features import reporter as module
from features.reporter import Reporter

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def tell_all(reporter: Reporter) -> None:
    reporter.say("3 rows of [b]a.csv[/b] :smile:")
    reporter.show(Table("heading", title="Figures"), "judgement", {"roc_auc": 0.75, "log_loss": float("nan")})
    reporter.show(Table("another"))
    with reporter.progress() as report:
        report("Fitting", 0, 2)
        report("Fitting", 1, 2)
        report("Fitting", 2, 2)
    reporter.fault("bad_data", "found 1, expected 2")


def told(capsys: pytest.CaptureFixture[str], form: Any, quiet: bool) -> list[str]:
    reporter = Reporter(lambda: NOW)
    reporter.speak(form, quiet)
    tell_all(reporter)
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()


def test_people_read_lines_as_they_are_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, "text", quiet=False)
    assert lines[0] == "3 rows of [b]a.csv[/b] :smile:"
    assert [line.strip() for line in lines if "heading" in line or "another" in line] == ["┃ heading ┃", "┃ another ┃"]
    assert [line.split()[0] for line in lines if "100%" in line] == ["Fitting"]
    assert lines[-1] == "bad_data: found 1, expected 2"


def test_programs_read_json_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([10.0, 12.0, 13.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(seconds))
    progress = {"time": "2026-01-31T00:00:00+00:00", "level": "info", "event": "progress", "what": "Fitting"}
    assert [json.loads(line) for line in told(capsys, "json", quiet=False)] == [
        {"time": "2026-01-31T00:00:00+00:00", "level": "info", "message": "3 rows of [b]a.csv[/b] :smile:"},
        {"time": "2026-01-31T00:00:00+00:00", "level": "info", "event": "judgement",
         "figures": {"roc_auc": 0.75, "log_loss": None}},
        {**progress, "done": 0, "total": 2, "seconds_left": None},
        {**progress, "done": 2, "total": 2, "seconds_left": 0.0},
        {"time": "2026-01-31T00:00:00+00:00", "level": "error", "code": "bad_data", "message": "found 1, expected 2"},
    ]  # fmt: skip


def test_progress_is_told_every_five_seconds_with_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([10.0, 14.0, 15.0, 19.0, 21.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(seconds))
    reporter = Reporter(lambda: NOW)
    reporter.speak("json", quiet=False)
    with reporter.progress() as report:
        for done in range(5):
            report("Embedding messages", done, 20)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["done"], line["seconds_left"]) for line in lines] == [(0, None), (2, 45.0), (4, 44.0)]


@pytest.mark.parametrize(("form", "fault"), [("text", "bad_data: found"), ("json", '{"time": "2026-01-31')])
def test_when_quiet_only_faults_are_told(capsys: pytest.CaptureFixture[str], form: str, fault: str) -> None:
    lines = told(capsys, form, quiet=True)
    assert len(lines) == 1
    assert lines[0].startswith(fault)


@pytest.mark.parametrize(
    ("speed", "told"), [(None, ""), (0.0, ""), (0.05, "3/min"), (1.0, "1/s"), (12_345.6, "12,346/s")]
)
def test_what_takes_longer_than_a_second_is_counted_by_the_minute(speed: float | None, told: str) -> None:
    task = Task(TaskID(0), "", None, 0, lambda: 0.0)
    task.finished_speed = speed
    assert module._Rate().render(task).plain == told
