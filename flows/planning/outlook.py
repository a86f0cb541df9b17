"""What a run is about to do, how long it takes as far as that was measured, and where it writes.

Loads neither torch nor Prefect.
"""

from pathlib import Path

from data.durations import duration
from data.errors import InputError
from data.recipes.files import PROJECT
from data.recipes.loading import config_digest
from data.recipes.recipe import RunRecipe
from data.summary import Summary, read_summary
from flows.preflight.models import sampling_engine
from flows.recipe_files import load_recipe
from reports.text import rounds_done

# Of this project's recipes, from an empty store on two shared CPU cores (AMD EPYC).
MEASURED = {"embedded": "ten minutes", "small": "a minute"}


def outlook(recipe: RunRecipe, whole: RunRecipe, folder: Path, store: str) -> list[str]:
    """Sentences, one a line, for before a run.

    Args:
        recipe: As it was loaded.
        whole: With what it leaves out, as the run's summary has it.
        folder: Of the run.
    """
    return [
        f"{recipe.run}: {recipe.about()}",
        _how_long(recipe, whole, folder),
        *_engine(whole),
        f"Results go to {folder}, what is computed to {store}; what is there already is found.",
    ]


def _engine(recipe: RunRecipe) -> list[str]:
    """Which engine the run has chosen, where the recipe leaves it open."""
    if recipe.sampling is None or recipe.sampling.engine != "auto":
        return []
    engine, why = sampling_engine(recipe)
    return [f"Answers are sampled by {engine}: {why}. generate.engine names another."]


def _how_long(recipe: RunRecipe, whole: RunRecipe, folder: Path) -> str:
    if before := _before(folder, whole):
        spent = duration(sum(stage.computed_seconds for stage in before.stages()))
        done = rounds_done(before)
        if before.finished:
            return f"Time: its stages once took {spent} in all."
        return f"Time: its {done} finished round{'s' * (done != 1)} took {spent} to compute."
    if measured := _measured(recipe):
        return f"Time: about {measured} on two idle CPU cores, as measured from an empty store."
    foreseen = (
        "; `tsalign check` with --time foresees it in some minutes" if whole.counts_work else ""
    )
    return f"Time: not known before the first round has been measured{foreseen}."


def _before(folder: Path, whole: RunRecipe) -> Summary | None:
    """The summary of an earlier run of this name and recipe that finished a round."""
    try:
        summary = read_summary(folder / "summary.json")
    except InputError:
        return None
    same = summary.config_digest == config_digest(whole)
    return summary if same and rounds_done(summary) else None


def _measured(recipe: RunRecipe) -> str | None:
    """What a recipe of this project has been seen to take, its seed aside."""
    for name, spent in MEASURED.items():
        try:
            known = load_recipe(PROJECT / f"{name}.yaml")
        except InputError:
            continue
        if config_digest(known) == config_digest(recipe.model_copy(update={"seed": known.seed})):
            return spent
    return None
