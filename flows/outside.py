"""What a recipe names outside of the store: models, files and code, by field, with their digests.

Found once when a run begins, links resolved, and the only source of such things for the stages of
a run and for its digest alike: what is forgotten here cannot be read.
"""

from collections.abc import Callable
from pathlib import Path

from data.errors import InputError
from data.paths import anchored, named_path
from data.readers.activities import activities_digest, activities_path
from data.readers.logged import logged_digest
from data.readers.sources import saved_folder
from data.recipes.names import Kind, Naming, references
from data.recipes.prompts import PromptSource, source_of
from data.recipes.recipe import RunRecipe
from data.reward_functions import SHIPPED
from data.source_code import code_digest, file_and_function
from data.store.digests import file_digest, tree_digest
from flows.preflight.encoders import encoder_path
from flows.preflight.folders import folder_of, model_path
from flows.preflight.served import address, asked
from flows.preflight.vision import teacher_path
from models import traits
from tasks.running.outside import (
    Activities,
    Code,
    Dataset,
    Endpoint,
    External,
    Logs,
    PromptRows,
    ServedModel,
    Shipped,
)


def outside_of(recipe: RunRecipe) -> dict[str, External]:
    """Everything from outside that a run of the recipe reads, by field.

    Raises:
        InputError: something cannot be read.
    """
    trusted = recipe.runtime.trust_remote_code
    return {one.field: READERS[one.kind](one, trusted) for one in references(recipe)}


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
    """A file by its name and bytes."""
    path = anchored(named_path(name, field))
    stem = path.name.split(".")[0]
    return External(path=str(path), digest=file_digest(path), field=field, name=stem)


def prompts(field: str, source: PromptSource) -> PromptRows:
    """A file or saved folder of prompts by its name and bytes; else a `datasets` id, by its rows.

    The name that a recipe gives the source is that of its data set.
    """
    columns, path = source.columns, named_path(source.path, field)
    if found := saved_folder(str(path)):
        folder, split = anchored(found[0]), found[1]
        name, digest = source.name or folder.name, tree_digest(folder)
        return PromptRows(
            path=str(folder), digest=digest, field=field, name=name, split=split, columns=columns
        )
    if path.is_file():
        one = file(field, source.path)
        name = source.name or one.name
        return PromptRows(path=one.path, digest=one.digest, field=field, name=name, columns=columns)
    name = source.name or ""
    hub = Dataset(path=source.path, digest="", field=field, name=name, columns=columns)
    return hub.model_copy(update={"digest": hub.digest_now()})


def _model(named: Naming, trusted: bool) -> External:
    """A model by the bytes of its folder; one behind a server by what that says of it too."""
    found = model(named.field, folder_of(named), trusted)
    if address(named):
        version, served = asked(named)
        there = {"url": served.url, "served": served.model, "version": version}
        return ServedModel(**found.model_dump(), **there)
    return found


def _file(named: Naming, trusted: bool) -> External:
    return file(named.field, named.value)


def _prompts(named: Naming, trusted: bool) -> External:
    return prompts(named.field, source_of(named))


def _template(named: Naming, trusted: bool) -> External:
    """A chat template by its text alone."""
    path = anchored(named_path(named.value, named.field))
    return External(path=str(path), digest=file_digest(path), field=named.field)


def _code(named: Naming, trusted: bool) -> External:
    """A user's Python file with the local modules it imports."""
    found = file_and_function(named.value)
    assert found is not None  # the recipe has checked it
    path = anchored(named_path(found[0], named.field))
    return Code(path=str(path), digest=code_digest(path), field=named.field, name=found[1])


def _shipped(named: Naming, trusted: bool) -> External:
    """A reward function of this project by its name and version."""
    name = named.value
    return Shipped(path=name, digest=f"{name} {SHIPPED[name].version}", field=named.field)


def _endpoint(named: Naming, trusted: bool) -> External:
    """The language model that a server has. Raises InputError if none answers."""
    from models.engines.openai_server import identity

    model = named.value.partition(":")[2] or None
    return Endpoint(path=named.value, digest=identity(model, named.field), field=named.field)


def _encoder(named: Naming, trusted: bool) -> External:
    """A text encoder by the bytes of its folder."""
    folder = encoder_path(named.field, named.value)
    return External(path=str(folder), digest=tree_digest(folder), field=named.field)


def _collection(named: Naming, trusted: bool) -> External:
    """A folder of documents, queries and judgments by its name and bytes."""
    folder = anchored(named_path(named.value, named.field))
    name, digest = folder.name.split(".")[0], tree_digest(folder)
    return External(path=str(folder), digest=digest, field=named.field, name=name)


def _activities(named: Naming, trusted: bool) -> External:
    """Tables of activities by their names and bytes."""
    path = activities_path(named.field, named.value)
    return Activities(path=str(path), digest=activities_digest(path), field=named.field)


def _images(named: Naming, trusted: bool) -> External:
    """A file or folder of images by its bytes."""
    path = anchored(named_path(named.value, named.field))
    digest = tree_digest(path) if path.is_dir() else file_digest(path)
    return External(path=str(path), digest=digest, field=named.field)


def _image_model(named: Naming, trusted: bool) -> External:
    """A model that sees images by the bytes of its folder."""
    folder = model_path(named.field, named.value).resolve()
    return External(path=str(folder), digest=tree_digest(folder), field=named.field)


def _image_teacher(named: Naming, trusted: bool) -> External:
    """A vision-language model by the bytes of its folder."""
    folder = teacher_path(named.field, named.value)
    return External(path=str(folder), digest=tree_digest(folder), field=named.field)


def _logs(named: Naming, trusted: bool) -> External:
    """All files of recorded completions and judgments."""
    field, config = named.field, named.value
    return Logs(path=field, digest=logged_digest(config), field=field, config=config)


READERS: dict[Kind, Callable[[Naming, bool], External]] = {
    "policy": _model,
    "judge": _model,
    "reward model": _model,
    "student": _model,
    "scorer": _model,
    "shipped": _shipped,
    "endpoint": _endpoint,
    "prompts": _prompts,
    "preferences": _file,
    "answers": _file,
    "template": _template,
    "code": _code,
    "reward function": _code,
    "logs": _logs,
    "encoder": _encoder,
    "texts": _file,
    "retrieval": _collection,
    "activities": _activities,
    "images": _images,
    "image model": _image_model,
    "image teacher": _image_teacher,
}
