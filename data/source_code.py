"""What a user's Python file is made of: its own bytes and those of the local modules it imports.

Found in the syntax, without running anything: a module that is imported by a name computed while
running is not seen.
"""

import ast
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.machinery import PathFinder
from pathlib import Path

from data.errors import InputError
from data.store.digests import digest_of, file_digest

PROJECT = frozenset({"data", "models", "tasks", "reports", "flows", "bench", "cli"})
_INSTALLED = ("site-packages", "dist-packages")


def file_and_function(name: str) -> tuple[str, str] | None:
    """FILE.py and FUNCTION of `FILE.py:FUNCTION`; None: it is not of that form."""
    path, found, function = name.rpartition(".py:")
    return (f"{path}.py", function) if found and path and function.isidentifier() else None


def code_digest(path: Path) -> str:
    """Digest of a Python file and of the local modules it imports, directly or not."""
    return digest_of({name: file_digest(file) for name, file in code_files(path).items()})


def code_files(path: Path) -> dict[str, Path]:
    """The file, under "", and the local modules it imports, directly or not, by their names.

    Local is what lies beside the file or anywhere else on Python's path, unless it belongs to
    Python, to an installed package or to this project: those are known by their versions.

    Raises:
        InputError: a file is no Python.
    """
    found, todo = {"": path}, [""]
    while todo:
        importer = todo.pop()
        file = found[importer]
        package = importer if file.name == "__init__.py" else importer.rpartition(".")[0]
        for name in _imported(file, file_digest(file), package):
            for part in _parents_first(name):
                if part not in found and (module := _local(part, path.parent)):
                    found[part] = module
                    todo.append(part)
    return found


def _is_local(file: str) -> bool:
    """Whether a module's file is neither Python's nor of an installed package."""
    path = Path(file).resolve()
    if not set(path.parts).isdisjoint(_INSTALLED):
        return False
    return _of_python().isdisjoint(path.parents)


@cache
def _of_python() -> frozenset[Path]:
    """The folders of the standard library, for which sysconfig reads its settings each time."""
    names = ("stdlib", "platstdlib")
    return frozenset(Path(sysconfig.get_path(name)).resolve() for name in names)


@lru_cache(maxsize=1024)
def _imported(path: Path, digest: str, package: str) -> tuple[str, ...]:
    """Names of all modules that a file's import statements may mean; `digest` is its content's."""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or "nested too deeply"
        raise InputError(f"{path}{line}: is no Python ({reason}); correct it") from None
    return tuple(name for node in ast.walk(tree) for name in _names(node, package))


def _names(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parents = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*(parents if node.level else []), *([node.module] if node.module else [])])
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _parents_first(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[: i + 1]) for i in range(len(parts)))


def _local(name: str, folder: Path) -> Path | None:
    """The file of a local module, looked for as Python would; None for all others."""
    top, *_ = parts = name.split(".")
    if top in PROJECT or top in sys.builtin_module_names:
        return None
    search: list[str] | None = [str(folder), *sys.path]
    for part in parts:
        spec = PathFinder.find_spec(part, search) if search else None
        if spec is None:
            return None
        search = list(spec.submodule_search_locations or ())
    assert spec is not None
    return Path(spec.origin) if spec.origin and _is_local(spec.origin) else None
