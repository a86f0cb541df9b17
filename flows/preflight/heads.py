"""A student that comes without a head, as plain encoders do: whether it may, and what is said.

A new head orders at random. That does no harm where the teacher has the last word and the student
is trained before it chooses again; where it alone would decide, earlier preferences must train it
first.
"""

from pathlib import Path

from data.errors import InputError
from data.recipes.recipe import SMALL, WORLD, Recipe
from models.checkpoints import architecture, check_headless, check_reward_model, lacks_head

FIELD = "student.model"


def check_student(recipe: Recipe, path: Path) -> None:
    """InputError unless it is a reward model, or can be made one by a head that is then trained."""
    if not lacks_head(path, FIELD):
        check_reward_model(path, FIELD)
        return
    check_headless(path, FIELD)
    kind = architecture(path, FIELD)
    if earlier_preferences(recipe) or recipe.logged:
        return
    if recipe.labels == "student":
        reason = "with labels: student one made up here would order the answers"
        remedy = ", or use labels: student+teacher"
    elif not recipe.student.update:
        reason = "with student.update: false one made up here would never learn"
        remedy = ", or leave student.update out"
    else:
        return
    raise InputError(
        f"{FIELD}: '{path}' is a {kind} without a head, and {reason}; "
        f"name preferences to train it on in student.replay_path{remedy}"
    )


def earlier_preferences(recipe: Recipe) -> bool:
    """Whether there are preferences from before the first round: the user's or the world's."""
    if recipe.logged:
        return False
    used = {recipe.policy.model, recipe.teacher.model, recipe.prompts.path}
    used |= {cell.source for cell in recipe.cells}
    return recipe.student.replay_path is not None or bool(recipe.world and used & {WORLD, SMALL})


def head_notes(recipe: Recipe, models: dict[str, Path]) -> list[str]:
    """What a user should know of a head that is made, in a line."""
    path = models.get(FIELD)
    if path is None or not lacks_head(path, FIELD):
        return []
    made = (
        f"{FIELD}: '{path}' ({architecture(path, FIELD)}) has no head; a fresh one is made from "
        f"seed {recipe.seed}"
    )
    if earlier_preferences(recipe):
        return [f"{made} and trained on the earlier preferences before round 1"]
    if recipe.logged:
        return [f"{made}; it picks the first pairs at random, the recorded judge orders them"]
    if recipe.labels == "student+teacher":
        return [f"{made}; in round 1 it picks pairs at random, the teacher orders them"]
    return [f"{made}; it is trained in round 1"]
