"""What can be made again of a run: checked before anything is begun."""

from pathlib import Path

from data.errors import InputError
from data.recipes.recipe import RunRecipe
from data.store.store import Store
from data.summary import addresses, read_summary
from flows.recipe_files import recipe_of


def recipe_to_redo(folder: Path, number: int, stage: str, store: str) -> RunRecipe:
    """The recipe of a run that is in `folder`.

    Raises:
        InputError: it has no such round or no such stage in it, or its store is no folder.
    """
    recipe = recipe_of(folder)
    if not 1 <= number <= recipe.round_count:
        raise InputError(
            f"--round: {folder.name} has the rounds 1 to {recipe.round_count}; choose one of them"
        )
    if not Store(store).is_local:  # what is removed here would be fetched from there
        raise InputError(f"--store: '{store}' is no folder; a round is made again in local stores")
    summary = read_summary(folder / "summary.json")
    rounds = {part: records for _, part, records in summary.parts() if part}
    # Of a round that has failed nothing is recorded: it makes what the others make.
    known = rounds.get(number) or [one for records in rounds.values() for one in records]
    if known and not any(record.is_meant(stage) for record in known):
        raise InputError(
            f"--stage: round {number} of {folder.name} has no stage '{stage}'; "
            f"its stages are {', '.join(addresses(known))}"
        )
    return recipe
