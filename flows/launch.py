"""From the command line to the flow: nothing to do, or a flow run with quiet, local Prefect."""

from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from rich.console import Console

from data.errors import ArtifactError, InputError
from data.places import check_writable, in_its_store, one_at_a_time
from data.rates import Measured, Rates
from data.recipes.recipe import RunRecipe
from data.store.artifacts import Artifact
from data.store.inventory import run_folder
from data.store.store import Store
from data.summary import Summary, read_summary, write_summary
from flows.planning.outlook import outlook
from flows.preflight.fitting import fitted
from flows.problems import one_line
from flows.redoing import recipe_to_redo
from flows.server import no_server, prefect_ready
from models.devices import device
from tasks.running.effort import age, core_seconds
from tasks.running.waiting import say, to_stderr, waiting

if TYPE_CHECKING:
    from prefect import Flow

# What imports torch, transformers and TRL.
_LIBRARIES = ("models.engines.transformers", "models.rewards", "models.training.trainers")
STARTING = "Starting Prefect, loading torch and transformers"


@in_its_store
def launch(
    recipe: RunRecipe, *, store: str, runs_dir: Path, quiet: bool = False, verbose: bool = False
) -> Path:
    """Run the recipe, unless its run is complete and every artifact of it is in order.

    Returns the folder of the run.
    """
    console, folder, artifacts = to_stderr(quiet), runs_dir / recipe.run, Store(store)
    with waiting(f"Checking {recipe.run}: models, prompts, what is there", console):
        whole = fitted(recipe)
        done = finished(whole, folder, artifacts)
        notes = [] if done else check(whole, artifacts, folder)
    if done:
        write_summary(folder / "summary.json", done)
        out = Console(quiet=quiet, highlight=False)
        out.print(f"{recipe.run}: nothing to do, every stage is in the store.")
        return folder
    for line in [*outlook(recipe, whole, folder, store), *map("note: {}".format, notes)]:
        say(console, line)
    places = {"store": store, "runs_dir": str(runs_dir), "quiet": quiet, "verbose": verbose}
    with one_line(folder), waiting(STARTING, console), ready(recipe, folder) as answers:
        from flows.align import align
        from flows.preflight.inputs import checked

        before, busy, began = age(), core_seconds(), monotonic()
        with checked(whole, notes):
            carry_out(align, recipe, **places, by_prefect=answers)
        busy -= core_seconds()
    spent = before + monotonic() - began - read_summary(folder / "summary.json").seconds
    note_start(artifacts, whole, spent, busy + core_seconds())
    return folder


@in_its_store
def launch_rerun(
    run: str,
    number: int,
    stage: str,
    *,
    store: str,
    runs_dir: Path,
    quiet: bool = False,
    verbose: bool = False,
) -> Path:
    """Make a stage of a finished or failed round again and what follows from it."""
    console, folder = to_stderr(quiet), run_folder(runs_dir, run)
    recipe = recipe_to_redo(folder, number, stage, store)
    with waiting(f"Checking {run}: models, prompts, what is there", console):
        notes = check(recipe, Store(store), folder)
    again = f"{run}: round {number} is made again from '{stage}', with what follows from it."
    for line in [again, *map("note: {}".format, notes)]:
        say(console, line)
    places = {"store": store, "runs_dir": str(runs_dir), "quiet": quiet, "verbose": verbose}
    with one_line(folder), waiting(STARTING, console), ready(recipe, folder) as answers:
        from flows.preflight.inputs import checked
        from flows.rerun import rerun_round

        with checked(recipe, notes):
            carry_out(rerun_round, run, number, stage, **places, by_prefect=answers)
    return folder


def note_start(store: Store, recipe: RunRecipe, seconds: float, cores: float) -> None:
    """Keep for predictions what the command took before its run and around it."""
    from tasks.running.measuring import START, beside, machine_of

    call = beside(START, pilot=False)
    rates = Rates(store.root, machine_of(recipe.runtime))
    rates.add(Measured(call, call, START, 1, round(seconds, 3), round(cores, 3)))


def ready(recipe: RunRecipe, folder: Path) -> AbstractContextManager[bool]:
    """Prefect's server as `flows.server.prefect_ready` has it; while it starts, this process loads
    what the run will need of libraries, five seconds of a core."""

    return prefect_ready(folder, meanwhile=lambda: load_libraries(recipe))


def load_libraries(recipe: RunRecipe) -> None:
    """Import the flow and, where models do not live in child processes as on a GPU, theirs."""
    import_module("flows.align")
    if device(recipe.runtime) == "cpu":
        for module in _LIBRARIES:
            import_module(module)


def carry_out(flow: "Flow", *args: Any, by_prefect: bool, **kwargs: Any) -> None:
    """Call a flow; where Prefect does not answer, its function."""
    from tasks.running.books import Books, restored, without_prefect

    if not by_prefect:
        without_prefect(no_server())
    with restored():
        Books(kept=by_prefect).flow(flow, *args, **kwargs)


def check(recipe: RunRecipe, store: Store, folder: Path) -> list[str]:
    """Whatever can be refused is refused here, before Prefect takes its time to start.

    Returns what is only worth knowing, a line each.
    """
    from flows.derived import check_room
    from flows.preflight.inputs import check_inputs

    check_room(folder)
    check_writable("--runs-dir", folder)
    check_writable("--store", store.root)
    store.check_remote()
    notes = check_inputs(recipe)
    with one_at_a_time(folder):
        pass
    return notes


def finished(recipe: RunRecipe, folder: Path, store: Store) -> Summary | None:
    """The summary of a complete run with every stage marked cached, or None if work is left.

    Every artifact is hashed again: a damaged one is work left.
    """
    started, path = monotonic(), folder / "summary.json"
    if not path.is_file():
        return None
    from flows.derived import contradictions, spoilt
    from flows.fingerprint import run_digest
    from flows.outside import outside_of

    try:
        summary = read_summary(path)
        now = run_digest(recipe, outside_of(recipe))
    except InputError:  # a summary that will be written again, or what preflight will refuse
        return None
    if summary.run_digest != now or summary.finished is None:
        return None
    if spoilt(folder, summary):  # report or links, which are made again
        return None
    try:
        for record in summary.stages():
            store.verify(Artifact(kind=record.kind, key=record.key, digest=record.artifact))
    except ArtifactError:
        return None
    if contradictions(store, summary):
        return None
    return summary.all_cached(seconds=round(monotonic() - started, 3))
