"""The chat template of the policy: its own, one by name, or a file of the user's."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from data.errors import InputError
from data.files import check_regular
from data.paths import named_path
from data.recipes.config import TEMPLATES, Config
from models.checkpoints import check_template_file, has_template

FIELD = "policy.template"
_MOST_BYTES = 1_000_000


def template_of(section: Config) -> str | None:
    """The chat template that the section of a model names; None: it names none."""
    name: str | None = getattr(section, "template", None)
    return name


def template_file(section: Config) -> Path | None:
    """The file that the section names for a chat template; None: none."""
    name = template_of(section)
    return None if name is None or name in TEMPLATES else named_path(name, FIELD)


def template_text(section: Config) -> str | None:
    """The template to set: its name, or the text of the file; None where the section names none.

    Raises:
        InputError: there is no such file, or it is no text.
    """
    path, name = template_file(section), template_of(section)
    if path is None:
        return name
    if not os.path.exists(path):
        near = difflib.get_close_matches(path.name, TEMPLATES, n=1)
        hint = f" (did you mean {near[0]}?)" if near and path.name == str(path) else ""
        raise InputError(
            f"{FIELD}: '{name}' is no file here{hint}; use "
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


def check_template(section: Config, path: Path, field: str) -> None:
    """InputError unless the model that writes has a chat template, or the recipe gives it one."""
    if template_of(section) is None:
        check_template_file(path, field)
        return
    template_text(section)
    if template_file(section) is None and has_template(path, field):
        raise InputError(
            f"{FIELD}: '{path}' has a chat template of its own; leave {FIELD} out, or name a Jinja "
            "file to put in its place"
        )


def template_notes(models: Mapping[str, tuple[Config, Path]]) -> list[str]:
    """Which template is put in the place of a model's own, in a line."""
    files = {field: template_file(section) for field, (section, _) in models.items()}
    return [
        f"{FIELD}: '{files[field]}' takes the place of the chat template of '{path}'"
        for field, (_, path) in models.items()
        if files[field] and has_template(path, field)
    ]
