"""Say what is being done while it is done: on a terminal with a moving sign, else line by line."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

_EVERY_SECONDS = 25.0  # where there is no terminal, no longer silence than half a minute


@contextmanager
def step(console: Console, text: str) -> Iterator[None]:
    """A line when it begins, and one with the seconds when it is done."""
    began, ended = time.monotonic(), threading.Event()

    def say(end: str) -> None:
        console.print(f"{text} {end}", markup=False, soft_wrap=True)

    def still() -> None:
        while not ended.wait(_EVERY_SECONDS):
            say(f"... {time.monotonic() - began:.0f} s")

    if console.is_terminal and not console.is_dumb_terminal:
        with console.status(f"{text} ..."):
            yield
    else:
        say("...")
        threading.Thread(target=still, daemon=True).start()
        try:
            yield
        finally:
            ended.set()
    say(f"ready ({time.monotonic() - began:.0f} s)")
