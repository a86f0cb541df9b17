"""Run a round again from a stage: that stage and what follows is made anew, the rest is found."""

from datetime import UTC

from prefect import flow
from prefect.context import FlowRunContext

from data.places import runs_folder, store_url
from data.store.inventory import run_folder
from flows.align import run_recipe
from flows.redoing import recipe_to_redo
from tasks.running.redo import Redo, now


@flow(name="rerun-round", flow_run_name="{run} / round {round} from {stage}", persist_result=False)
def rerun_round(
    run: str,
    round: int,
    stage: str = "generate",
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
        stage: Where to start in that round: a stage such as "generate", with all its calls, or one
            of them, such as "generate:dev".
        store: Folder or URL of the artifacts; by default $TSALIGN_STORE or .tsalign/store.
        runs_dir: Folder of the summaries and reports; by default $TSALIGN_RUNS or runs.
        quiet: No progress on the terminal.
        verbose: A line for every stage, found ones too, with what it counted.

    Returns:
        The folder of the run.
    """
    url, runs = store_url(store), runs_folder(runs_dir)
    recipe = recipe_to_redo(run_folder(runs, run), round, stage, url)
    # A retry of this flow run keeps what its first try has made.
    context = FlowRunContext.get()
    created = context.flow_run.created if context and context.flow_run else None
    since = created.astimezone(UTC).isoformat(timespec="microseconds") if created else now()
    return run_recipe(recipe, url, runs, quiet, Redo(round, stage, since), verbose)
