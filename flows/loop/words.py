"""What a run of the loop does, in sentences."""

from data.recipes.names import from_world
from data.recipes.recipe import NONE, WORLD
from flows.loop.recipe import AlignRecipe


def about(recipe: AlignRecipe) -> str:
    """Rounds, prompts and answers, who orders them and what is trained."""
    asked = recipe.prompts.per_round
    rounds = f"{recipe.rounds} round" + "s" * (recipe.rounds != 1)
    if recipe.labels == "matrix":
        answers = f"{asked:,} prompts, each answered by the {len(recipe.cells)} cells of the matrix"
    else:
        answers = f"{asked:,} prompts x {recipe.generate.k} answers"
    trained = "the policy is" if recipe.student.model == NONE else "policy and student are"
    builds = WORLD in from_world(recipe).values()
    world = " A small world is built first." if builds else ""
    return (
        f"{rounds} of {answers}. {_who(recipe, asked)}; {trained} trained on the pairs, and the "
        f"policy's answers to held-out prompts are compared with the base's.{world}"
    )


def _who(recipe: AlignRecipe, asked: int) -> str:
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
