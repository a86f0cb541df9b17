"""Recipes that a worker reads from a file by its name, and those of earlier runs."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data.errors import InputError
from data.paths import named_path
from data.recipes.loading import load_recipe
from data.recipes.recipe import Recipe
from data.summary import read_summary

_HERE = "(relative to here)"


def read_recipe(recipe_file: str, overrides: Sequence[str], run: str | None) -> Recipe:
    """The recipe in a file of the worker's. Raises InputError."""
    path = named_path(recipe_file, "recipe_file")
    try:
        return load_recipe(path, overrides, run=run)
    except InputError as error:
        if path.exists():
            raise
        raise InputError(f"recipe_file: {error} {_HERE}") from error


def recipe_of(folder: Path) -> Recipe:
    """The recipe a run was started with. Raises InputError."""
    return Recipe.model_validate(read_summary(folder / "summary.json").config)


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
