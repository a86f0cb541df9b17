"""A user's Python file, run as Python runs a script: what lies beside it can be imported."""

import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from data.errors import InputError
from data.source_code import code_digest, code_files


def load_code(path: Path, field: str = "labels") -> ModuleType:
    """The file as a module, run once per process as long as it and what it imports stay the same.

    Args:
        field: Of the recipe that names it, for messages.

    Raises:
        InputError: no such file, no Python, changed while it was loaded, or one of the modules
            beside it has the name of another that is loaded already.
    """
    if not path.is_file():
        raise InputError(f"{field}: no such file '{path}'; check the path (relative to here)")
    return _loaded(path, code_digest(path), field)


_brought: set[str] = set()  # names of modules that the latest user file has loaded
_folders: set[str] = set()  # of user files, on Python's path


@cache
def _loaded(path: Path, digest: str, field: str) -> ModuleType:
    files = code_files(path)
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    for name in _brought:  # with another user file, or with this one as it was before
        sys.modules.pop(name, None)
    _brought.clear()
    folder = str(path.parent.resolve())
    sys.path[:] = [folder, *(entry for entry in sys.path if entry not in _folders)]
    _folders.add(folder)
    before = set(sys.modules)
    sys.modules.setdefault(path.stem, module)  # where Prefect looks for what a stage is made of
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's code raises
        if sys.modules[path.stem] is module:
            del sys.modules[path.stem]
        raise InputError(
            f"{field}: {path} cannot be imported ({type(error).__name__}: {error}); correct it"
        ) from error
    _brought.update({path.stem, *files} & (set(sys.modules) - before))
    for name, file in files.items():
        loaded = _file(name)
        if name and loaded and Path(loaded).resolve() != file.resolve():
            raise InputError(
                f"{path}: its import of {name!r} gives {loaded}, not {file}; rename that file"
            )
    if code_digest(path) != digest:
        raise InputError(f"{path}: changed while it was loaded; run the same command again")
    return module


def _file(name: str) -> str | None:
    """The file of a module that is loaded, if it is and has one."""
    return getattr(sys.modules.get(name), "__file__", None)
