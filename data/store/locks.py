"""Locks between processes that share a store.

An advisory lock of the operating system on a small file: it ends with its process, however that
ends, so none can be left behind. On a network file system it holds across hosts where the file
system passes such locks on, as NFS does. The file says who holds it and is deleted when released;
one that another user made, and that only they may write, can be locked all the same.
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
        with suppress(OSError):  # another user's
            os.truncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)  # while held: see `_take`
        os.close(handle)


def held(path: Path) -> bool:
    """Whether a process holds the lock file at `path`, or shares it; makes none.

    Asking takes it for an instant, which a process that takes it without waiting may notice.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # not on every network file system
        return False
    finally:
        os.close(handle)
    return False


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
        handle = _open(path)
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


def _open(path: Path) -> int:
    """Made if it is not there, as the umask says; read-only where it is another user's."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        if not path.exists():
            raise
        return os.open(path, os.O_RDONLY)


@contextmanager
def folder_in_use(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder itself, wherever it is renamed to. Raises FileNotFoundError where
    someone has removed it before."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # not on every network file system
            fcntl.flock(handle, fcntl.LOCK_EX)
        if not os.path.samestat(os.fstat(handle), os.stat(folder)):
            raise FileNotFoundError(folder)
        yield
    finally:
        os.close(handle)


@contextmanager
def if_unused(folder: Path) -> Iterator[bool]:
    """Whether no process uses the folder in the sense of `folder_in_use`; none begins within."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unused = True
        except BlockingIOError:
            unused = False
        except OSError:  # as above: nobody could have locked it
            unused = True
        yield unused
    finally:
        os.close(handle)
