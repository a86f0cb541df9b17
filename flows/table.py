"""The table of flows: by the name that a recipe gives in `recipe`, its recipe class and its flow.

A new flow is a room with a `recipe.py` and a `flow.py`, and a line here. Loading recipes loads
neither torch nor Prefect: the flow is imported when it runs.
"""

from collections.abc import Callable
from functools import reduce
from importlib import import_module
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field

from data.errors import InputError
from data.nearest import did_you_mean
from data.recipes.config import AnyOf
from data.recipes.recipe import RunRecipe
from data.recipes.spelling import current


class Flow(NamedTuple):
    """Where a flow is: "module:name" of its recipe class and of its function."""

    recipe: str
    function: str


_LOOP = Flow("flows.loop.recipe:AlignRecipe", "flows.loop.flow:rounds")
FLOWS: dict[str, Flow] = {
    "ts-align": _LOOP,
    "optune": _LOOP,
    "tso": _LOOP,
    "best-of-n": Flow("flows.best_of_n.recipe:BestOfNRecipe", "flows.best_of_n.flow:best_of_n"),
    "opd": Flow("flows.opd.recipe:OpdRecipe", "flows.opd.flow:opd"),
    "adpa": Flow("flows.adpa.recipe:AdpaRecipe", "flows.adpa.flow:adpa"),
    "arte": Flow("flows.arte.recipe:ArteRecipe", "flows.arte.flow:arte"),
    "ddk": Flow("flows.ddk.recipe:DdkRecipe", "flows.ddk.flow:ddk"),
    "hacking": Flow("flows.hacking.recipe:HackingRecipe", "flows.hacking.flow:hacking"),
    "logged": Flow("flows.logged.recipe:LoggedRecipe", "flows.logged.flow:learn_from_logs"),
    "leaf": Flow("flows.leaf.recipe:LeafRecipe", "flows.leaf.flow:leaf"),
    "aurobind": Flow("flows.aurobind.recipe:AurobindRecipe", "flows.aurobind.flow:aurobind"),
    "vl2v": Flow("flows.vl2v.recipe:Vl2vRecipe", "flows.vl2v.flow:vl2v"),
    "matrix": Flow(
        "flows.matrix_pairs.recipe:MatrixRecipe", "flows.matrix_pairs.flow:pair_a_matrix"
    ),
}


def recipe_class(name: Any) -> type[RunRecipe]:
    """The class of the recipes of a flow. Raises InputError for a name of none."""
    if not isinstance(name, str) or name not in FLOWS:
        near = did_you_mean(str(name), FLOWS)
        names = ", ".join(repr(known) for known in FLOWS)
        raise InputError(f"recipe: must be one of {names}, got {name!r:.60}{near}")
    found: type[RunRecipe] = _load(FLOWS[name].recipe)
    return found


def recipe_classes() -> list[type[RunRecipe]]:
    """Every class once, in the order of the table."""
    return list(dict.fromkeys(recipe_class(name) for name in FLOWS))


def flow_of(recipe: RunRecipe) -> Callable[..., Any]:
    """The function that carries out a recipe."""
    found: Callable[..., Any] = _load(FLOWS[recipe.recipe].function)
    return found


def recipe_from(values: Any, strict: bool = False) -> RunRecipe:
    """The recipe of these values, in today's spelling or an older one.

    Raises:
        ValidationError: as pydantic.
        InputError: there is no such flow.
    """
    try:
        known = current(values)
    except ValueError as error:
        raise InputError(str(error)) from None
    found = recipe_class(known["recipe"]) if isinstance(known, dict) else RunRecipe
    return found.model_validate(known, strict=strict)


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


if TYPE_CHECKING:
    Recipe = RunRecipe
else:
    # As a parameter of a Prefect flow: a recipe of any flow, each with its own form in the UI.
    Recipe = Annotated[
        reduce(or_, recipe_classes()),
        Field(discriminator="recipe"),
        AnyOf(),
        BeforeValidator(current),
    ]
