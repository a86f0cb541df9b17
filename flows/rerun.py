"""Run a round again from a stage: that stage and what follows is made anew, the rest is found."""

from datetime import UTC
from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.context import FlowRunContext

from data.errors import InputError
from data.recipe import Recipe
from data.summary import read_summary
from flows.align import run_recipe
from tasks.redo import Redo, now

StageName = Literal[
    "select", "generate", "score", "mine", "relabel", "distill", "reference", "optimize",
    "gate", "evaluate", "drift",
]  # fmt: skip


@flow(name="rerun-round", flow_run_name="{run} / round {round} from {stage}", persist_result=False)
def rerun_round(
    run: str,
    round: int,
    stage: StageName = "generate",
    store: str = ".tsalign/store",
    runs_dir: str = "runs",
    quiet: bool = False,
) -> str:
    """Make a stage of a run's round again, and everything that follows from it.

    What does not depend on that stage is found in the store. A run that failed goes on from there.

    Args:
        run: Name of the run, a folder of the runs.
        round: The round, from 1.
        stage: Where to start in that round.
        store: Folder or URL of the artifacts.
        runs_dir: Folder of the summaries and reports.
        quiet: No progress on the terminal.

    Returns:
        The folder of the run.
    """
    recipe = recipe_of(Path(runs_dir), run)
    if not 1 <= round <= recipe.rounds:
        raise InputError(f"round: {run} has the rounds 1 to {recipe.rounds}; choose one of them")
    # A retry of this flow run keeps what its first try has made.
    context = FlowRunContext.get()
    created = context.flow_run.created if context and context.flow_run else None
    since = created.astimezone(UTC).isoformat(timespec="microseconds") if created else now()
    return run_recipe(recipe, store, runs_dir, quiet, Redo(round, stage, since))


def recipe_of(runs_dir: Path, run: str) -> Recipe:
    """The recipe a run was started with. Raises InputError."""
    summary = read_summary(runs_dir / run / "summary.json")
    return Recipe.model_validate(summary.config)
