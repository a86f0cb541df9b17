"""What is shown while something takes its time and cannot say how far it is.

On a terminal a line with the seconds, which goes when it is over; in a pipe a line once it takes
long and another every half minute, so that nobody takes silence for a hang.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

SILENCE = 30.0  # seconds between two lines in a pipe
_PATIENCE = 3.0  # seconds until the first one

# ASCII: a Latin-1 terminal shows it too.
SPINNER = "line"


def to_stderr(quiet: bool = False) -> Console:
    """The console of everything that is no result."""
    return Console(file=sys.stderr, quiet=quiet, highlight=False)


class Ticker:
    """Calls a function from a thread, a second apart, while a block runs."""

    def __init__(self, tick: Callable[[], None], seconds: float = 1.0) -> None:
        self._tick, self._seconds, self._over = tick, seconds, Event()
        self._thread = Thread(target=self._run, daemon=True, name="progress")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            self._tick()


class _Line:
    """A spinner, what is being done, and for how long."""

    def __init__(self, text: str) -> None:
        self._spinner, self._text, self._began = Spinner(SPINNER), text, monotonic()

    def __rich__(self) -> Table:
        row = Table.grid(padding=(0, 1))
        spent = f"{monotonic() - self._began:.0f} s"
        row.add_row(self._spinner, Text(self._text), Text(spent, style="dim"))
        return row


_shown: list[Callable[[], None]] = []  # what ends the line that is shown now


@contextmanager
def waiting(text: str, console: Console) -> Iterator[None]:
    """Say what is being done for as long as the block runs, or until `enough`."""
    enough()
    if console.is_interactive and not console.quiet:
        live = Live(_Line(text), console=console, refresh_per_second=4, transient=True)
        live.start()
        end = live.stop
    else:
        end = _told_in_a_pipe(text, console)
    _shown.append(end)
    try:
        yield
    finally:
        if end in _shown:
            enough()


def _told_in_a_pipe(text: str, console: Console) -> Callable[[], None]:
    began, said = monotonic(), monotonic() + _PATIENCE - SILENCE

    def tick() -> None:
        nonlocal said
        now = monotonic()
        if now - said >= SILENCE:
            said = now
            say(console, f"{text} ({now - began:.0f} s)")

    ticker = Ticker(tick)
    ticker.start()
    return ticker.stop


def enough() -> None:
    """Something else is shown from now on, though the block of `waiting` still runs."""
    while _shown:
        _shown.pop()()


def say(console: Console, text: str, indent: int = 0, style: str = "") -> None:
    """A line that stays: on a terminal wrapped at words below its indent, in a pipe one line."""
    if console.is_terminal:
        console.print(Padding(Text(text, style), (0, 0, 0, indent)))
    else:
        console.print(" " * indent + text, markup=False, soft_wrap=True)
