from pathlib import Path
from typing import Annotated

from typer import Option

from cli.app import OPERATE, Overrides, RecipeFile, command


@command("submit", OPERATE, "tsalign submit recipes/small.yaml --set policy.beta=0.2", prepare=True)
def submit(
    recipe: RecipeFile,
    *,
    run: Annotated[
        str | None, Option(metavar="NAME", help="Name of the run; by default the recipe's.")
    ] = None,
    overrides: Overrides = None,
    wait: Annotated[
        bool, Option("--wait", help="Show its log until it has ended; exit status 1 if it failed.")
    ] = False,
    deployment: Annotated[
        str, Option(metavar="FLOW/NAME", help="A deployment that takes a recipe.")
    ] = "align/align",
    folder: Annotated[
        Path, Option(metavar="DIR", help="Of `operate start`; PREFECT_API_URL wins.")
    ] = Path(".tsalign/operate"),
) -> int:
    """Send a recipe to Prefect, to be run by its worker."""
    from cli.operating.submit import submit as send
    from flows.recipe_files import load_recipe

    made = load_recipe(recipe, overrides or [], run=run)
    return send(made, deployment=deployment, folder=folder, wait=wait)
