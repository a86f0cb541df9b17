"""Progress of the stages: bars on a terminal, one line per finished stage anywhere else."""

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from models.trackers import Tracking


class Progress:
    """Where stages report; one stage at a time."""

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(file=sys.stderr, quiet=quiet, highlight=False)
        self.indent = ""
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._bar: TaskID | None = None

    def __enter__(self) -> "Progress":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def section(self, title: str) -> None:
        """A heading, such as the number of the round."""
        self._clear()
        self.console.print(f"[bold]{title}[/bold]")

    def note(self, text: str) -> None:
        """A line below the current stage."""
        self.console.print(f"    {text}", markup=False, soft_wrap=True)

    def notes(self, tracking: Tracking | None) -> None:
        """A line for each tracker that has failed meanwhile."""
        for line in tracking.failures() if tracking else ():
            self.note(line)

    def log(self, text: str) -> None:
        """A line for the log of a run, if it has one; the terminal shows less."""

    def start(self, label: str) -> None:
        self._clear()
        self._bar = self._bars.add_task(label, total=None)

    def update(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bars.update(self._bar, completed=done, total=total)

    def finish(self, label: str, *, cached: bool, seconds: float) -> None:
        self._clear()
        spent = "cached" if cached else f"{seconds:.1f} s"
        self.console.print(f"  {label:<34} {spent:>9}", markup=False)

    def _clear(self) -> None:
        if self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None
