"""What a command tells while it works: lines, tables and bars for people, or JSON Lines, all on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Literal

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn, Task, TaskID, TimeRemainingColumn
from rich.text import Text

Form = Literal["text", "json"]
Report = Callable[[str, int, int], None]
WIDTH: Final = 150
LINE_EVERY_S: Final = 5.0  # of one kind of work; its first and last line always come


class Reporter:
    """Tells in text, as it begins, or in JSON Lines with the time from `now`; when quiet, nothing but faults."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        # In a file or a pipe no figure of a table is cut.
        self._console = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
        self._now = now
        self._form: Form = "text"
        self._quiet = False

    def speak(self, form: Form, quiet: bool) -> None:
        """Tell in this form from now on."""
        self._form, self._quiet = form, quiet

    def say(self, line: str) -> None:
        """Tell a line that may hold names of files and columns: nothing in it is markup, no end of line is added."""
        if self._quiet:
            return
        if self._form == "json":
            self._write("info", message=line)
        else:
            self._print(line)

    def show(self, table: RenderableType, name: str = "", figures: Mapping[str, Any] | None = None) -> None:
        """Show a table to people; in JSON Lines, the figures it is made of (NaN as null) where they are named."""
        if self._quiet:
            return
        if self._form == "json":
            if not figures:
                return
            told = {key: None if value != value else value for key, value in figures.items()}
            self._write("info", event=name, figures=told)
        else:
            self._console.print(table)

    def fault(self, code: str, line: str) -> None:
        """Tell one fault, by its code and in words."""
        if self._form == "json":
            self._write("error", code=code, message=line)
        else:
            self._print(Text.assemble((code, "bold red"), ": ", line))

    @contextmanager
    def progress(self) -> Iterator[Report]:
        """Tell how far each kind of work is, and the time left; yields what takes (what, done, total)."""
        if self._quiet:
            yield lambda _what, _done, _total: None
        elif self._form == "json":
            yield _JsonProgress(self._write).report
        else:
            with self._bars() as report:
                yield report

    @contextmanager
    def _bars(self) -> Iterator[Report]:
        columns = (*Progress.get_default_columns()[:-1], _Rate(), TimeRemainingColumn())
        bars, tasks = Progress(*columns, console=self._console), dict[str, TaskID]()

        def report(what: str, done: int, total: int) -> None:
            bars.start()
            task = tasks[what] if what in tasks else tasks.setdefault(what, bars.add_task(what))
            bars.update(task, completed=done, total=total or None)

        try:
            yield report
        finally:
            if tasks:  # else a fault would be told after an empty line
                bars.stop()

    def _print(self, line: str | Text) -> None:
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def _write(self, level: str, **told: Any) -> None:
        line = {"time": self._now().isoformat(), "level": level, **told}
        print(json.dumps(line, ensure_ascii=False), file=sys.stderr, flush=True)


class _JsonProgress:
    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write
        self._begun_s: dict[str, float] = {}
        self._told_s: dict[str, float] = {}

    def report(self, what: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        elapsed_s = now_s - self._begun_s.setdefault(what, now_s)
        is_due = now_s - self._told_s.get(what, -LINE_EVERY_S) >= LINE_EVERY_S
        if is_due or done == total:
            self._told_s[what] = now_s
            left_s = round(elapsed_s / done * (total - done), 1) if done and total else None
            self._write("info", event="progress", what=what, done=done, total=total or None, seconds_left=left_s)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:,.0f}/s" if speed >= 1 else f"{60 * speed:,.0f}/min")
