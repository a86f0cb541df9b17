"""A student that comes without a head, as plain encoders do: whether it may, and what is said.

A new head orders at random. That does no harm where the teacher has the last word and the student
is trained before it chooses again; where it alone would decide, earlier preferences must train it
first. Which it is the recipe says.
"""

from pathlib import Path

from data.errors import InputError
from data.recipes.recipe import RunRecipe
from models.checkpoints import architecture
from models.reward_files import check_headless, check_reward_model, lacks_head


def check_student(recipe: RunRecipe, path: Path, field: str) -> None:
    """InputError unless it is a reward model, or can be made one by a head that is then trained."""
    if not lacks_head(path, field):
        check_reward_model(path, field)
        return
    check_headless(path, field)
    if reason := recipe.refuse_headless():
        kind = architecture(path, field)
        raise InputError(f"{field}: '{path}' is a {kind} without a head, and {reason}")


def head_note(recipe: RunRecipe, path: Path, field: str) -> str:
    """What a user should know of a head that is made, in a line."""
    return (
        f"{field}: '{path}' ({architecture(path, field)}) has no head; a fresh one is made from "
        f"seed {recipe.seed}{recipe.about_head()}"
    )
