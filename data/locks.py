"""Locks between processes that share a store.

An advisory lock of the operating system on a small file: it ends with its process, however that
ends, so none can be left behind. On a network file system it holds across hosts where the file
system passes such locks on, as NFS does. The file says who holds it and is deleted when released.
"""

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OnWait = Callable[[str], None]


class LockedError(Exception):
    """Another process holds the lock; the message says which one."""


@contextmanager
def locked(path: Path, on_wait: OnWait | None = None) -> Iterator[None]:
    """Hold the lock file at `path`, after waiting for whoever holds it.

    `on_wait` is told who that is, once, if there is a wait.
    """
    handle = _take(path, fcntl.LOCK_EX, on_wait or (lambda owner: None))
    try:
        os.truncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)  # while held: see `_take`
        os.close(handle)


@contextmanager
def shared(path: Path, on_wait: OnWait | None = None) -> Iterator[None]:
    """Hold the lock file together with others; keeps `alone` out."""
    handle = _take(path, fcntl.LOCK_SH, on_wait or (lambda owner: None))
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock file while no one shares it. Raises LockedError where someone does."""

    def refuse(owner: str) -> None:
        raise LockedError(owner)

    handle = _take(path, fcntl.LOCK_EX, refuse)
    try:
        yield
    finally:
        os.close(handle)


def _take(path: Path, kind: int, on_wait: OnWait) -> int:
    """Descriptor of the locked file. It is the one at `path`, not one deleted meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait(os.pread(handle, 200, 0).decode(errors="replace") or "another process")
                fcntl.flock(handle, kind)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.stat(path)):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
