"""What a user's function takes, found in its syntax, without running the file."""

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from data.errors import InputError
from data.store.digests import file_digest

# What TRL's trainers pass beside the columns of the prompts.
GIVEN = ("prompts", "completions")
OF_TRAINING = ("completion_ids", "trainer_state", "log_extra", "log_metric", "environments")


class Columns(NamedTuple):
    """Columns of the prompt file that a reward function reads."""

    needs: tuple[str, ...]
    uses: tuple[str, ...] = ()  # where they are there


def columns_of(path: Path, name: str, field: str) -> Columns:
    """The columns that a function of the file takes by name.

    Those of `**kwargs` too, where it says `kwargs["answer"]` (it needs that) or
    `kwargs.get("answer")`.

    Raises:
        InputError: the file has no `def` of that name, or the function cannot be called with
            columns by name.
    """
    return _columns(path, file_digest(path), name, field)


@lru_cache(maxsize=64)
def _columns(path: Path, digest: str, name: str, field: str) -> Columns:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{field}: {path} is no Python ({error}); correct it") from None
    found = [node for node in _functions(tree.body) if node.name == name]
    if not found:
        raise InputError(f"{field}: {path} has no `def {name}`; check both names")
    takes = found[-1].args
    if takes.posonlyargs or takes.vararg:
        raise InputError(
            f"{field}: {name} of {path} takes arguments by place; reward functions are called "
            "with prompts=..., completions=... and a list for each column"
        )
    if missing := [one for one in GIVEN if not (takes.kwarg or one in _names(takes))]:
        raise InputError(
            f"{field}: {name} of {path} takes no '{missing[0]}'; add it, or **kwargs, as TRL's "
            "reward functions have it"
        )
    with_default = takes.args[len(takes.args) - len(takes.defaults) :]
    optional = {one.arg for one in with_default}
    optional |= {
        one.arg for one, value in zip(takes.kwonlyargs, takes.kw_defaults, strict=True) if value
    }
    every = dict.fromkeys(_names(takes))
    needs = dict.fromkeys(one for one in every if one not in optional)
    uses = dict.fromkeys(one for one in every if one in optional)
    if takes.kwarg:
        for one, required in _asked(found[-1], takes.kwarg.arg):
            (needs if required else uses)[one] = None
    if lacking := [one for one in needs if one in OF_TRAINING]:
        raise InputError(
            f"{field}: {name} of {path} needs '{lacking[0]}', which only a trainer has; give it a "
            "default, or read the texts in completions"
        )
    known = {*GIVEN, *OF_TRAINING}
    return Columns(
        tuple(one for one in needs if one not in known),
        tuple(one for one in uses if one not in known and one not in needs),
    )


def check_called_by_place(path: Path, name: str, given: tuple[str, ...], field: str) -> None:
    """A function that the file defines under this name can be called with these values by place.

    Nothing is said of one that is imported, assigned or decorated: the syntax does not tell what it
    takes.

    Raises:
        InputError: it takes fewer or more, another by name alone, or it is `async`.
    """
    found = [node for node in _functions(ast.parse(path.read_bytes()).body) if node.name == name]
    if not found or found[-1].decorator_list:
        return
    call = f"it is called as {name}({', '.join(given)})"
    if isinstance(found[-1], ast.AsyncFunctionDef):
        raise InputError(f"{field}: {name} of {path} is async, and {call}; write `def {name}`")
    takes = found[-1].args
    by_place = len(takes.posonlyargs) + len(takes.args)
    required = by_place - len(takes.defaults)
    by_name = [
        one.arg for one, value in zip(takes.kwonlyargs, takes.kw_defaults, strict=True) if not value
    ]
    if by_name:
        raise InputError(
            f"{field}: {name} of {path} needs '{by_name[0]}' by name, and {call}; give it a default"
        )
    if required > len(given) or (by_place < len(given) and takes.vararg is None):
        raise InputError(
            f"{field}: {name} of {path} takes {by_place} argument{'s' * (by_place != 1)}, and "
            f"{call}; correct it"
        )


def _names(takes: ast.arguments) -> list[str]:
    return [one.arg for one in (*takes.args, *takes.kwonlyargs)]


def _functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions of a module, also those under an `if` or `try`, not those within others."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            inner = [*node.body, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
            inner += [one for hand in getattr(node, "handlers", []) for one in hand.body]
            yield from _functions(inner)


def _asked(function: ast.AST, rest: str) -> Iterator[tuple[str, bool]]:
    """Names that a function looks up in its `**rest`, and whether it cannot do without."""
    for node in ast.walk(function):
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))):
                if name == rest:
                    yield key, True
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="get" | "pop"),
                args=[ast.Constant(value=str(key)), *_],
            ):
                if name == rest:
                    yield key, False
