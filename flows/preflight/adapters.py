"""Policies that are served as adapters of their base: for which recipes, and of which rank."""

from data.errors import InputError
from data.recipes.recipe import RunRecipe
from flows.preflight.models import sampling_engine
from models.adapted import room_for

FIELD = "generate.adapters"


def check_adapters(recipe: RunRecipe) -> None:
    """InputError where the recipe asks for adapters that are not trained, or not served."""
    if recipe.sampling is None or not recipe.sampling.adapters:
        return
    if _rank(recipe) == 0:
        raise InputError(
            f"{FIELD}: policy.method full trains all weights and no adapter; use lora, or leave it "
            "out"
        )
    engine = sampling_engine(recipe).engine
    if engine != "vllm":
        raise InputError(f"{FIELD}: only vLLM serves adapters, and not {engine}; leave it out")
    if recipe.execution.kind == "ray":
        raise InputError(
            f"{FIELD}: workers of Ray are handed merged weights; leave out one of the two"
        )


def room_of(recipe: RunRecipe) -> int:
    """The rank of adapters that the engine of a run has room for; 0: it serves none."""
    if recipe.sampling is None or not recipe.sampling.adapters:
        return 0
    return room_for(_rank(recipe) * recipe.round_count)


def _rank(recipe: RunRecipe) -> int:
    """Of the adapter that a round trains; 0: it trains all weights."""
    adapter = getattr(getattr(recipe, "policy", None), "adapter", None)
    return adapter.r if adapter else 0
