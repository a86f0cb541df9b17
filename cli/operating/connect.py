"""The Prefect server that a command speaks to: the one the user has named, else the one of
`tsalign operate start`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli.operating.operate import Operation
from data.errors import InputError
from flows.server import answers

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Connection:
    url: str  # of the API
    key: str | None  # USER:PASSWORD
    own: Operation | None  # where it is the server that was started from a folder here


def connection(folder: Path) -> Connection:
    """The server of $PREFECT_API_URL or of Prefect's profile, else that of the folder.

    Raises:
        InputError: there is neither.
    """
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL

    operation = Operation(folder)
    own = operation if operation.running("server") else None
    named, key = PREFECT_API_URL.value(), PREFECT_API_AUTH_STRING.value()
    if named is None and own is None:
        raise InputError(
            "no Prefect server: start one with `tsalign operate start`, or name one in "
            "PREFECT_API_URL"
        )
    if own and (named is None or _address(named) == _address(own.url)):
        return Connection(f"{own.url}/api", own.key, own)
    return Connection(str(named), str(key) if key else None, None)


@contextmanager
def client_of(to: Connection) -> Iterator["SyncPrefectClient"]:
    """A client; what the server refuses is an InputError that says what to do."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    if not answers(to.url, _ANSWER_SECONDS):
        raise InputError(
            f"{to.url}: no Prefect server answers there; start it, or correct PREFECT_API_URL"
        )
    settings = {PREFECT_API_URL: to.url, PREFECT_API_AUTH_STRING: to.key}
    with temporary_settings(settings), get_client(sync_client=True) as client:
        try:
            yield client
        except PrefectHTTPStatusError as error:
            raise _refused(to, error.response.status_code, error.response.text) from error


def _refused(to: Connection, status: int, text: str) -> Exception:
    if status in (401, 403):
        return InputError(
            f"{to.url}: wants a key, USER:PASSWORD; set PREFECT_API_AUTH_STRING to it"
        )
    return InputError(f"{to.url}: refused with status {status}: {text[:300]}")


def _address(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    return host, parts.port
