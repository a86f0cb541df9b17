"""What a recipe leaves out and only what it names can tell: lengths, learning rates, sizes.

A recipe is fitted before preflight and before its digest is taken; a fitted one leaves nothing out
and stays as it is. No torch here: a model's context and size are in its config and file headers.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from data.errors import InputError
from data.recipes.names import models
from data.recipes.rates import learning_rate
from data.recipes.recipe import SMALL, WORLD, RunRecipe, TrainConfig, Values
from data.world import CONTEXT
from flows.preflight.folders import folder_of
from flows.preflight.gguf import check_gguf_files
from flows.preflight.models import brought
from models.checkpoints import context_length, count_parameters

R = TypeVar("R", bound=RunRecipe)


def fitted(recipe: R) -> R:
    """The recipe with what it leaves out filled in."""
    return filled(recipe, left_out(recipe))


def filled(recipe: R, values: Values) -> R:
    """The recipe with these values, as if the user had written them."""
    sections: dict[str, dict[str, Any]] = {}
    for field, value in values.items():
        section, _, name = field.partition(".")
        sections.setdefault(section, {})[name] = value
    parts = {name: getattr(recipe, name).model_copy(update=new) for name, new in sections.items()}
    return recipe.model_copy(update=parts)


def left_out(recipe: RunRecipe) -> Values:
    """Values for the fields that the recipe does not give.

    None of a model or file that cannot be read: preflight, which comes next, says what is wrong
    with it. Only GGUF files are refused here already, as what reads one imports it.
    """
    check_gguf_files(recipe)
    return recipe.lengths(contexts(recipe)) | _rates(recipe) | recipe.sizes()


def said(values: Values) -> str:
    """What was filled in, in one line."""
    filled = ", ".join(f"{field} {value:g}" for field, value in values.items())
    return f"not in the recipe, so chosen by its models and prompts: {filled}"


def contexts(recipe: RunRecipe) -> dict[str, int]:
    """Tokens that each model reads, by field, as far as its config tells."""
    made = (one for one in models(recipe) if one.is_word and one.value in (WORLD, SMALL))
    found = {one.field: CONTEXT for one in made}
    for field, path in readable_models(recipe).items():
        with suppress(InputError):
            if length := context_length(path, field):
                found[field] = length
    return found


def readable_models(recipe: RunRecipe) -> dict[str, Path]:
    """Folders of the models the user brought, by field, of those that are there."""
    found = {}
    for one in brought(recipe):
        with suppress(InputError):
            found[one.field] = folder_of(one)
    return found


def _rates(recipe: RunRecipe) -> Values:
    """Learning rates of what is trained, by the size of each model."""
    folders, rates = readable_models(recipe), Values()
    for one in models(recipe):
        section, parameters = one.section, 0  # those of the embedded world are all tiny
        if not isinstance(section, TrainConfig) or section.gives("learning_rate"):
            continue
        if not one.field.endswith(".model"):  # another model of the section, which is not trained
            continue
        with suppress(InputError, KeyError):
            if not one.is_word:
                parameters = count_parameters(folders[one.field])
            part = one.field.removesuffix(".model")
            rates[f"{part}.learning_rate"] = learning_rate(section.trained_as, parameters)
    return rates


def at_most(limit: int | None, value: int) -> int:
    """At least one: where nothing is left, preflight says which value of the user's is too high."""
    return value if limit is None else max(1, min(limit, value))
