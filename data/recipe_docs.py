"""The reference of all recipe fields: `python -m data.recipe_docs > docs/recipes.md`."""

import sys
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from data.recipe import Recipe

HEAD = """# Recipes

A recipe is a YAML file; `--set key=value` changes one field. Unknown keys and values that do not
fit are refused with the field's name before anything starts. Words such as `world`, `none` or
`policy` mean something only in the fields whose description names them, and win there over a folder
of that name (write `./world` for the folder); in other fields they are names like any other. All
fields with their defaults, as written by `python -m data.recipe_docs`:

| field | default | |
|---|---|---|
"""


def rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted key, default, description) of every field."""
    for name, field in model.model_fields.items():
        inner = section(field)
        if inner:
            yield from rows(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", default(field), meaning(field)


def section(field: FieldInfo) -> type[BaseModel] | None:
    """The configuration class of a field that is a section."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    return "" if value is None else f"`{value}`"


def meaning(field: FieldInfo) -> str:
    choices = [repr(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
    return (field.description or "") + (f" ({', '.join(choices)})" if choices else "")


def main() -> None:
    lines = [
        f"| `{key}` | {value} | {text.replace('|', chr(92) + '|')} |\n"
        for key, value, text in rows(Recipe)
    ]
    sys.stdout.write(HEAD + "".join(lines))


if __name__ == "__main__":
    main()
