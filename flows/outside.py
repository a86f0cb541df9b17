"""What a recipe names outside of the store: models, files and code, by field, with their digests.

Found once when a run begins, links resolved, and the only source of such things for the stages of
a run and for its digest alike: what is forgotten here cannot be read.
"""

from pathlib import Path

from data.errors import InputError
from data.paths import anchored, named_path
from data.readers.logged import logged_digest
from data.recipes.recipe import WORLD, Recipe
from data.source_code import code_digest
from data.store.digests import file_digest, tree_digest
from flows.preflight.models import cell_field, own_models
from flows.preflight.templates import template_file
from models import traits
from tasks.running.outside import Code, Dataset, External, Logs


def outside_of(recipe: Recipe) -> dict[str, External]:
    """Everything from outside that a run of the recipe reads, by field.

    Raises:
        InputError: something cannot be read.
    """
    trusted = recipe.runtime.trust_remote_code
    found = {field: model(field, path, trusted) for field, path in own_models(recipe).items()}
    found |= {field: file(field, name) for field, name in own_files(recipe).items()}
    if template := template_file(recipe):
        path = anchored(template)
        found["policy.template"] = External(
            path=str(path), digest=file_digest(path), field="policy.template"
        )
    if recipe.own_labels:
        path = anchored(named_path(recipe.own_labels[0], "labels"))
        found["labels"] = Code(path=str(path), digest=code_digest(path), field="labels")
    if recipe.logged:
        found["logged"] = Logs(
            path="logged",
            digest=logged_digest(recipe.logged),
            field="logged",
            config=recipe.logged,
        )
    return found


def own_files(recipe: Recipe) -> dict[str, str]:
    """Names of the user's files of prompts, preferences and recorded answers, by field."""
    prompts = recipe.prompts
    named = {
        "prompts.path": prompts.path if prompts.path != WORLD else None,
        "prompts.dev_path": prompts.dev_path,
        "prompts.test_path": prompts.test_path,
        "student.replay_path": recipe.student.replay_path,
    }
    if recipe.logged or recipe.recorded_matrix:
        named = {}
    named |= {cell_field(cell): cell.path for cell in recipe.cells}
    return {field: name for field, name in named.items() if name is not None}


def model(field: str, folder: Path, trusted: bool) -> External:
    """A model by the bytes of its folder."""
    folder = folder.resolve()
    asks = tuple(traits.asks(folder))
    if trusted and (file := traits.foreign_code(folder)):
        raise InputError(
            f"{field}: {file} has an auto_map with code of another repository, which may change; "
            "copy its Python files into the folder and remove what stands before '--'"
        )
    return External(path=str(folder), digest=tree_digest(folder), field=field, asks=asks)


def file(field: str, name: str) -> External:
    """A file by its name and bytes; what is no file is a `datasets` id, by its rows."""
    path = named_path(name, field)
    if not path.is_file():
        found = Dataset(path=name, digest="", field=field)
        return found.model_copy(update={"digest": found.digest_now()})
    path = anchored(path)
    stem = path.name.split(".")[0]
    return External(path=str(path), digest=file_digest(path), field=field, name=stem)
