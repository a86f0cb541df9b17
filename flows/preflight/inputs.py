"""What can be checked before any work: no Prefect, no store, no training.

The command line checks before it starts Prefect, the flow checks for deployments, which start
without the command line. Files come first, in a second; chat templates last, for transformers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from data.errors import InputError
from data.readers.seen import Prompts, PromptTable
from data.recipes.loading import config_digest
from data.recipes.recipe import RunRecipe, RuntimeConfig
from flows.preflight.adapters import check_adapters
from flows.preflight.findings import Findings
from flows.preflight.functions import check_reward_functions
from flows.preflight.judges import check_judges
from flows.preflight.labels import check_own_code
from flows.preflight.models import (
    brought,
    check_loading,
    check_models,
    check_rendering,
    sampling_engine,
)
from flows.preflight.served import check_server
from models.engine_choice import check_parallel
from models.engine_python import check_engine_python
from models.training.launch_config import check_launch, check_qlora, launch_notes
from models.training.trackers import MODULES
from tasks.running import machine
from tasks.running.cluster import check_execution

# The recipe that this process has just found in order, and the notes of that.
_JUST_CHECKED: ContextVar[tuple[str, list[str]] | None] = ContextVar("just checked", default=None)


@contextmanager
def checked(recipe: RunRecipe, notes: list[str]) -> Iterator[None]:
    """Within it `check_inputs` does not look again at a recipe for which it gave these notes: a
    million prompts take it minutes."""
    token = _JUST_CHECKED.set((config_digest(recipe), notes))
    try:
        yield
    finally:
        _JUST_CHECKED.reset(token)


def check_inputs(recipe: RunRecipe) -> list[str]:
    """Everything the recipe names: engine, models, prompts, recorded files, chat templates.

    Returns notes: what is no error and yet not what one would expect, a line each.

    Raises:
        InputError: one line that names the field, the file and the line, and the remedy.
        InputErrors: such a line for each problem. Those of the machine come first and alone, for
            nothing is read to find them; then those of files; then those of chat templates; then
            those of weights.
    """
    if (known := _JUST_CHECKED.get()) and known[0] == config_digest(recipe):
        return known[1]
    found = Findings()
    check_surroundings(recipe, found)
    found.refuse()
    models, prompts, replay = check_files(recipe, found)
    found.refuse()
    if models:
        check_rendering(recipe, models, prompts, replay, found)
        found.refuse()
        check_loading(recipe, models, found)
        found.refuse()
    return found.notes


class Inspection(NamedTuple):
    """What preflight finds of a recipe: problems and notes, its models by field, its prompts."""

    findings: Findings
    models: dict[str, Path]
    prompts: Prompts


def inspect(recipe: RunRecipe, weights: bool = False) -> Inspection:
    """All problems and notes of a fitted recipe at once, none raised: for who looks before a run.

    Chat templates are tried although a file is wrong. `weights`: read every model's as well.
    """
    found = Findings()
    check_surroundings(recipe, found)
    models, prompts, replay = check_files(recipe, found)
    if models:
        check_rendering(recipe, models, prompts, replay, found)
    if models and weights:
        check_loading(recipe, models, found)
    return Inspection(found, models, prompts)


def check_surroundings(recipe: RunRecipe, found: Findings) -> None:
    """What a run has around it: the machine, other interpreters, processes of a training."""
    found.attempt(check_machine, recipe)
    found.notes += found.attempt(check_engine_python, recipe.runtime) or ()
    found.notes += launch_notes(recipe.runtime)


def check_files(recipe: RunRecipe, found: Findings) -> tuple[dict[str, Path], Prompts, Prompts]:
    """What files tell: the models in order, the prompts, those of earlier preferences."""
    found.attempt(check_own_code, recipe)
    models = check_models(recipe, found)
    check_judges(recipe, brought(recipe), found)
    for one in brought(recipe):
        if one.kind == "served" and one.field in models:
            found.attempt(check_server, recipe, one)
    prompts = found.attempt(recipe.check_prompts)
    found.notes += prompts.notes if isinstance(prompts, PromptTable) else ()
    found.attempt(check_reward_functions, recipe)
    return models, prompts or [], found.attempt(recipe.earlier_prompts) or []


def check_machine(recipe: RunRecipe) -> None:
    """The device and the engine that the recipe asks for are there."""
    check_proxies()
    machine.device(recipe.runtime)
    check_trackers(recipe.runtime)
    check_execution(recipe.execution, recipe.runtime, gpus=_of_an_engine(recipe))
    check_launch(recipe.runtime)
    check_qlora(getattr(recipe, "policy", None), recipe.runtime)
    if recipe.sampling is None:
        return
    check_adapters(recipe)
    check_parallel(sampling_engine(recipe).engine, recipe.sampling.parallel, recipe.runtime)
    if recipe.sampling.engine == "openai":
        from models.engines.openai_server import identity

        identity()  # asks it


def _of_an_engine(recipe: RunRecipe) -> int:
    return recipe.sampling.parallel.gpus if recipe.sampling else 1


def check_trackers(runtime: RuntimeConfig) -> None:
    """The trackers that the recipe names are installed; that they answer is not asked."""
    for name in runtime.trackers:
        if find_spec(name) is None:
            raise InputError(
                f"runtime.trackers: {name} is not installed; `pip install {MODULES[name]}`, "
                f"or leave {name} out"
            )


def check_proxies() -> None:
    """The proxies that the environment names can be used; no client is made with others.

    Not even Prefect's, which speaks to this machine alone.
    """
    import httpx

    try:
        httpx.Client().close()
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        missing = isinstance(error, ImportError)
        remedy = "`pip install httpx[socks]`" if missing else "correct it"
        raise InputError(
            "ALL_PROXY, HTTPS_PROXY or HTTP_PROXY: names a proxy that cannot be used "
            f"({'no support for SOCKS' if missing else 'its address'}); {remedy}, or unset it"
        ) from error
