from typing import Annotated

from typer import Option

from cli.app import START, Overrides, Quiet, RecipeFile, RunsDir, Store, Verbose, command


@command("align", START, "tsalign align recipes/small.yaml --set policy.beta=0.2", prepare=True)
def align(
    recipe: RecipeFile,
    *,
    run: Annotated[
        str | None, Option(metavar="NAME", help="Name of the run; by default the recipe's.")
    ] = None,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Only check the recipe, as `tsalign check` does.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    store: Store,
    runs_dir: RunsDir,
) -> int:
    """Run a recipe, or what is missing of it."""
    if dry_run:
        from cli.checking import check_recipe

        return check_recipe(recipe, overrides or [], run=run, store=store, runs_dir=runs_dir)
    from cli.show import headline
    from flows.launch import launch
    from flows.recipe_files import load_recipe

    made = load_recipe(recipe, overrides or [], run=run)
    headline(
        launch(made, store=store, runs_dir=runs_dir, quiet=quiet, verbose=verbose),
        quiet=quiet,
        store=store,
    )
    return 0
