"""The scheduled flow: align on the prompts that arrived since the last time."""

from pathlib import Path

from prefect import flow, get_run_logger

from data.places import runs_folder, store_url
from data.recipe_loading import load_recipe
from flows.align import run_recipe
from flows.series import next_run


@flow(name="align-new-prompts", flow_run_name="{series} / new prompts", persist_result=False)
def align_new_prompts(
    recipe_file: str,
    series: str = "weekly",
    store: str | None = None,
    runs_dir: str | None = None,
    quiet: bool = False,
) -> str:
    """Align on the prompts that arrived since, from the last run's policy and student.

    Args:
        recipe_file: A recipe whose prompts.path is a file that grows.
        series: Name of the series; its runs are SERIES-001, SERIES-002, ...
        store: Folder or URL of the artifacts; by default $TSALIGN_STORE or .tsalign/store.
        runs_dir: Folder of the summaries and reports; by default $TSALIGN_RUNS or runs.
        quiet: No progress on the terminal.

    Returns:
        The folder of the run; nothing where no prompt was new.
    """
    runs = runs_folder(runs_dir)
    recipe = next_run(load_recipe(Path(recipe_file), [], run=series), runs)
    if recipe is None:
        get_run_logger().info("no prompt has arrived since the last run: nothing to do")
        return ""
    get_run_logger().info("%s: %d rounds from %s", recipe.run, recipe.rounds, recipe.policy.model)
    return run_recipe(recipe, store_url(store), runs, quiet)
