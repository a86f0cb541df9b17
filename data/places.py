"""Where artifacts and runs are kept: one rule for commands, flows and deployments.

What is given, else what the environment says, else a place below the folder the user works in.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from data.errors import InputError
from data.paths import named_path
from data.store.locks import held, locked

P = ParamSpec("P")
T = TypeVar("T")

STORE, RUNS = "TSALIGN_STORE", "TSALIGN_RUNS"
REPORTS = "TSALIGN_REPORTS_URL"  # of a server of the runs' reports, such as `tsalign open`'s


def store_url(given: str | None = None) -> str:
    """Folder or URL of the artifacts."""
    url = given if given is not None else os.environ.get(STORE) or ".tsalign/store"
    return str(named_path(url, "--store")) if url.startswith("~") else url


_IN_USE: ContextVar[str | None] = ContextVar("store", default=None)


def check_writable(option: str, folder: Path) -> None:
    """InputError unless files can be written into the folder, or it can be made; nothing is."""
    there = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(
            f"{option}: '{folder}' cannot be written ({error.strerror}); name another folder"
        ) from error


@contextmanager
def using(store: str) -> Iterator[None]:
    """Within the block, this store is in use."""
    token = _IN_USE.set(store)
    try:
        yield
    finally:
        _IN_USE.reset(token)


def in_its_store(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function with an argument `store`, which is in use while it runs."""
    arguments = signature(function)

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        with using(arguments.bind(*args, **kwargs).arguments["store"]):
            return function(*args, **kwargs)

    return called


def store_in_use() -> str:
    """The store of the command or run at work, else the one that a command would use."""
    return _IN_USE.get() or store_url()


def runs_folder(given: str | Path | None = None) -> Path:
    """The folder of the runs, each with its summary and report."""
    return named_path(given if given is not None else os.environ.get(RUNS) or "runs", "--runs-dir")


def report_url(run: str) -> str | None:
    """The address of a run's report where the environment names a server of reports."""
    base = os.environ.get(REPORTS, "")
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        return None
    return f"{base.rstrip('/')}/{run}/report.html"


def absolute_places() -> dict[str, str]:
    """The environment that means the same places in whatever folder a process works."""
    url = store_url()
    store = url if "://" in url else str(Path(url).expanduser().absolute())
    return {STORE: store, RUNS: str(runs_folder().expanduser().absolute())}


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """A run is going on in its folder. Raises InputError where one is already."""

    def refuse(owner: str) -> None:
        raise InputError(
            f"run {folder.name} is going on ({owner}); wait until it has ended, "
            "or give this one another name with --run"
        )

    with locked(folder / ".lock", refuse):
        yield


def going_on(folder: Path) -> bool:
    """Whether a run is going on in its folder, on this machine or where locks reach."""
    return held(folder / ".lock")
