"""`tsalign operate` and `tsalign submit` as someone types them: a real server and worker."""

import json
import os
import re
import socket
import subprocess
import sys
from urllib.request import urlopen

import pytest
import yaml

from tests.repository import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("a place") / "to work in"


@pytest.fixture(scope="module")
def tsalign(place):
    """A command in that folder, without a terminal, in a Latin-1 locale, until it ends."""
    place.mkdir()
    drop = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "TSALIGN_STORE", "TSALIGN_RUNS")
    environment = {name: value for name, value in os.environ.items() if name not in drop}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "latin-1",
        "PREFECT_HOME": str(place / "prefect"),
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "COLUMNS": "80",
    }

    def run(*arguments, status=0):
        command = [sys.executable, "-m", "cli", *arguments]
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, encoding="latin-1"
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status in (0, 1) else done.stderr

    yield run
    run("operate", "stop")


@pytest.fixture(scope="module")
def started(tsalign):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return port, tsalign("operate", "start", "--port", str(port))


@pytest.fixture(scope="module")
def recipe(place, tsalign, tiny_recipe):
    """With prompts named as someone who works there names them."""
    os.link(tiny_recipe["prompts"]["path"], place / "prompts.jsonl")
    prompts = tiny_recipe["prompts"] | {"path": "prompts.jsonl"}
    path = place / "my recipe.yaml"
    path.write_text(yaml.safe_dump(tiny_recipe | {"rounds": 1, "prompts": prompts}))
    return path.name


def test_starting_tells_each_step_and_what_to_type_next(started, place, tsalign):
    port, printed = started
    still = re.compile(r"\.\.\. \d+ s$")  # on a busy machine
    lines = [line for line in printed.splitlines() if not still.search(line)]
    server = f"Prefect's server on http://127.0.0.1:{port}"
    steps = [server, "work pool, crash automation", "deployments", "worker"]
    assert lines[: 2 * len(steps) : 2] == [f"{step} ..." for step in steps]
    assert all(re.fullmatch(r".* ready \(\d+ s\)", line) for line in lines[1 : 2 * len(steps) : 2])
    for said in (
        f"export PREFECT_API_URL=http://127.0.0.1:{port}/api",
        f"{place}/.tsalign/operate/api.key",
        f"store    {place}/.tsalign/store",
        f"runs in  {place}/runs",
        "  tsalign submit RECIPE",
        "  tsalign operate status",
    ):
        assert said in printed
    again = tsalign("operate", "start")  # and finds the port by itself
    assert again.startswith(f"{server} runs already\n") and "worker ..." not in again
    refused = tsalign("operate", "start", "--port", "1", status=2)
    assert f"runs on {port}; stop it first" in refused


def test_a_recipe_is_submitted_waited_for_and_found_in_the_status(started, recipe, tsalign, place):
    printed = tsalign("submit", recipe, "--run", "sent", "--wait")
    assert printed.startswith("sent: sent to align/align\n  UI ")
    assert "Beginning flow run 'sent'" in printed and "Finished in state Completed" in printed
    assert (place / "runs" / "sent" / "report.html").exists()

    found = json.loads(tsalign("operate", "status", "--json"))
    assert found["server"]["answers"] and found["worker"]["running"]
    names = {one["name"] for one in found["deployments"]}
    page = found["reports"] + "/sent/report.html"
    assert found["reports"] == f"http://127.0.0.1:{started[0] + 1}"
    assert b"sent" in urlopen(page, timeout=30).read()
    assert {"align/align", "align-file/align-file", "align-new-prompts/align-weekly"} <= names
    assert [(run["name"], run["state"]) for run in found["runs"]] == [("sent", "Completed")]
    shown = tsalign("operate", "status")
    assert re.search(r"^sent +completed +\w+ \d+ \d\d:\d\d, \d+ s *$", shown, re.MULTILINE)
    assert "cron 0 3 * * 1 UTC (switched off)" in shown

    # The worker works elsewhere, and yet it is the run of this folder: nothing is left to do.
    done = tsalign("align", recipe, "--run", "sent")
    assert "nothing to do" in done
    log = tsalign("operate", "logs", "sent", "-n", "3")
    assert log.count("\n") == 3 and "Finished in state Completed()" in log
    assert "Finished in state Cached" not in tsalign("operate", "logs", "sent", "-n", "500")


def test_a_recipe_that_cannot_run_is_refused_before_it_is_sent(started, recipe, tsalign):
    line = tsalign("submit", recipe, "--set", "prompts.path=gone.jsonl", status=2)
    assert line.startswith("tsalign: error: prompts.path: no such file 'gone.jsonl'")
    assert line.count("\n") == 1


def test_a_run_that_fails_says_why_in_the_status(started, recipe, tsalign, place):
    environment = os.environ | {
        "PREFECT_API_URL": f"http://127.0.0.1:{started[0]}/api",
        "PREFECT_API_AUTH_STRING": (place / ".tsalign" / "operate" / "api.key").read_text(),
    }
    command = ("deployment", "run", "align-new-prompts/align-weekly", "--watch")
    subprocess.run(
        [sys.executable, "-m", "prefect", *command],
        env=environment,
        capture_output=True,
        timeout=300,
    )
    shown = " ".join(tsalign("operate", "status").split())
    assert "recipes/weekly.yaml: prompts.path: no such file 'prompts.jsonl'" in shown
    assert f"(relative to {ROOT})" in shown


def test_after_a_stop_the_status_says_so(started, tsalign):
    assert tsalign("operate", "stop") == "worker stopped\nreports stopped\nserver stopped\n"
    assert "not running" in tsalign("operate", "status", status=1)
    assert tsalign("operate", "stop").startswith("nothing runs that was started from ")
