"""A teacher behind a server: what can be asked of it, and of the folder with its tokenizer, before
any work."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import InputError
from data.paths import named_path
from data.recipes.distillation import DatasetTeacher, TeacherModel
from data.recipes.names import Naming
from data.recipes.recipe import RunRecipe
from flows.preflight.findings import Findings
from models.checkpoints import embedding_rows, read_config, weight_shapes
from models.served import Served, url_field

if TYPE_CHECKING:
    from models.special_text import Tokenizer

_CANARY = "The quick brown fox jumps over the lazy dog, 1234567890 times."


def address(named: Naming) -> str | None:
    """Where the model of a field answers; None: here."""
    section = named.section
    return section.url if isinstance(section, TeacherModel | DatasetTeacher) else None


def asked(named: Naming) -> tuple[str, Served]:
    """Version of the server of a field, and the model that it has there.

    Raises InputError if none answers, or it is not known which of its models is meant.
    """
    from models.engines import openai_server

    section, field = named.section, url_field(named.field)
    assert isinstance(section, TeacherModel | DatasetTeacher) and section.url
    version, name = openai_server.said_by(section.url, section.served_model, field)
    return version, Served(section.url, name, field)


def check_here(named: Naming) -> None:
    """InputError unless a folder here stands for the served model: nothing is downloaded for it."""
    if not named_path(named.value, named.field).is_dir():
        raise InputError(
            f"{named.field}: '{named.value}' is no folder here; the model answers at "
            f"{address(named)}, so name one with its config.json and tokenizer; its weights are "
            "not read"
        )


def check_words_known(folder: Path, field: str) -> None:
    """InputError unless config.json tells how many tokens the served model has."""
    if not words(folder, field):
        raise InputError(f"{field}: config.json of '{folder}' has no vocab_size; add it")


def words(folder: Path, field: str) -> int | None:
    """Tokens that the model has embeddings for, by its config.json."""
    found = read_config(folder, field).get("vocab_size")
    return found if isinstance(found, int) else None


def rows_of(named: Naming, path: Path) -> int | None:
    """Tokens that a model has embeddings for, by its files; None: they do not tell."""
    if named.kind == "served":  # its weights are elsewhere
        return words(path, named.field)
    return embedding_rows(weight_shapes(path, named.field))


def check_server(recipe: RunRecipe, named: Naming) -> None:
    """The server answers, has the model, and says the tokens of prompts that the recipe asks for.

    Raises InputError.
    """
    from models.engines.prompt_reader import PromptReader

    _, served = asked(named)
    targets = getattr(recipe, "targets", None)
    k = targets.k if targets else 1
    reader = PromptReader(served)
    try:
        reader.check(min(k, words(named_path(named.value, named.field), named.field) or k))
    finally:
        reader.close()


def check_served_words(
    models: list[Naming], tokenizers: "Mapping[str, Tokenizer]", found: Findings
) -> None:
    """Every served model has the words of the folder that stands for it here."""
    for named in models:
        if named.kind == "served" and named.field in tokenizers:
            found.attempt(check_words, named, tokenizers[named.field])


def check_words(named: Naming, tokenizer: "Tokenizer") -> None:
    """InputError where the server's tokenizer, if it has one to ask, gives other ids than ours."""
    from models.engines.prompt_reader import PromptReader

    reader = PromptReader(asked(named)[1])
    try:
        theirs = reader.tokenized(_CANARY)
    finally:
        reader.close()
    ours = tokenizer(_CANARY, add_special_tokens=False)["input_ids"]
    if theirs is not None and theirs != ours:
        raise InputError(
            f"{named.field}: the tokenizer of '{named.value}' and that of the server at "
            f"{address(named)} give other ids of the same text; name the folder of the served model"
        )
