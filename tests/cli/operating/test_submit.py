"""A recipe sent to a deployment: what the server is given, how it is called, what is refused."""

import json
import re

import pytest

from cli.main import main
from cli.operating.status import runs_of
from flows.table import recipe_from


@pytest.fixture(scope="module")
def deployed(prefect):
    """The deployment align/align on the tests' server; no worker takes its runs."""
    from flows.align import align

    align.to_deployment(name="align", parameters={"quiet": True}).apply()


@pytest.fixture
def client(prefect):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def recipe(tiny_recipe, write_recipe):
    return write_recipe(tiny_recipe)


@pytest.fixture
def send(tmp_path, capsys):
    """Submit, with no server that was started here."""

    def run(*arguments, status=0):
        capsys.readouterr()
        assert main(["submit", *map(str, arguments), "--folder", str(tmp_path)]) == status
        printed = capsys.readouterr()
        return printed.out if status == 0 else printed.err

    return run


def newest(client):
    from prefect.client.schemas.sorting import FlowRunSort

    return client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]


def test_a_run_waits_under_its_name_with_the_recipe_as_written(
    deployed, client, send, recipe, tiny_recipe
):
    printed = send(recipe, "--run", "softer", "--set", "policy.beta=0.2")
    run = newest(client)
    assert (run.name, run.state.name) == ("softer", "Scheduled")
    wanted = (
        {"recipe": "ts-align"}
        | tiny_recipe
        | {"run": "softer", "policy": tiny_recipe["policy"] | {"beta": 0.2}}
    )
    # What the recipe leaves out stays left out: it follows from the models.
    assert run.parameters == {"recipe": wanted, "quiet": True}
    assert recipe_from(run.parameters["recipe"]).run == "softer"
    assert "softer: sent to align/align" in printed and f"/runs/flow-run/{run.id}" in printed
    assert "tsalign operate logs softer -f" in printed
    later = send(recipe, "--run", "later")
    assert re.search(r"queue +after .*\bsofter\b", later)


def test_status_calls_a_run_of_the_form_by_the_name_it_will_have(deployed, client, tiny_recipe):
    found = client.read_deployment_by_name("align/align")
    given = {"recipe": tiny_recipe | {"run": "of-the-form"}}
    run = client.create_flow_run_from_deployment(found.id, parameters=given)
    shown = {one["id"]: one for one in runs_of(client)}[str(run.id)]
    assert run.name != "of-the-form"
    assert (shown["name"], shown["state"]) == ("of-the-form", "Scheduled")


def test_a_bad_recipe_is_not_sent(deployed, client, send, write_recipe, tiny_recipe):
    before = newest(client).id
    line = send(write_recipe(tiny_recipe | {"rounds": 0}), status=2)
    assert "rounds: must be at least 1, got 0" in line and line.count("\n") == 1
    assert newest(client).id == before


def test_an_unknown_deployment_is_answered_with_those_there_are(deployed, send, recipe):
    line = send(recipe, "--deployment", "align/nope", status=2)
    assert "--deployment: no 'align/nope' at http://" in line and "(there: align/align)" in line


def test_without_a_server_it_says_how_to_get_one(send, recipe):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        line = send(recipe, status=2)
    assert line.startswith(
        "tsalign: error: no Prefect server: start one with `tsalign operate start`"
    )


def test_a_server_that_does_not_answer_is_named(send, recipe, monkeypatch):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setattr("cli.operating.connect._ANSWER_SECONDS", 0.1)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        line = send(recipe, status=2)
    assert "http://127.0.0.1:9/api: no Prefect server answers there" in line


def test_a_log_that_is_not_there_is_answered_with_the_nearest(
    deployed, send, recipe, tmp_path, capsys
):
    send(recipe, "--run", "harder")
    assert main(["operate", "logs", "hardr", "--folder", str(tmp_path)]) == 2
    assert "hardr: no such run on that server; did you mean 'harder'?" in capsys.readouterr().err
    assert main(["operate", "logs", "harder", "--folder", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "harder: nothing logged yet (scheduled)\n"
    assert main(["operate", "logs", "server", "--folder", str(tmp_path)]) == 2
    assert "server.log: no such log" in capsys.readouterr().err


def test_status_where_nothing_was_started_says_so_and_fails(prefect, tmp_path, capsys):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert main(["operate", "status", "--folder", str(tmp_path)]) == 1
        assert "`tsalign operate start` starts it" in capsys.readouterr().out
        assert main(["operate", "status", "--json", "--folder", str(tmp_path)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["server"]["url"], found["worker"]["running"], found["runs"]) == (None, False, [])
