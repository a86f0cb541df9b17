"""What can be checked of a user's own code, a labeller or a judge, without running it."""

import ast
import importlib.util
import warnings
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from data.errors import InputError
from data.files import check_regular
from data.function_parameters import check_called_by_place
from data.paths import named_path
from data.recipes.names import references
from data.recipes.recipe import RunRecipe
from data.source_code import file_and_function

_GIVEN = ("run", "recipe", "parts", "state", "number")  # to a labeller, `flows.loop.label.Labeller`


def check_own_code(recipe: RunRecipe) -> None:
    """The user's files are Python, what they import is installed, and they have the functions,
    which can be called as the flow does.

    Their code runs when a round needs it. Raises InputError.
    """
    for one in references(recipe):
        found = file_and_function(one.value) if one.kind == "code" else None
        if found:
            check_code(one.field, *found)
            path = named_path(found[0], one.field)
            check_called_by_place(path, found[1], _GIVEN, one.field)


def check_code(field: str, path: str, name: str) -> None:
    """The same of one file and function. Raises InputError."""
    path = str(named_path(path, field))
    check_regular(path, field)
    tree = _parsed(path, field)
    for module in _imported(tree):
        if not _installed(module, Path(path).parent):
            raise InputError(f"{field}: {path} imports {module!r}, which is not here; install it")
    if not any(name in _bound(node) or "*" in _bound(node) for node in ast.walk(tree)):
        raise InputError(f"{field}: {path} has no function {name!r}; check both names")


def _parsed(path: str, field: str) -> ast.Module:
    try:
        source = Path(path).read_bytes()
        with warnings.catch_warnings(action="ignore"):
            compile(source, path, "exec", dont_inherit=True)  # finds more than the parser alone
            return ast.parse(source)
    except SyntaxError as error:
        where = f" line {error.lineno}" if error.lineno else ""
        raise InputError(f"{field}: {path}{where}: not Python ({error.msg}); correct it") from None
    except (OSError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"{field}: {path}: not Python ({reason[:120]}); correct it") from None


def _imported(tree: ast.Module) -> Iterator[str]:
    """Packages that the file cannot do without: those it imports first of all, unguarded."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _installed(module: str, folder: Path) -> bool:
    """Whether Python finds the module, beside the file too."""
    try:
        beside = PathFinder.find_spec(module, [str(folder)])
        return beside is not None or importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _bound(node: ast.AST) -> set[str]:
    """Names that a statement gives a value to."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return {node.id}
    return set()
