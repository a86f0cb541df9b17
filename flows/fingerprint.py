"""What decides every key of a run, in one digest: is there anything left to do?"""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules

import tasks
from data.recipes.loading import config_digest
from data.recipes.recipe import RunRecipe
from data.store.digests import digest_of
from flows.preflight.models import sampling_engine
from models.engine_python import environment
from tasks.running import machine
from tasks.running.keys import TRAINING, key_value, library_versions
from tasks.running.outside import External
from tasks.stage import STAGES


def engine_of(recipe: RunRecipe, name: str | None = None) -> str:
    """The generation engine on this machine, as it enters every generation's key.

    `name` is that of the engine where "auto" has been settled.

    An answer ends where the engine's longest sequence does, should a prompt leave less room.
    """
    if recipe.sampling is None:
        return "none"
    name = name or sampling_engine(recipe).engine
    identity = machine.engine_identity(name, numerics(recipe), recipe.runtime)
    by = " adapters" if name == "vllm" and recipe.sampling.adapters else ""
    return f"{identity} {recipe.max_length} tokens{by}"


def numerics(recipe: RunRecipe) -> str:
    return machine.numerics(recipe.runtime)


def stage_versions() -> dict[str, str]:
    """Version of every stage there is, whatever happens to be imported already."""
    for module in iter_modules(tasks.__path__):
        import_module(f"tasks.{module.name}")
    return {name: stage.version for name, stage in sorted(STAGES.items())}


def run_digest(recipe: RunRecipe, outside: Mapping[str, External]) -> str:
    """Recipe, what it names outside of the store, stage versions, libraries and machine."""
    there = environment(recipe.runtime)  # a teacher may be read there though another samples
    engine, computed = engine_of(recipe), numerics(recipe)
    reader = getattr(getattr(recipe, "teacher", None), "engine", None)
    return digest_of(
        {
            "recipe": config_digest(recipe),
            "inputs": {field: key_value(found) for field, found in outside.items()},
            "stages": stage_versions(),
            "libraries": library_versions(TRAINING),
            "engine": engine,
        }
        | ({} if computed in engine else {"numerics": computed})  # of what no engine samples
        | ({"reader": machine.engine_identity(reader, computed, recipe.runtime)} if reader else {})
        | ({"engine_python": str(there)} if there else {})
    )
