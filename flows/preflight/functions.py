"""Reward functions before a run: they and what they import are there, and the prompts have the
columns they read.

No code of a user's is run.
"""

from importlib.util import find_spec

from data.errors import InputError
from data.function_parameters import Columns, columns_of
from data.paths import named_path
from data.readers.prompt_columns import read_columns
from data.recipes.names import Naming, namings
from data.recipes.prompts import source_of
from data.recipes.recipe import WORLD, RunRecipe
from data.reward_functions import SHIPPED, Shipped
from data.source_code import file_and_function
from flows.preflight.labels import check_code
from flows.preflight.prompts import named_file


def check_reward_functions(recipe: RunRecipe) -> None:
    """Every function can be called, and every prompt file has the columns it needs.

    Raises:
        InputError: one line that names the function, the column and the file.
    """
    needed: dict[str, Naming] = {}  # by column, who needs it
    for one in namings(recipe):
        if columns := _columns(one):
            needed |= {name: one for name in columns.needs if name not in needed}
    if not needed:
        return
    for one in namings(recipe):
        if one.kind == "prompts":
            _check_file(one, needed)


def _columns(named: Naming) -> Columns | None:
    """What a reward function reads; None of anything else."""
    if named.kind == "shipped":
        shipped = SHIPPED[named.value]
        check_installed(named.field, named.value, shipped)
        return Columns(shipped.needs, shipped.uses)
    found = file_and_function(named.value) if named.kind == "reward function" else None
    if found is None:
        return None
    check_code(named.field, *found)
    return columns_of(named_path(found[0], named.field), found[1], named.field)


def check_installed(field: str, name: str, shipped: Shipped) -> None:
    """What a shipped function imports is there; nothing is imported. Raises InputError."""
    if missing := [module for module in shipped.imports if find_spec(module) is None]:
        packages = " ".join(shipped.imports[module] for module in missing)
        raise InputError(
            f"{field}: {name} needs packages that are not installed; "
            f"run pip install --no-deps {packages}"
        )


def _check_file(prompts: Naming, needed: dict[str, Naming]) -> None:
    """Of each column, some prompt of the file has it; the others are not judged by who needs it."""
    if prompts.is_word and prompts.value == WORLD:
        name, one = next(iter(needed.items()))
        raise InputError(
            f"{one.field}: {one.value} reads the column '{name}', which the embedded world's "
            "prompts do not have; bring prompts of your own in prompts.path"
        )
    source = source_of(prompts)
    path = named_file(prompts.field, source.path)
    _, counts = read_columns(path, list(needed), source.columns)
    for name, one in needed.items():
        if not counts[name]:
            raise InputError(
                f"{one.field}: {one.value} reads the column '{name}', which no row of "
                f"{path} has; add it, or name another judge"
            )
