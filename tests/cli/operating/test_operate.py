"""A real server, worker and schedule on loopback: kills, retries, prompts that keep arriving."""

import json
import os
import signal
import socket
import time
from contextlib import suppress
from uuid import UUID

import pytest
from rich.console import Console

from cli.operating.operate import SILENT_SECONDS, Operation
from data.schemas import PROMPTS
from data.tables import read_table

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def operation(tmp_path_factory):
    """Server and worker of this test's own."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    operation = Operation(tmp_path_factory.mktemp("operate"), port)
    before, patch = dict(os.environ), pytest.MonkeyPatch()
    patch.setenv("PREFECT_HOME", str(operation.folder / "prefect"))
    patch.setenv("PREFECT_LOGGING_LEVEL", "INFO")
    patch.setenv("PREFECT_WORKER_QUERY_SECONDS", "2")
    patch.setenv("PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS", "5")
    api = {PREFECT_API_URL: f"{operation.url}/api", PREFECT_API_AUTH_STRING: operation.key}
    with temporary_settings(api):
        began = time.monotonic()
        operation.start(Console(quiet=True))
        operation.seconds = time.monotonic() - began
        yield operation
        operation.stop(Console(quiet=True))
    patch.undo()
    for name in os.environ.keys() - before.keys():  # what starting has set
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def client(operation):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


def start_run(client, deployment, **parameters):
    found = client.read_deployment_by_name(deployment)
    return client.create_flow_run_from_deployment(found.id, parameters=parameters).id


def wait(client, run: UUID, *states: str, seconds: float = 240) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = client.read_flow_run(run).state
        if state.name in states:
            return state.name
        if state.is_final():
            break
        time.sleep(0.5)
    raise AssertionError(f"{state.name}: {state.message}")


def places(folder):
    return {"store": str(folder / "store"), "runs_dir": str(folder / "runs"), "quiet": True}


def stages(folder, run):
    summary = json.loads((folder / "runs" / run / "summary.json").read_text())
    return summary["bootstrap"] + [s for r in summary["rounds"] for s in r["stages"]]


def test_a_deployed_run_completes_and_shows_its_rounds(operation, client, tmp_path, tiny_recipe):
    run = start_run(client, "align/align", recipe=tiny_recipe, **places(tmp_path))
    wait(client, run, "Completed")
    shown = {artifact.key for artifact in client.read_artifacts()}
    assert {"rounds", "samples", "win-rate", "report"} <= shown
    names = {r.name for r in client.read_flow_runs()}
    assert {"tiny", "tiny / round 1", "tiny / round 2"} <= names


def test_a_killed_run_is_marked_crashed_and_its_retry_reuses_what_was_finished(
    operation, client, tmp_path, tiny_recipe
):
    recipe = tiny_recipe | {"seed": 3}
    calm = start_run(client, "align/align", recipe=recipe, **places(tmp_path / "calm"))
    wait(client, calm, "Completed")
    run = start_run(client, "align/align", recipe=recipe, **places(tmp_path))
    store = tmp_path / "store"
    deadline = time.monotonic() + 120
    while not list(store.glob("student/??/*/artifact.json")):
        assert time.monotonic() < deadline, "round 1 never came to distill"
        time.sleep(0.02)
    pid, _ = operation._process("worker")
    of_run = descendants(pid)
    os.killpg(pid, signal.SIGKILL)
    for child in of_run:  # the flow run, in a group of its own
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    wait(client, run, "Crashed", seconds=SILENT_SECONDS + 60)
    finished = len(list(store.glob("*/??/*/artifact.json")))

    operation.start(Console(quiet=True))
    from prefect.states import Scheduled

    client.set_flow_run_state(run, Scheduled(), force=True)  # what Retry in the UI does
    wait(client, run, "Completed")
    done = stages(tmp_path, "tiny")
    assert sum(stage["cached"] for stage in done) >= finished - 1
    assert [s["artifact"] for s in done] == [
        s["artifact"] for s in stages(tmp_path / "calm", "tiny")
    ]


@pytest.mark.vllm
def test_a_cancelled_run_leaves_no_engine_running(operation, client, tmp_path, tiny_recipe):
    from prefect.states import Cancelling

    engine = tiny_recipe["generate"] | {"engine": "vllm"}
    recipe = tiny_recipe | {"run": "cancelled", "generate": engine}
    run = start_run(client, "align/align", recipe=recipe, **places(tmp_path))
    worker, _ = operation._process("worker")
    wait_for(lambda: len(descendants(worker)) >= 3)  # the run, the engine's child, its core
    of_run = descendants(worker)
    client.set_flow_run_state(run, Cancelling(), force=True)  # what Cancel in the UI does
    assert wait(client, run, "Cancelled") == "Cancelled"
    wait_for(lambda: not any(map(running, of_run)), seconds=30)


def test_a_round_is_run_again_from_a_stage(operation, client, tmp_path, tiny_recipe):
    wait(
        client,
        start_run(client, "align/align", recipe=tiny_recipe, **places(tmp_path)),
        "Completed",
    )
    choice = {"run": "tiny", "round": 2, "stage": "optimize"}
    run = start_run(client, "rerun-round/rerun-round", **choice, **places(tmp_path))
    wait(client, run, "Completed")
    computed = [stage["stage"] for stage in stages(tmp_path, "tiny") if not stage["cached"]]
    assert computed[0] == "optimize" and "generate" not in computed


def test_the_schedule_aligns_on_new_prompts_from_the_last_policy(
    operation, client, tmp_path, tiny_recipe, write_recipe
):
    from datetime import timedelta

    from prefect.client.schemas.schedules import IntervalSchedule

    prompts = tmp_path / "prompts.jsonl"
    add(prompts, 0, 40)
    recipe = tiny_recipe | {"rounds": 1, "prompts": tiny_recipe["prompts"] | {"path": str(prompts)}}
    deployment = client.read_deployment_by_name("align-new-prompts/align-weekly")
    client.update_deployment(
        deployment.id,
        _update({"recipe_file": str(write_recipe(recipe)), "series": "weekly"} | places(tmp_path)),
    )
    made = client.create_deployment_schedules(
        deployment.id, [(IntervalSchedule(interval=timedelta(seconds=15)), True)]
    )
    wait_for(lambda: (tmp_path / "runs" / "weekly-001" / "report.html").exists())
    add(prompts, 40, 52)
    wait_for(lambda: (tmp_path / "runs" / "weekly-002" / "report.html").exists())
    client.delete_deployment_schedule(deployment.id, made[0].id)

    second = json.loads((tmp_path / "runs" / "weekly-002" / "summary.json").read_text())
    first_policy = (tmp_path / "runs" / "weekly-001" / "policy").resolve()
    assert second["config"]["policy"]["model"] == str(first_policy)
    asked = read_table(tmp_path / "runs" / "weekly-002" / "prompts.parquet", PROMPTS)
    texts = {messages[-1]["content"] for messages in asked["messages"].to_pylist()}
    assert texts == {f"What is {i} times {i % 5}?" for i in range(40, 52)}


def add(prompts, first, last):
    with prompts.open("a") as file:
        for i in range(first, last):
            file.write(json.dumps({"prompt": f"What is {i} times {i % 5}?"}) + "\n")


def _update(parameters):
    from prefect.client.schemas.actions import DeploymentUpdate

    return DeploymentUpdate(parameters=parameters)


def wait_for(condition, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def descendants(pid):
    """Processes that a process has started, and theirs."""
    parents = {int(p.name): stat(int(p.name))[1] for p in os.scandir("/proc") if p.name.isdecimal()}
    found, new = set(), {pid}
    while new:
        found |= new
        new = {child for child, parent in parents.items() if parent in new}
    return found - {pid}


def running(pid):
    return stat(pid)[0] not in ("", "Z")


def stat(pid):
    """State letter and parent of a process; "" where it has gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return fields[0], int(fields[1])
    except (OSError, IndexError):
        return "", 0
