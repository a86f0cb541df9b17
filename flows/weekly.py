"""The scheduled flow: align on the prompts that arrived since the last time."""

from prefect import flow, get_run_logger

from data.errors import InputError
from data.places import runs_folder, store_url
from flows.align import run_recipe
from flows.policy_recipe import PolicyRecipe
from flows.preflight.prompts import named_file
from flows.recipe_files import named, read_recipe, working_in
from flows.series import next_run


@flow(name="align-new-prompts", flow_run_name="{series} / new prompts", persist_result=False)
def align_new_prompts(
    recipe_file: str,
    series: str = "weekly",
    overrides: list[str] = [],  # noqa: B006 - never changed; the UI makes a list of it
    folder: str | None = None,
    store: str | None = None,
    runs_dir: str | None = None,
    quiet: bool = False,
) -> str:
    """Align on the prompts that arrived since, from the last run's policy and student.

    Args:
        recipe_file: A recipe whose prompts.path is a file that grows.
        series: Name of the series; its runs are SERIES-001, SERIES-002, ...
        overrides: Values to change in it, each as policy.beta=0.2.
        folder: Where relative names begin; by default the folder that the worker runs flows in.
        store: Folder or URL of the artifacts; by default $TSALIGN_STORE or .tsalign/store.
        runs_dir: Folder of the summaries and reports; by default $TSALIGN_RUNS or runs.
        quiet: No progress on the terminal.

    Returns:
        The folder of the run; nothing where no prompt was new.
    """
    log = get_run_logger()
    with working_in(folder), named(recipe_file):
        recipe = read_recipe(recipe_file, overrides, series)
        if not isinstance(recipe, PolicyRecipe) or "rounds" not in type(recipe).model_fields:
            raise InputError(
                "recipe: a series trains one policy on in rounds over new prompts, which "
                f"{recipe.recipe} does not"
            )
        for field, source in recipe.prompts.sources("path").items():
            named_file(field, source.path)
        runs = runs_folder(runs_dir)
        following = next_run(recipe, runs)
        if following is None:
            log.info("no prompt has arrived since the last run: nothing to do")
            return ""
        log.info("%s: %d rounds from %s", following.run, following.rounds, following.policy.model)
        return run_recipe(following, store_url(store), runs, quiet)
