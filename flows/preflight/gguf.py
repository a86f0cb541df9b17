"""A model in a GGUF file becomes a model folder in the store, once, before anything is checked.

As a hub id is downloaded where it is first named: everything after that, preflight, plans, digests
and stages, sees a folder of safetensors as of any other model. It is named by the file's bytes, so
another run, recipe or machine with the same store finds it.
"""

from pathlib import Path
from typing import NamedTuple

from data.paths import named_path
from data.places import store_in_use
from data.recipes.names import MODELS, Naming, references
from data.recipes.recipe import RunRecipe
from data.store.digests import file_digest
from data.store.store import Store
from flows.preflight.findings import Findings
from models.gguf import check_readable, convert, gguf_file, libraries, read_header
from tasks.running.waiting import to_stderr, waiting

KIND = "imported"
_VERSION = "1"  # of what is made of a file


def check_gguf_files(recipe: RunRecipe) -> None:
    """Every GGUF file that the recipe names can be read as far as its header tells.

    All of them before the first is imported, which takes a minute. Raises InputError, or
    InputErrors for several.
    """
    found = Findings()
    for one in references(recipe):
        if one.kind in MODELS:
            found.attempt(_check_file, one)
    found.refuse()


def _check_file(named: Naming) -> None:
    if file := gguf_file(named_path(named.value, named.field), named.field):
        read_header(file, named.field)


class Imported(NamedTuple):
    """A model folder made of a GGUF file, and what is to be said of it."""

    folder: Path
    about: str


def imported(path: Path, field: str) -> Imported:
    """The folder in the store that holds the model of a GGUF file, made where it is not there.

    Raises:
        InputError: the file is none that can be read; nothing is imported then.
    """
    header, store = read_header(path, field), Store(store_in_use())
    key = {
        "imported": "gguf",
        "version": _VERSION,
        "file": file_digest(path),
        "libraries": libraries(),
    }
    about = f"{header.about}, kept as {header.dtype}"
    artifact = store.find(KIND, key)
    if artifact is None:
        check_readable(header, path, field)
        with waiting(f"Importing {field} from {path.name}, once: {about}", to_stderr()):
            artifact = store.put(KIND, key, lambda out: convert(path, header, out, field))
    return Imported(store.path(artifact), f"{field}: '{path.name}' is imported once: {about}")
