"""Send a recipe to a deployment: read and checked here, run by a worker."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from cli.operating.connect import Connection, client_of, connection
from cli.operating.operate import Operation
from data.errors import InputError
from data.places import using
from data.recipes.recipe import RunRecipe
from data.store.store import Store
from flows.preflight.fitting import fitted
from flows.problems import INTERRUPTED
from tasks.running.waiting import to_stderr, waiting

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

ALIGN = "align/align"


def submit(recipe: RunRecipe, *, deployment: str, folder: Path, wait: bool) -> int:
    """Queue a run of the recipe under its name; the exit status.

    Where the server was started here, the worker reads the same files: they are checked now, and
    relative names mean what they mean in this folder.

    Raises:
        InputError: there is no server, it has no such deployment, or the recipe cannot be run.
    """
    console = Console(highlight=False, soft_wrap=True)
    to = connection(folder)
    given: dict[str, Any] = {"recipe": recipe.model_dump(mode="json", exclude_unset=True)}
    here = to.own if deployment == ALIGN else None  # whose worker was started here too
    if here:
        with waiting(f"Checking {recipe.run}: models, prompts and the store", to_stderr()):
            _check_here(recipe, here)
        given["folder"] = str(Path.cwd())
    with client_of(to) as client:
        run = create_run(client, deployment, recipe.run, given, to)
        _say(console, run, to, deployment, here)
        _say_queue(console, client, run)
        if not wait:
            _say_next(console, run.name, folder)
            return 0
        try:
            return _wait(client, run, here)
        except KeyboardInterrupt:
            sys.stderr.write(
                f"tsalign: no longer waiting; {recipe.run} goes on there, "
                "`tsalign operate status` shows it\n"
            )
            return INTERRUPTED


def _check_here(recipe: RunRecipe, here: Operation) -> None:
    """As `tsalign align` does before it starts; the places are the worker's."""
    from flows.launch import check

    store, runs = here.places
    with using(store):
        notes = check(fitted(recipe), Store(store), Path(runs) / recipe.run)
    for note in notes:
        sys.stderr.write(f"tsalign: note: {note}\n")


def create_run(
    client: "SyncPrefectClient", deployment: str, name: str, given: dict[str, Any], to: Connection
) -> "FlowRun":
    """A flow run that is called by this name from the start. Raises InputError."""
    from prefect.exceptions import ObjectNotFound

    try:
        found = client.read_deployment_by_name(deployment)
    except (ObjectNotFound, ValueError) as error:
        known = ", ".join(sorted(_names(client))) or "none"
        remedy = "`tsalign operate start`" if to.own else "`prefect deploy --all` in the checkout"
        raise InputError(
            f"--deployment: no {deployment!r} at {to.url} (there: {known}); {remedy} deploys it"
        ) from error
    return client.create_flow_run_from_deployment(found.id, parameters=given, name=name)


def _names(client: "SyncPrefectClient") -> list[str]:
    flows = {flow.id: flow.name for flow in client.read_flows()}
    return [f"{flows.get(one.flow_id)}/{one.name}" for one in client.read_deployments()]


def _say(
    console: Console, run: "FlowRun", to: Connection, deployment: str, here: Operation | None
) -> None:
    from prefect.utilities.urls import url_for

    def line(name: str, text: str) -> None:
        console.print(f"  {name:<9}{text}", markup=False)

    console.print(f"{run.name}: sent to {deployment}", markup=False)
    line("UI", url_for("flow-run", obj_id=run.id, default_base_url=to.url) or to.url)
    if here:
        line("results", str(Path(here.places[1]) / run.name))
        if not here.running("worker"):
            line("note", "no worker runs; `tsalign operate start` starts one")
    else:
        line("note", "files and models are read where the worker runs, and checked there")


def _say_queue(console: Console, client: "SyncPrefectClient", run: "FlowRun") -> None:
    """Who comes first: the pool takes one run at a time."""
    from cli.operating.status import called, open_runs

    ahead = [called(one) for one in open_runs(client, run)]
    if ahead:
        console.print(f"  queue    after {', '.join(ahead)}", markup=False)


def _say_next(console: Console, name: str, folder: Path) -> None:
    where = "" if folder == Path(".tsalign/operate") else f" --folder {shlex.quote(str(folder))}"
    console.print("Next:")
    console.print(f"  tsalign operate logs {name} -f{where}", markup=False)
    console.print(f"  tsalign operate status{where}", markup=False)


def _wait(client: "SyncPrefectClient", run: "FlowRun", here: Operation | None) -> int:
    """Its log until it has ended, and its result where it is kept here."""
    from cli.operating.logs import show_run_log
    from cli.show import headline

    state = show_run_log(client, run, lines=sys.maxsize, follow=True)
    if state != "Completed":
        sys.stdout.write(f"{run.name}: {state.lower()}\n")
        return 1
    if here:
        headline(Path(here.places[1]) / run.name)
    return 0
