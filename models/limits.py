"""Limits on what a model's own code, its chat template, may take: it can loop or grow for ever."""

import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn


class LimitError(Exception):
    """More time was taken than allowed."""


@contextmanager
def cpu_seconds(most: float) -> Iterator[None]:
    """Raise LimitError when this process computes longer, however busy the machine is.

    Python interrupts its main thread alone: elsewhere there is no limit. Preflight, which renders
    every prompt before any work, runs there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _stop)
    # Again every second: Jinja swallows what is raised while it works out a constant.
    signal.setitimer(signal.ITIMER_VIRTUAL, most, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise LimitError


@contextmanager
def memory(more: int) -> Iterator[None]:
    """Raise MemoryError when this process takes `more` bytes than it has now; on Linux."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        yield
        return
    most = pages * resource.getpagesize() + more
    if limits[0] != resource.RLIM_INFINITY:
        most = min(most, limits[0])
    resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
