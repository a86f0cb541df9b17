"""Prefect keeps the books; where it cannot, a run goes on, says so once, and ends the same."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from prefect import flow
from prefect.context import SyncClientContext
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
    temporary_settings,
)

from cli.main import main
from tasks.running.books import Books, restored
from tests.repository import ROOT

LINE = "going on without it, results are the same"
NOBODY = "http://127.0.0.1:9/api"  # the port of "discard": nothing listens there


@pytest.fixture
def away():
    """A server that does not answer."""
    silent = {PREFECT_API_URL: NOBODY, PREFECT_CLIENT_MAX_RETRIES: 1}
    with temporary_settings(silent | {PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: False}), restored():
        yield


def artifacts(folder, run="tiny"):
    summary = json.loads((folder / "runs" / run / "summary.json").read_text())
    stages = summary["bootstrap"] + [s for r in summary["rounds"] for s in r["stages"]]
    return [(stage["stage"], stage["artifact"]) for stage in stages]


def places(folder):
    return ("--store", str(folder / "store"), "--runs-dir", str(folder / "runs"))


def test_a_run_without_a_server_ends_as_any_other(
    tiny_run, away, tiny_recipe, write_recipe, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("flows.server.GIVEN_SECONDS", 0.5)
    assert main(["align", str(write_recipe(tiny_recipe)), "--quiet", *places(tmp_path)]) == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and LINE in error and f"(no server at {NOBODY})" in error
    assert artifacts(tmp_path) == artifacts(tiny_run)


def test_a_flow_whose_books_fail_is_carried_out_once(away, capsys):
    calls = []

    @flow(name="counted")
    def counted(number):
        calls.append(number)
        return number + 1

    books = Books()
    assert [books.flow(counted, 1), books.flow(counted, 2)] == [2, 3]
    assert calls == [1, 2] and not books.kept
    assert capsys.readouterr().err.count(LINE) == 1


@pytest.mark.usefixtures("prefect")
def test_the_error_of_a_body_is_its_own_and_no_book_keeping(capsys):
    @flow(name="failing")
    def failing():
        raise ZeroDivisionError("of the body")

    books = Books()
    with pytest.raises(ZeroDivisionError, match="of the body"):
        books.flow(failing)
    assert books.kept and LINE not in capsys.readouterr().err


@pytest.mark.usefixtures("prefect")
def test_a_body_that_ended_is_not_run_again_when_its_end_cannot_be_recorded(capsys):
    calls = []

    @flow(name="cut off")
    def cut_off():
        calls.append(1)
        SyncClientContext.get().client._client.close()  # the connection is gone
        return "done"

    with restored():
        books = Books()
        assert books.flow(cut_off) == "done"
    assert calls == [1] and capsys.readouterr().err.count(LINE) == 1


SETTINGS = """
import os, sys
class Watch:
    def find_spec(self, name, *_):
        if name == "prefect":
            assert os.environ["DO_NOT_TRACK"] == "1", "Prefect is imported before the defaults"
sys.meta_path.insert(0, Watch())
from cli.main import main
status = main(sys.argv[1:])
assert "prefect" in sys.modules
from prefect.settings import get_current_settings
settings = get_current_settings()
assert settings.server.analytics_enabled is False
assert settings.server.ephemeral.startup_timeout_seconds == 120
sys.exit(status)
"""


slow = pytest.mark.slow


@pytest.mark.parametrize(
    "command",
    ["changed", *(pytest.param(name, marks=slow) for name in ("rerun", "repair"))],
)
def test_prefect_has_our_defaults_whatever_imports_it_first(
    tiny_copy, tiny_recipe, write_recipe, command
):
    recipe = write_recipe(tiny_recipe)
    commands = {
        "changed": ["align", str(recipe), "--quiet", "--set", "evaluate.bootstrap_samples=200"],
        "rerun": ["rerun", "tiny", "--round", "2", "--stage", "drift", "--quiet"],
        "repair": ["verify", "--repair"],
    }
    if command == "repair":
        table = next((tiny_copy / "store" / "evaluation").glob("*/*/data.parquet"))
        table.unlink()
        table.write_bytes(b"cut")
    ours = ("PREFECT_", "DO_NOT_TRACK")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    environment["PREFECT_API_URL"] = PREFECT_API_URL.value()
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS, *commands[command], *places(tiny_copy)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def started(folder, recipe, **environment):
    """A run with a server of its own, at work on its first scores; the run and its children."""
    command = [sys.executable, "-m", "cli", "align", str(recipe), "--quiet", *places(folder)]
    environment = os.environ | {"PREFECT_HOME": str(folder / "prefect")} | environment
    run = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not list((folder / "store").glob("scores/*/*/artifact.json")):
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return run, psutil.Process(run.pid).children(recursive=True)


def servers(children):
    return [one for one in children if any(c.status == "LISTEN" for c in one.net_connections())]


@pytest.mark.slow
def test_a_run_outlives_its_server(tiny_run, tiny_recipe, write_recipe, tmp_path):
    recipe = write_recipe(tiny_recipe)
    run, children = started(tmp_path, recipe, PREFECT_CLIENT_MAX_RETRIES="1")
    (server,) = servers(children)
    server.kill()
    error = run.communicate(timeout=240)[1]
    assert run.returncode == 0 and error.count("\n") == 1 and LINE in error
    assert artifacts(tmp_path) == artifacts(tiny_run)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_server_outlives_its_run(tiny_run, tiny_recipe, write_recipe, tmp_path, number):
    recipe = write_recipe(tiny_recipe)
    run, children = started(tmp_path, recipe)
    assert servers(children)
    run.send_signal(number)
    error = run.communicate(timeout=60)[1]
    if number != signal.SIGKILL:
        assert run.returncode == 130
        assert error == "tsalign: interrupted; run the same command again to continue\n"
        assert not list((tmp_path / "store" / "tmp").iterdir())
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert main(["align", str(recipe), "--quiet", *places(tmp_path)]) == 0
    assert artifacts(tmp_path) == artifacts(tiny_run)
