"""What a command tells while it works: lines, tables and bars, all on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn, Task, TaskID, TimeRemainingColumn
from rich.text import Text


class Reporter:
    """Tells people on a terminal, or in a file that their output is sent to."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    def say(self, line: str | Text) -> None:
        """Print a line that may hold names of files and columns: nothing in it is markup, no end of line is added."""
        self._console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def show(self, table: RenderableType) -> None:
        """Print a table."""
        self._console.print(table)

    def fault(self, code: str, line: str) -> None:
        """Tell one fault, by its code and in words."""
        self.say(Text.assemble((code, "bold red"), ": ", line))

    @contextmanager
    def progress(self) -> Iterator[Callable[[str, int, int], None]]:
        """A bar for each kind of work, with its rate and the time left; yields what takes (what, done, total)."""
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


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")
