"""What `tsalign operate status` says: server, worker, deployments, and the runs that wait, run and
have ended last."""

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from cli.operating.connect import Connection, client_of, connection
from cli.operating.operate import KEY, POOL, Operation
from data.errors import InputError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

_MOST, _LAST = 50, 5  # runs that have not ended, and that have
_OPEN = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")
_ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
_TURN = "waits for its turn"
_WORDS = {"AwaitingConcurrencySlot": _TURN, "Late": _TURN, "InfrastructurePending": "starting"}
_WORDS |= {"Pending": "starting", "Submitting": "starting"}


def show_status(folder: Path, as_json: bool) -> int:
    """Print it; the exit status: 0 where server and worker run, else 1."""
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        found = status_of(folder)
    else:
        with console.status("asking Prefect's server ..."):
            found = status_of(folder)
    if as_json:
        print(json.dumps(found, indent=2))  # noqa: T201
    else:
        _print(found, console)
    return 0 if found["server"]["answers"] and found["worker"]["running"] else 1


def status_of(folder: Path) -> dict[str, Any]:
    """Everything that is shown; times are ISO, in UTC."""
    operation = Operation(folder)
    try:
        to: Connection | None = connection(folder)
    except InputError:
        to = None
    own = to.own if to else None
    answers = operation.healthy() if own else to is not None
    worker = operation.running("worker")
    found: dict[str, Any] = {
        "folder": str(operation.folder),
        "server": {
            "url": to.url if to else None,
            "started_here": own is not None,
            "answers": answers,
            "since": operation.since("server"),
        },
        "worker": {"running": worker, "since": operation.since("worker")},
        "reports": operation.reports_url if operation.running("reports") else None,
        "store": operation.places[0] if own else None,
        "runs_dir": operation.places[1] if own else None,
        "deployments": [],
        "runs": [],
    }
    if to and answers:
        with client_of(to) as client:
            found["worker"]["running"] = worker or (own is None and _workers(client))
            found["deployments"] = _deployments(client)
            found["runs"] = runs_of(client)
    return found


def _workers(client: "SyncPrefectClient") -> bool:
    """Whether a worker of the pool has told that server that it lives."""
    from prefect.exceptions import ObjectNotFound

    try:
        return any(w.status == "ONLINE" for w in client.read_workers_for_work_pool(POOL))
    except ObjectNotFound:
        return False


def _deployments(client: "SyncPrefectClient") -> list[dict[str, Any]]:
    flows: dict[Any, str] = {}
    found = []
    for deployment in client.read_deployments():
        if deployment.flow_id not in flows:
            flows[deployment.flow_id] = client.read_flow(deployment.flow_id).name
        schedules = [
            {"active": one.active and not deployment.paused, "when": _when(one.schedule)}
            for one in deployment.schedules
        ]
        name = f"{flows[deployment.flow_id]}/{deployment.name}"
        found.append({"name": name, "id": str(deployment.id), "schedules": schedules})
    return sorted(found, key=lambda one: str(one["name"]))


def _when(schedule: Any) -> str:
    """A schedule in a few words: "cron 0 3 * * 1 UTC", "every 1:00:00"."""
    if cron := getattr(schedule, "cron", None):
        return f"cron {cron} {schedule.timezone or 'UTC'}"
    return f"every {schedule.interval}" if hasattr(schedule, "interval") else "by a rule"


def runs_of(client: "SyncPrefectClient") -> list[dict[str, Any]]:
    """Runs that have not ended, by the time they are due, and the last that have."""
    from prefect.client.schemas.sorting import FlowRunSort

    waiting = read_runs(client, _OPEN, FlowRunSort.EXPECTED_START_TIME_ASC, _MOST)
    ended = read_runs(client, _ENDED, FlowRunSort.END_TIME_DESC, _LAST)
    return [_run(run) for run in [*waiting, *reversed(ended)]]


def read_runs(
    client: "SyncPrefectClient", states: tuple[str, ...], sort: Any, limit: int
) -> "list[FlowRun]":
    """Flow runs in these states, without the rounds within them."""
    from prefect.client.schemas.filters import FlowRunFilter

    chosen = {
        "parent_task_run_id": {"is_null_": True},
        "state": {"type": {"any_": list(states)}},
    }
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate(chosen), sort=sort, limit=limit
    )


def open_runs(client: "SyncPrefectClient", other: "FlowRun") -> "list[FlowRun]":
    """Those that are due before another and have not ended."""
    from prefect.client.schemas.sorting import FlowRunSort

    due = other.expected_start_time
    runs = read_runs(client, _OPEN, FlowRunSort.EXPECTED_START_TIME_ASC, _MOST)
    return [
        one
        for one in runs
        if one.id != other.id
        and (one.start_time or (one.expected_start_time and due and one.expected_start_time < due))
    ]


