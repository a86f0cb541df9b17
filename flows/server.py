"""Prefect for one command: its settings, and a server that ends with this process.

The store is the truth about what is computed; Prefect keeps the books. So its server is a child
process (`models.isolation`) that no way of ending leaves behind, its output is in a file, and a
command that cannot reach one goes on without.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from models.isolation import Child

START_SECONDS = 120  # a cold start on a busy machine takes longer than Prefect's 20
# Only defaults: whatever the user has set wins.
SETTINGS = {
    # Threads that spin for long while they wait make two busy processes on a CPU ten times slower;
    # threads that never spin take half as long again for small models (benchmarks/spinning.py).
    "GOMP_SPINCOUNT": "20000",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(START_SECONDS),
    # A request waits 2 + 4 + 8 + 16 + 32 seconds in all for a server that is busy or restarts;
    # 500 is what SQLite's "database is locked" becomes where the server has not foreseen it.
    "PREFECT_CLIENT_MAX_RETRIES": "5",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,504",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}
GIVEN_SECONDS = 30.0  # that a server of the user's may take to answer for the first time
# Of the process that Python starts with the first child: it would complain about locks that killed
# children leave, after it has removed them.
_SILENT = {"PYTHONWARNINGS": "ignore:resource_tracker"}


def set_defaults() -> None:
    """Environment of a command that may run something; before Prefect and torch are imported."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


class Server:
    """In a child process: Prefect's API on a free port of loopback, without its UI."""

    def __init__(self, log: Path) -> None:
        print_into(log)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        os.environ |= {
            "PREFECT_UI_ENABLED": "0",
            "PREFECT__SERVER_EPHEMERAL": "1",  # as Prefect marks those that it starts itself
            "PREFECT__SERVER_FINAL": "1",
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": self._address,  # no page of a browser
        }
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def url(self) -> str:
        """Of the API; known before it answers."""
        return f"{self._address}/api"

    def _serve(self) -> None:
        try:
            import uvicorn

            from flows.server_database import use_patient_sqlite

            use_patient_sqlite()
            create = "prefect.server.api.server:create_app"
            config = uvicorn.Config(create, factory=True, log_level="error", lifespan="on")
            uvicorn.Server(config).run(sockets=[self._socket])
        finally:
            os._exit(3)  # who waits for an answer sees that there will be none


def print_into(log: Path) -> None:
    """Have this process and those it starts print at the end of a file."""
    with log.open("a") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)


def start_server(log: Path) -> Child | None:
    """A child with a `Server`, not answering yet; None where the user has named a server."""
    from prefect.settings import PREFECT_API_URL

    # Prefect may have been imported before the variable was set.
    if os.environ.get("PREFECT_API_URL") or PREFECT_API_URL.value():
        return None
    return Child(Server, log, environment=_SILENT)


def answers(url: str, seconds: float, child: Child | None = None) -> bool:
    """Whether something takes connections there within that time, and while the child lives.

    One that is too busy to answer will do: Prefect waits and tries again.
    """
    import httpx

    deadline = monotonic() + seconds
    while True:
        try:
            httpx.get(f"{url}/health", timeout=5.0)
            return True
        except (httpx.ConnectError, httpx.ConnectTimeout):
            pass
        except httpx.TransportError:
            return True
        if monotonic() > deadline or (child and not child.alive):
            return False
        sleep(0.1)


_LOGGERS = ("prefect", "prefect._internal", "EventsWorker", "APILogWorker")
_own: Child | None = None  # the server of this process; it serves every run of a command


@contextmanager
def prefect_ready(folder: Path, meanwhile: Callable[[], None]) -> Iterator[bool]:
    """Prefect with a server, the user's or one of our own, and its messages in the run's folder.

    Gives whether the server answers; if not, nothing of Prefect is to be called. `meanwhile` is
    called while it starts.
    """
    global _own
    from prefect import settings

    _messages_into(folder / "prefect.log")
    if _own is None:
        _own = start_server(folder / "server.log")
        if _own:
            _use(_own.call("url"))
    meanwhile()
    if _own is None:
        yield answers(settings.PREFECT_API_URL.value(), GIVEN_SECONDS)
        return
    wait = settings.PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    with unwatched():
        yield answers(settings.PREFECT_API_URL.value(), wait, _own)


def no_server() -> str:
    """Why `prefect_ready` gave no server, as far as this process knows."""
    if _own:
        return "its server did not start: server.log in the run's folder"
    from prefect.settings import PREFECT_API_URL

    return f"no server at {PREFECT_API_URL.value()}"


def unwatched() -> AbstractContextManager[Any]:
    """Prefect's settings with a server of our own, where nobody watches: heartbeats make every flow
    last a second longer."""
    from prefect import settings

    return settings.temporary_settings(
        {
            settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            settings.PREFECT_LOGGING_TO_API_ENABLED: False,
        }
    )


def _use(url: str) -> None:
    """Have Prefect take this server, here and in child processes, imported already or not."""
    from prefect.context import refresh_global_settings_context

    os.environ["PREFECT_API_URL"] = url
    refresh_global_settings_context()


def _messages_into(path: Path) -> None:
    """Prefect's warnings and tracebacks into a file, made with the first, until the process ends;
    the terminal shows what the command line says in one line."""
    import prefect.main  # noqa: F401  sets its logging up

    file = logging.FileHandler(path, delay=True)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s - %(message)s"))
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate, logger.handlers = False, [file]
