"""Recipes that a worker reads from a file by its name, and those of earlier runs."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from data.errors import InputError
from data.paths import named_path
from data.recipes.files import recipe_file
from data.recipes.loading import explained, read_values
from data.recipes.recipe import RunRecipe
from data.recipes.spelling import current
from data.summary import Summary, read_summary
from flows.table import FLOWS, recipe_class, recipe_from

_HERE = "(relative to here)"


def load_recipe(
    path: str | Path, overrides: Sequence[str] = (), run: str | None = None
) -> RunRecipe:
    """The recipe in a YAML file, with `a.b=value` overrides and, if given, another run name.

    A name without a suffix is looked for as `data.recipes.files` says. Types are strict: a number
    is not text, true is not 1. Raises InputError with a line for every key that is wrong: the
    file or override, the dotted key and what is allowed.
    """
    path = recipe_file(path)
    values, sources = read_values(path, overrides, run, _meant)
    try:
        known = current(values)
        found = recipe_class(known["recipe"])
        return found.model_validate(known, strict=True)
    except ValidationError as error:
        flow, others = known["recipe"], {name: recipe_class(name) for name in FLOWS}
        raise explained(error, str(path), found, flow, sources, others) from None
    except (InputError, ValueError) as error:
        field = str(error).partition(":")[0]
        source = next((s for key, s in sources.items() if key == field), path)
        raise InputError(f"{source}: {error}") from None


def _meant(values: dict[str, Any]) -> dict[str, Any]:
    """Values of a recipe with those that its flow has for what is left out as a whole."""
    flow = values.get("recipe") if isinstance(values, dict) else None
    known = isinstance(flow, str) and flow in FLOWS
    return recipe_class(flow).meant(values) if known else values


def read_recipe(recipe_file: str, overrides: Sequence[str], run: str | None) -> RunRecipe:
    """The recipe in a file of the worker's. Raises InputError."""
    path = named_path(recipe_file, "recipe_file")
    try:
        return load_recipe(path, overrides, run=run)
    except InputError as error:
        if path.exists():
            raise
        raise InputError(f"recipe_file: {error} {_HERE}") from error


def recipe_of(folder: Path) -> RunRecipe:
    """The recipe a run was started with. Raises InputError."""
    return recorded_recipe(read_summary(folder / "summary.json"))


def recorded_recipe(summary: Summary) -> RunRecipe:
    """The recipe in a summary, of an earlier version too. Raises InputError."""
    try:
        return recipe_from(summary.config)
    except (ValidationError, InputError) as error:
        raise InputError(
            f"{summary.run}: its recipe is of another version of tsalign; run it again"
        ) from error


@contextmanager
def working_in(folder: str | None) -> Iterator[None]:
    """Relative names begin at this folder; without one, where the process works anyhow.

    Raises:
        InputError: the worker has no such folder.
    """
    if folder is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(contextlib.chdir(named_path(folder, "folder")))
        except OSError as error:
            raise InputError(
                f"folder: '{folder}' cannot be worked in ({error.strerror}); name a folder of the "
                "machine that the worker runs on"
            ) from error
        yield


@contextmanager
def named(recipe_file: str) -> Iterator[None]:
    """Errors say which recipe they are about, and in full where relative names begin.

    Who reads them in Prefect's UI sees neither the command nor the folder.
    """
    try:
        yield
    except InputError as error:
        text = str(error).replace(_HERE, f"(relative to {Path.cwd()})")
        if recipe_file not in text:
            text = f"{recipe_file}: {text}"
        raise InputError(text) from error
