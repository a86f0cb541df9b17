"""Run a round again from a stage: that stage and what follows is made anew, the rest is found."""

from datetime import UTC

from prefect import flow
from prefect.context import FlowRunContext

from data.errors import InputError
from data.places import runs_folder, store_url
from data.store.inventory import run_folder
from data.store.store import Store
from flows.align import run_recipe
from flows.recipe_files import recipe_of
from tasks.running.redo import Redo, StageName, now


@flow(name="rerun-round", flow_run_name="{run} / round {round} from {stage}", persist_result=False)
def rerun_round(
    run: str,
    round: int,
    stage: StageName = "generate",
    store: str | None = None,
    runs_dir: str | None = None,
    quiet: bool = False,
    verbose: bool = False,
) -> str:
    """Make a stage of a run's round again, and everything that follows from it.

    What does not depend on that stage is found in the store. A run that failed goes on from there.

    Args:
        run: Name of the run, a folder of the runs.
        round: The round, from 1.
        stage: Where to start in that round.
        store: Folder or URL of the artifacts; by default $TSALIGN_STORE or .tsalign/store.
        runs_dir: Folder of the summaries and reports; by default $TSALIGN_RUNS or runs.
        quiet: No progress on the terminal.
        verbose: A line for every stage, found ones too, with what it counted.

    Returns:
        The folder of the run.
    """
    url, runs = store_url(store), runs_folder(runs_dir)
    recipe = recipe_of(run_folder(runs, run))
    if not 1 <= round <= recipe.round_count:
        raise InputError(
            f"round: {run} has the rounds 1 to {recipe.round_count}; choose one of them"
        )
    if not Store(url).is_local:  # what is removed here would be fetched from there
        raise InputError(f"--store: '{url}' is no folder; a round is made again in local stores")
    # A retry of this flow run keeps what its first try has made.
    context = FlowRunContext.get()
    created = context.flow_run.created if context and context.flow_run else None
    since = created.astimezone(UTC).isoformat(timespec="microseconds") if created else now()
    return run_recipe(recipe, url, runs, quiet, Redo(round, stage, since), verbose)
