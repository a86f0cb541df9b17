"""Who may talk to the server of `tsalign operate`, and where its worker keeps things."""

import os
import socket
import stat
from base64 import b64encode

import httpx
import pytest
from rich.console import Console

from cli.operating.operate import KEY, Operation
from data.errors import InputError


@pytest.fixture(scope="module")
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def operation(tmp_path_factory, port):
    """The real server alone, as `operate start` starts it."""
    operation = Operation(tmp_path_factory.mktemp("operate"), port)
    address = ("--host", "127.0.0.1", "--port", str(port), "--no-ui")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(operation.folder / "prefect"))
        patch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
        operation._spawn("server", "prefect", "server", "start", *address)
        operation._await_server()
        yield operation
        operation.stop(Console(quiet=True))


def post(operation, **headers):
    url = f"{operation.url}/api/deployments/filter"
    return httpx.post(url, json={}, headers=headers, timeout=60)


def test_only_who_has_read_the_key_may_post_and_no_other_page_may_read(operation):
    file = operation.folder / KEY
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = {"Authorization": "Basic " + b64encode(file.read_bytes()).decode()}
    foreign = {"Origin": "http://evil.example"}
    assert operation.healthy()
    assert post(operation).status_code == 401
    assert post(operation, **foreign).status_code == 401
    assert post(operation, Host="evil.example").status_code == 401  # a name bound anew to loopback
    assert post(operation, Authorization="Basic " + b64encode(b"a:b").decode()).status_code == 401
    allowed = "access-control-allow-origin"
    assert post(operation, **key).status_code == 200
    assert allowed not in post(operation, **key, **foreign).headers
    own = {"Origin": operation.url}
    assert post(operation, **key, **own).headers[allowed] == operation.url
    asked = {"Access-Control-Request-Method": "POST", **foreign}
    answer = httpx.options(f"{operation.url}/api/deployments/filter", headers=asked, timeout=60)
    assert allowed not in answer.headers


def test_a_server_that_was_not_started_from_there_is_left_alone(operation, port, tmp_path):
    other = Operation(tmp_path, port)
    with pytest.raises(InputError, match="a server that was not started from"):
        other.start(Console(quiet=True))
    assert not (tmp_path / KEY).exists()


def test_a_key_of_the_users_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:mine")
    assert Operation(tmp_path).environment["PREFECT_API_AUTH_STRING"] == "me:mine"
    assert not (tmp_path / KEY).exists()


def test_the_worker_has_the_places_of_the_folder_it_was_started_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("TSALIGN_STORE", "TSALIGN_RUNS"):
        monkeypatch.delenv(name, raising=False)
    environment = Operation(tmp_path / "operate").environment
    assert environment["TSALIGN_STORE"] == str(tmp_path / ".tsalign" / "store")
    assert environment["TSALIGN_RUNS"] == str(tmp_path / "runs")
    monkeypatch.setenv("TSALIGN_STORE", "s3://bucket/store")
    monkeypatch.setenv("TSALIGN_RUNS", os.path.relpath(tmp_path / "elsewhere"))
    environment = Operation(tmp_path / "operate").environment
    assert environment["TSALIGN_STORE"] == "s3://bucket/store"
    assert environment["TSALIGN_RUNS"] == str(tmp_path / "elsewhere")
