"""What can be checked of a user's own code, a labeller or a judge, without running it."""

import ast
import importlib.util
import warnings
from collections.abc import Iterator, Mapping
from importlib.machinery import PathFinder
from pathlib import Path

from data.errors import InputError
from data.files import check_regular
from data.function_parameters import check_called_by_place
from data.paths import named_path
from data.recipes.names import references
from data.recipes.recipe import RunRecipe
from data.source_code import code_files, file_and_function

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_OF_MODULES = ("__name__", "__file__", "__doc__", "__path__", "__spec__", "__loader__", "__dict__")
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
    _check_imports(field, Path(path))
    if not _has(tree, name):
        if any(name in _bound(node) for node in ast.walk(tree)):
            raise InputError(
                f"{field}: {path} has {name!r} only inside a function or class; move it to the top "
                "level of the file"
            )
        raise InputError(f"{field}: {path} has no function {name!r}; check both names")


def _has(tree: ast.Module, name: str) -> bool:
    """Whether the module itself may have the name once it has run."""
    if any(isinstance(node, ast.Global) and name in node.names for node in ast.walk(tree)):
        return True
    return any({name, "*"} & _bound(node) for node in _at_top(tree))


def _at_top(node: ast.AST) -> Iterator[ast.AST]:
    """What a module runs itself: all but the insides of its functions and classes."""
    for inner in ast.iter_child_nodes(node):
        yield inner
        if not isinstance(inner, _SCOPES):
            yield from _at_top(inner)


def _check_imports(field: str, path: Path) -> None:
    """What a file and the local modules that it imports cannot do without is there.

    Raises:
        InputError: a module is not, or a local one has not the name that is imported from it.
    """
    local = code_files(path)
    todo, seen = [""], {""}
    while todo:
        file = local[todo.pop()]
        for node in _parsed(str(file), field).body:
            if isinstance(node, ast.ImportFrom) and node.level and file == path:
                raise InputError(
                    f"{field}: {file} imports from '.', but belongs to no package; write `from "
                    f"{node.module or 'MODULE'} import ...`, which finds what lies beside the file"
                )
            for module in _modules(node):
                _check_module(field, file, module, path.parent, local)
                if isinstance(node, ast.ImportFrom) and module in local:
                    _check_names(field, file, node, local)
                parts = module.split(".")
                found = {".".join(parts[: n + 1]) for n in range(len(parts))} & set(local)
                todo += found - seen
                seen |= found


def _check_module(
    field: str, file: Path, module: str, folder: Path, local: Mapping[str, Path]
) -> None:
    top = module.partition(".")[0]
    if not _installed(top, folder):
        raise InputError(
            f"{field}: {file} imports {top!r}, which is not here; "
            "install it, or put it beside the file"
        )
    if top in local and module not in local:
        raise InputError(f"{field}: {file} imports {module!r}, which {local[top].parent} has not")


def _check_names(field: str, file: Path, node: ast.ImportFrom, local: Mapping[str, Path]) -> None:
    module = str(node.module)
    tree = _parsed(str(local[module]), field)
    known = {"*", *_OF_MODULES}
    if _has(tree, "__getattr__"):
        return
    for name in (alias.name for alias in node.names if alias.name not in known):
        if f"{module}.{name}" not in local and not _has(tree, name):
            raise InputError(
                f"{field}: {file} imports {name!r} from {local[module]}, which has no such name; "
                "correct one of the two"
            )


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


def _modules(node: ast.stmt) -> Iterator[str]:
    """Modules that a statement imports; one that stands unguarded cannot do without."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module


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
