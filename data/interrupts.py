"""Ctrl-C and SIGTERM: raised at once, and remembered where what was at work has swallowed them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked = threading.Event()


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, Ctrl-C and a plain `kill`, as of `docker stop` and Slurm, raise KeyboardInterrupt.

    Prefect's flows have a handler of their own for SIGTERM; it passes the signal on to this one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked.clear()
    before = {number: signal.signal(number, _ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_if_asked() -> None:
    """KeyboardInterrupt if there was one since the command began: where it struck, in an import
    or a callback of a library, it may have been taken for something else."""
    if _asked.is_set():
        raise KeyboardInterrupt


def _ask(number: int, frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt
