"""What a run is about to do, how long it takes as far as that was measured, and where it writes.

Loads neither torch nor Prefect.
"""

from pathlib import Path

from data.durations import duration
from data.errors import InputError
from data.recipes.files import PROJECT
from data.recipes.loading import config_digest, load_recipe
from data.recipes.recipe import NONE, WORLD, Recipe
from data.summary import Summary, read_summary

# Of this project's recipes, from an empty store on two shared CPU cores (AMD EPYC).
MEASURED = {"embedded": "ten minutes", "small": "a minute"}


def outlook(recipe: Recipe, whole: Recipe, folder: Path, store: str) -> list[str]:
    """Sentences, one a line, for before a run.

    Args:
        recipe: As it was loaded.
        whole: With what it leaves out, as the run's summary has it.
        folder: Of the run.
    """
    return [
        f"{recipe.run}: {_what(recipe)}",
        _how_long(recipe, whole, folder),
        f"Results go to {folder}, what is computed to {store}; what is there already is found.",
    ]


def _what(recipe: Recipe) -> str:
    if recipe.logged:
        return "a student learns from recorded answers and judgments; nothing is generated."
    if recipe.recorded_matrix:
        return (
            f"pairs of the recorded answers of {len(recipe.cells)} models; nothing is generated "
            "or trained."
        )
    asked = recipe.prompts.per_round
    rounds = f"{recipe.rounds} round" + "s" * (recipe.rounds != 1)
    if recipe.labels == "matrix":
        answers = f"{asked:,} prompts, each answered by the {len(recipe.cells)} cells of the matrix"
    else:
        answers = f"{asked:,} prompts x {recipe.generate.k} answers"
    trained = "the policy is" if recipe.student.model == NONE else "policy and student are"
    world = " A small world is built first." if recipe.world and _builds(recipe) else ""
    return (
        f"{rounds} of {answers}. {_who(recipe, asked)}; {trained} trained on the pairs, and the "
        f"policy's answers to held-out prompts are compared with the base's.{world}"
    )


def _builds(recipe: Recipe) -> bool:
    named = (recipe.policy.model, recipe.student.model, recipe.teacher.model, recipe.prompts.path)
    return WORLD in named


def _who(recipe: Recipe, asked: int) -> str:
    """Who orders the answers."""
    answers = asked * recipe.generate.k
    pairs = asked * (2 if recipe.mine.pairs == "top2_bottom2" else 1)
    known = {
        "student+teacher": f"The student screens all {answers:,}, the teacher judges up to "
        f"{pairs:,} pairs of them",
        "student": f"The student scores all {answers:,} and orders the pairs",
        "teacher": f"The teacher scores all {answers:,} and orders the pairs",
        "matrix": "The places of the models order the answers",
    }
    return known.get(recipe.labels, f"{recipe.labels} orders the answers")


def _how_long(recipe: Recipe, whole: Recipe, folder: Path) -> str:
    if before := _before(folder, whole):
        spent = duration(sum(stage.computed_seconds for stage in before.stages()))
        done = len(before.rounds)
        if before.finished:
            return f"Time: its stages once took {spent} in all."
        return f"Time: its {done} finished round{'s' * (done != 1)} took {spent} to compute."
    if measured := _measured(recipe):
        return f"Time: about {measured} on two idle CPU cores, as measured from an empty store."
    return "Time: not known before the first round has been measured; then it is shown."


def _before(folder: Path, whole: Recipe) -> Summary | None:
    """The summary of an earlier run of this name and recipe that finished a round."""
    try:
        summary = read_summary(folder / "summary.json")
    except InputError:
        return None
    same = summary.config_digest == config_digest(whole)
    return summary if same and summary.rounds else None


def _measured(recipe: Recipe) -> str | None:
    """What a recipe of this project has been seen to take, its seed aside."""
    for name, spent in MEASURED.items():
        try:
            known = load_recipe(PROJECT / f"{name}.yaml")
        except InputError:
            continue
        if config_digest(known) == config_digest(recipe.model_copy(update={"seed": known.seed})):
            return spent
    return None
