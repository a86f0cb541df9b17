"""What a recipe leaves out and only what it names can tell: lengths, learning rates, sizes.

A recipe is fitted before preflight and before its digest is taken; a fitted one leaves nothing out
and stays as it is. No torch here: a model's context and size are in its config and file headers.
"""

from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.recipes.config import Config
from data.recipes.rates import Trained, learning_rate
from data.recipes.recipe import NONE, SMALL, WORLD, Recipe
from data.world import CONTEXT
from flows.preflight.models import cell_field, model_path, own_names
from flows.preflight.sizes import left_out_sizes
from models.checkpoints import context_length, weight_shapes

Values = dict[str, Any]  # numbers, of a recipe's fields, by dotted name


def fitted(recipe: Recipe) -> Recipe:
    """The recipe with what it leaves out filled in."""
    return filled(recipe, left_out(recipe))


def filled(recipe: Recipe, values: Values) -> Recipe:
    """The recipe with these values, as if the user had written them."""
    sections: dict[str, dict[str, Any]] = {}
    for field, value in values.items():
        section, _, name = field.partition(".")
        sections.setdefault(section, {})[name] = value
    parts = {name: getattr(recipe, name).model_copy(update=new) for name, new in sections.items()}
    return recipe.model_copy(update=parts)


def left_out(recipe: Recipe) -> Values:
    """Values for the fields that the recipe does not give.

    None of a model or file that cannot be read: preflight, which comes next, says what is wrong
    with it.
    """
    if recipe.recorded_matrix:  # nothing is sampled and nothing is trained
        return {}
    sizes = {} if recipe.logged else left_out_sizes(recipe)
    return _lengths(recipe) | _rates(recipe) | sizes


def said(values: Values) -> str:
    """What was filled in, in one line."""
    filled = ", ".join(f"{field} {value:g}" for field, value in values.items())
    return f"not in the recipe, so chosen by its models and prompts: {filled}"


def contexts(recipe: Recipe) -> dict[str, int]:
    """Tokens that each model reads, by field, as far as its config tells."""
    named = {f"{part}.model": getattr(recipe, part).model for part in ("policy", "student")}
    named |= {"teacher.model": recipe.teacher.model}
    named |= {cell_field(cell): cell.source for cell in recipe.cells}
    found = {field: CONTEXT for field, name in named.items() if name in (WORLD, SMALL)}
    for field, path in readable_models(recipe).items():
        with suppress(InputError):
            if length := context_length(path, field):
                found[field] = length
    return found


def readable_models(recipe: Recipe) -> dict[str, Path]:
    """Folders of the models the user brought, by field, of those that are there."""
    found = {}
    for field, name in own_names(recipe).items():
        with suppress(InputError):
            found[field] = model_path(field, name)
    return found


def _lengths(recipe: Recipe) -> Values:
    known, found = contexts(recipe), Values()
    if not recipe.logged:
        found = _sampled(recipe, known)
        whole = sum(found.get(f"{part}.max_tokens", getattr(recipe, part).max_tokens)
                    for part in ("prompts", "generate"))  # fmt: skip
        if not _given(recipe.policy, "max_length"):
            longest = max(recipe.policy.max_length, whole)
            found["policy.max_length"] = _at_most(known.get("policy.model"), longest)
    if recipe.student.model != NONE and not _given(recipe.student, "max_length"):
        longest = max(recipe.student.max_length, found.get("policy.max_length", 0))
        found["student.max_length"] = _at_most(known.get("student.model"), longest)
    return found


def _sampled(recipe: Recipe, known: dict[str, int]) -> Values:
    """The longest prompt and the longest answer.

    Prompts take at most half of what the policy reads, answers what is left. A student or teacher
    that reads less leaves answers at least half of that: prompts are seldom as long as they may
    be, and an answer that is too long for it is counted.
    """
    prompts, generate, policy = recipe.prompts, recipe.generate, recipe.policy
    samplers = [n for field, n in known.items() if field.startswith(("policy.", "matrix cell"))]
    readers = [n for field, n in known.items() if field.startswith(("student.", "teacher."))]
    given = [policy.max_length] if _given(policy, "max_length") else []
    room, reader = min(samplers + given, default=None), min(readers, default=None)
    found: Values = {}
    asked, answer = prompts.max_tokens, generate.max_tokens
    if not _given(prompts, "max_tokens"):
        taken = answer if _given(generate, "max_tokens") else (room or 0) // 2
        found["prompts.max_tokens"] = asked = _at_most(room and room - taken, asked)
    if not _given(generate, "max_tokens"):
        answer = _at_most(room and room - asked, answer)
        answer = _at_most(reader and max(reader - asked, reader // 2), answer)
        found["generate.max_tokens"] = answer
    return found


def _rates(recipe: Recipe) -> Values:
    trained: dict[str, Trained] = {}
    if not (recipe.logged or _given(recipe.policy, "learning_rate")):
        trained["policy"] = recipe.policy.method
    if recipe.student.model != NONE and not _given(recipe.student, "learning_rate"):
        trained["student"] = "student"
    brought, own = readable_models(recipe), own_names(recipe)
    rates: Values = {}
    for part, how in trained.items():
        field, parameters = f"{part}.model", 0  # those of the embedded world are all tiny
        with suppress(InputError, KeyError):
            if field in own:
                parameters = sum(map(prod, weight_shapes(brought[field]).values()))
            rates[f"{part}.learning_rate"] = learning_rate(how, parameters)
    return rates


def _given(section: Config, name: str) -> bool:
    return name in section.model_fields_set


def _at_most(limit: int | None, value: int) -> int:
    """At least one: where nothing is left, preflight says which value of the user's is too high."""
    return value if limit is None else max(1, min(limit, value))