def _run(run: "FlowRun") -> dict[str, Any]:
    state = run.state
    message = (state.message or "") if state and state.type.value in _ENDED[1:] else ""
    return {
        "name": called(run),
        "id": str(run.id),
        "state": state.name if state else "",
        "due": _iso(run.next_scheduled_start_time or run.expected_start_time),
        "started": _iso(run.start_time),
        "ended": _iso(run.end_time),
        "message": message.removeprefix("Flow run encountered an exception: "),
    }


def called(run: "FlowRun") -> str:
    """The name that a run has, or, while Prefect's own random one stands there, will have."""
    given = run.parameters
    if run.start_time or run.state_name in ("Completed", "Failed", "Crashed", "Cancelled"):
        return run.name
    recipe = given.get("recipe")
    if isinstance(recipe, dict) and "run" in recipe:
        return str(recipe["run"])
    if "series" in given:
        return f"{given['series']} / new prompts"
    if "stage" in given:
        return f"{given.get('run')} / round {given.get('round')} from {given['stage']}"
    if "recipe_file" in given:
        return str(given.get("run") or given["recipe_file"])
    return run.name


def _print(found: dict[str, Any], console: Console) -> None:
    server, worker = found["server"], found["worker"]

    def line(name: str, text: str) -> None:
        console.print(f"{name:<12} {text}", markup=False)

    if server["url"] is None:
        line("server", "not running; `tsalign operate start` starts it")
        return
    since = f", since {local(server['since'])}" if server["started_here"] else ""
    state = "runs" if server["answers"] else "runs, but does not answer; see `operate logs server`"
    line("server", f"{state}{since}: {server['url']}")
    since = f" since {local(worker['since'])}" if worker["since"] else ""
    line("worker", f"runs{since}" if worker["running"] else "not running; `tsalign operate start`")
    if found["reports"]:
        line("reports", found["reports"])
    if found["store"]:
        line("store", found["store"])
        line("runs in", found["runs_dir"])
    for index, deployment in enumerate(found["deployments"]):
        schedules = [
            f"{one['when']}{'' if one['active'] else ' (switched off)'}"
            for one in deployment["schedules"]
        ]
        line("" if index else "deployments", "  ".join([deployment["name"], *schedules]))
    console.print()
    if not found["runs"]:
        console.print("No run yet; `tsalign submit RECIPE` sends one.")
        return
    _print_runs(found["runs"], worker["running"], console)


def _print_runs(runs: list[dict[str, Any]], worker: bool, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for head in ("run", "state", "when"):
        table.add_column(head, overflow="fold")
    for run in runs:
        state = _WORDS.get(run["state"], run["state"].lower())
        if state == _TURN and not worker:
            state = "waits for a worker"
        table.add_row(run["name"], state, _moment(run))
    console.print(table, soft_wrap=False)
    for run in runs:
        if run["message"]:
            text = run["message"].splitlines()[0]
            console.print(f"{run['name']}: {text}", markup=False)


def _moment(run: dict[str, Any]) -> str:
    if run["ended"]:
        return f"{local(run['ended'])}, {_spent(run['started'], run['ended'])}"
    if run["started"]:
        now = datetime.now(UTC).isoformat()
        return f"since {local(run['started'])}, {_spent(run['started'], now)}"
    return f"due {local(run['due'])}" if run["due"] else ""


def _spent(start: str | None, end: str) -> str:
    if start is None:
        return "never started"
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def local(moment: str | None) -> str:
    """A time as the clock on the wall shows it."""
    return f"{datetime.fromisoformat(moment).astimezone():%b %d %H:%M}" if moment else "?"


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def say_started(operation: Operation, console: Console) -> None:
    """After a start: where things are, and what to type next."""
    own = operation.folder != Path(".tsalign/operate").absolute()
    where = f" --folder {shlex.quote(str(operation.folder))}" if own else ""
    recipe = "recipes/small.yaml" if Path("recipes/small.yaml").exists() else "RECIPE"
    key = operation.folder / KEY
    read = f'"$(cat {shlex.quote(str(key))})"' if key.exists() else "..."
    held = str(key) if key.exists() else "yours, in PREFECT_SERVER_API_AUTH_STRING"
    lines = (
        f"UI       {operation.url}/dashboard",
        f"reports  {operation.reports_url}",
        f"key      {held} (the UI asks for it once)",
        f"store    {operation.places[0]}",
        f"runs in  {operation.places[1]}",
        f"logs     {operation.folder}/*.log",
        "For `prefect` commands of your own:",
        f"  export PREFECT_API_URL={operation.url}/api",
        f"  export PREFECT_API_AUTH_STRING={read}",
        "Next:",
        f"  tsalign submit {recipe}{where}",
        f"  tsalign operate status{where}",
        f"  tsalign operate logs -f{where}",
        f"  tsalign operate stop{where}",
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
