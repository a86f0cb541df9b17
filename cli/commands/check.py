from typing import Annotated

from typer import Option

from cli.app import START, Overrides, RecipeFile, RunsDir, Store, command


@command("check", START, "tsalign check mine.yaml", prepare=True)
def check(
    recipe: RecipeFile,
    *,
    run: Annotated[
        str | None, Option(metavar="NAME", help="Name of the run; by default the recipe's.")
    ] = None,
    overrides: Overrides = None,
    deep: Annotated[bool, Option("--deep", help="Load each model and use it once.")] = False,
    time: Annotated[
        bool,
        Option(
            "--time",
            help="Predict seconds, memory and disk of every stage, by what stages have taken here; "
            "what is not known is measured on a few prompts, and kept in the store.",
        ),
    ] = False,
    device: Annotated[
        str | None,
        Option(
            metavar="GPU",
            help="Estimate them on paper for a GPU, such as h100 or 8xh100, without measuring.",
        ),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print JSON.")] = False,
    store: Store,
    runs_dir: RunsDir,
) -> int:
    """Check a recipe before it runs: problems, lengths, and a plan."""
    from cli.checking import check_recipe

    return check_recipe(
        recipe,
        overrides or [],
        run=run,
        store=store,
        runs_dir=runs_dir,
        deep=deep,
        time=time,
        device=device,
        as_json=as_json,
    )
