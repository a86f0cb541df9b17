"""The chat template of the policy: its own, one by name, or a file of the user's."""

import difflib
import os
from pathlib import Path

from data.errors import InputError
from data.files import check_regular
from data.paths import named_path
from data.recipes.recipe import TEMPLATES, Recipe
from models.checkpoints import check_template_file, has_template

FIELD = "policy.template"
_MOST_BYTES = 1_000_000


def template_file(recipe: Recipe) -> Path | None:
    """The file that the recipe names for the policy's chat template; None: none."""
    name = recipe.policy.template
    return None if name is None or name in TEMPLATES else named_path(name, FIELD)


def template_text(recipe: Recipe) -> str | None:
    """The template to set: its name, or the text of the file; None where the recipe names none.

    Raises:
        InputError: there is no such file, or it is no text.
    """
    path = template_file(recipe)
    if path is None:
        return recipe.policy.template
    if not os.path.exists(path):
        near = difflib.get_close_matches(path.name, TEMPLATES, n=1)
        hint = f" (did you mean {near[0]}?)" if near and path.name == str(path) else ""
        raise InputError(
            f"{FIELD}: '{recipe.policy.template}' is no file here{hint}; use "
            f"{', '.join(TEMPLATES)} or the path of a Jinja file"
        )
    check_regular(path, FIELD)
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= _MOST_BYTES else ""
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text.strip():
        raise InputError(
            f"{FIELD}: '{path}' is no chat template: empty, no UTF-8 text, or over a megabyte; "
            "name a Jinja file"
        )
    return text


def check_template(recipe: Recipe, path: Path, field: str) -> None:
    """InputError unless the model that writes has a chat template, or the recipe gives it one."""
    if field != "policy.model" or recipe.policy.template is None:
        check_template_file(path, field)
        return
    template_text(recipe)
    if template_file(recipe) is None and has_template(path, field):
        raise InputError(
            f"{FIELD}: '{path}' has a chat template of its own; leave {FIELD} out, or name a Jinja "
            "file to put in its place"
        )


def template_notes(recipe: Recipe, models: dict[str, Path]) -> list[str]:
    """Which template is put in the place of the policy's own, in a line."""
    policy = models.get("policy.model")
    file = template_file(recipe) if policy else None
    if policy is None or file is None or not has_template(policy, "policy.model"):
        return []
    return [f"{FIELD}: '{file}' takes the place of the chat template of '{policy}'"]
