from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from cli.app import START, Overrides, Quiet, RunsDir, Store, command, recipe_files


@command("align", START, "tsalign align recipes/small.yaml --set policy.beta=0.2", prepare=True)
def align(
    recipe: Annotated[
        Path, Argument(help="A recipe file (YAML).", autocompletion=recipe_files, metavar="RECIPE")
    ],
    *,
    run: Annotated[
        str | None, Option(metavar="NAME", help="Name of the run; by default the recipe's.")
    ] = None,
    overrides: Overrides = None,
    quiet: Quiet = False,
    store: Store,
    runs_dir: RunsDir,
) -> None:
    """Run a recipe, or what is missing of it."""
    from cli.show import headline
    from data.recipe_loading import load_recipe
    from flows.launch import launch

    made = load_recipe(recipe, overrides or [], run=run)
    headline(launch(made, store=store, runs_dir=runs_dir, quiet=quiet), quiet=quiet)
