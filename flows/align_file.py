"""The light form of `align`: a recipe's file and what to change in it, no field for each value."""

from contextlib import suppress

from prefect import flow, runtime

from data.errors import InputError
from data.places import runs_folder, store_url
from flows.align import run_recipe
from flows.recipe_files import named, read_recipe, working_in


def _name() -> str:
    """The run's name as far as the file can be read; what is wrong with it the flow will say."""
    given = runtime.flow_run.parameters
    with suppress(InputError), working_in(given.get("folder")):
        return read_recipe(given["recipe_file"], given["overrides"], given["run"]).run
    return str(given["recipe_file"])


@flow(name="align-file", flow_run_name=_name, persist_result=False)
def align_file(
    recipe_file: str,
    overrides: list[str] = [],  # noqa: B006 - never changed; the UI makes a list of it
    run: str | None = None,
    folder: str | None = None,
    store: str | None = None,
    runs_dir: str | None = None,
    quiet: bool = False,
) -> str:
    """Align a policy by a recipe file that the worker can read.

    The file is read when the run starts. A relative name, of the file or in it, begins at `folder`.

    Args:
        recipe_file: A recipe (YAML), such as recipes/small.yaml.
        overrides: Values to change, each as policy.beta=0.2.
        run: Name of the run; by default the recipe's.
        folder: Where relative names begin; by default the folder that the worker runs flows in.
        store: Folder or URL of the artifacts; by default $TSALIGN_STORE or .tsalign/store.
        runs_dir: Folder of the summaries and reports; by default $TSALIGN_RUNS or runs.
        quiet: No progress on the terminal.

    Returns:
        The folder of the run.
    """
    with working_in(folder), named(recipe_file):
        recipe = read_recipe(recipe_file, overrides, run)
        return run_recipe(recipe, store_url(store), runs_folder(runs_dir), quiet)
