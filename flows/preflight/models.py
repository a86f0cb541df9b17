"""What can be checked of the user's models before any work: files first, chat templates last.

Nothing here starts Prefect or keeps weights in memory. What needs transformers comes after what
needs files alone, and the reading of all weights last.
"""

import gc
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from data.errors import InputError
from data.files import check_folder_files
from data.paths import is_url, named_path
from data.readers.hub import quiet_hub
from data.readers.prompts import Messages
from data.recipes.methods import CellConfig
from data.recipes.recipe import FRESH, NONE, SMALL, WORLD, Recipe
from flows.preflight.findings import Findings
from flows.preflight.heads import check_student, head_notes
from flows.preflight.notes import answer_notes, special_notes
from flows.preflight.prompts import Prompt, Prompts
from flows.preflight.templates import check_template, template_notes, template_text
from models.checkpoints import (
    check_not_quantised,
    check_policy,
    check_reward_model,
    check_side_files,
    check_targets,
    context_length,
    embedding_rows,
    lacks_head,
    position_padding,
    readable_length,
    weight_shapes,
)
from tasks.running.machine import dtype, engine_name

if TYPE_CHECKING:
    from models.loading import Use
    from models.special_text import Tokenizer

_CHUNK = 128  # prompts whose tokens are in memory at once
# Words that are no folder of the user's in the field that knows them: the word wins there, and
# ./world names a folder of that name. In every other field they are names like any other.
RESERVED = {
    "policy.model": {WORLD, SMALL, NONE},
    "student.model": {WORLD, NONE, FRESH},
    "teacher.model": {WORLD},
    "matrix.correction.judge": {NONE, "teacher"},
}
RESERVED_IN_CELLS = {WORLD, SMALL, "policy"}
_QUESTION: Messages = [{"role": "user", "content": "What is 12 plus 30?"}]


def own_models(recipe: Recipe) -> dict[str, Path]:
    """Local folders of the models the user brought, by field. Raises InputError."""
    return {field: model_path(field, name) for field, name in own_names(recipe).items()}


def own_names(recipe: Recipe) -> dict[str, str]:
    """The models the user brought as the recipe names them, by field."""
    names = {
        "policy.model": recipe.policy.model,
        "student.model": recipe.student.model,
        "teacher.model": recipe.teacher.model,
    }
    names |= {cell_field(cell): cell.model for cell in recipe.cells if cell.model}
    if recipe.matrix:
        names["matrix.correction.judge"] = recipe.matrix.correction.judge
    return {
        field: name
        for field, name in names.items()
        if name not in RESERVED.get(field, RESERVED_IN_CELLS)
        and (field == "student.model" or not recipe.logged)
    }


def cell_field(cell: CellConfig) -> str:
    """How messages name the model of a cell."""
    return f"matrix cell {cell.name}"


def model_path(field: str, name: str) -> Path:
    """Local folder of a model: as named, or a hub id in the local cache or downloaded.

    Raises:
        InputError: neither a folder with a config.json nor a model the hub gives.
    """
    folder = named_path(name, field)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            merge = "merge the adapter into its model first; " if _is_adapter(folder) else ""
            inner = _inner_model(folder)
            raise InputError(
                f"{field}: '{name}' has no config.json; {merge}name a Hugging Face directory"
                + (f", such as {inner} in it" if inner else "")
            )
        check_folder_files(folder, field)
        return folder
    if is_url(name):
        raise InputError(
            f"{field}: '{name}' is a URL, which is not read; name the model's id on the hub "
            "(ORGANISATION/NAME) or a folder here"
        )
    if folder.is_file() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f"{field}: '{name}' is no folder here; name a Hugging Face directory")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]
    try:
        with quiet_hub():
            return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ImportError, ValueError) as error:
        raise InputError(
            f"{field}: '{name}' is neither a folder here nor a model the hub gives "
            f"({type(error).__name__}); check the name, or log in for a gated model"
        ) from error


def check_models(recipe: Recipe, found: Findings) -> dict[str, Path]:
    """The user's models by field, of those that are in order as far as files tell."""
    models = {}
    for field, name in own_names(recipe).items():
        if path := found.attempt(check_model, recipe, field, name):
            models[field] = path
    return models


def check_model(recipe: Recipe, field: str, name: str) -> Path:
    """The folder of a model, checked without loading weights. Raises InputError."""
    path = model_path(field, name)
    if writes(field):
        check_policy(path, field)
        check_context(recipe, path, field)
        check_template(recipe, path, field)
    elif field == "student.model":  # one without a template reads a text pair
        check_student(recipe, path)
    else:
        check_reward_model(path, field)
    check_side_files(path, field)
    if is_trained(recipe, field):
        check_not_quantised(path, field)
    part = field.removesuffix(".model")
    if part == "student" or (part == "policy" and recipe.policy.method == "lora"):
        targets = getattr(recipe, part).adapter.target_modules
        check_targets(path, targets, f"{part}.adapter.target_modules")
    return path


def writes(field: str) -> bool:
    """Whether the model of this field writes answers or words; the others only read."""
    return field == "policy.model" or field.startswith("matrix")


def is_trained(recipe: Recipe, field: str) -> bool:
    """Whether the model of this field is the start of a training, whose result is saved.

    Earlier preferences train a student that has no head, whether or not it is updated later.
    """
    student, logged = recipe.student, recipe.logged is not None
    return field == "policy.model" or (
        field == "student.model" and (student.update or logged or student.replay_path is not None)
    )


def use_of(recipe: Recipe, field: str, path: Path) -> "Use":
    """Who loads the model of this field, and for what."""
    if field == "policy.model":  # whoever serves it, transformers checks what it answers
        return "sample"
    if field == "student.model" and lacks_head(path, field):
        return "head"
    if not field.startswith("matrix cell"):
        return "read"
    return "sample" if engine_name(recipe.generate.engine) == "transformers" else "serve"


def check_context(recipe: Recipe, policy: Path, field: str) -> None:
    limit = context_length(policy, field)
    if limit and recipe.max_length > limit:
        raise InputError(
            f"{field}: knows {limit} positions, prompts.max_tokens + generate.max_tokens is "
            f"{recipe.max_length}; lower one of them"
        )


def check_rendering(
    recipe: Recipe,
    models: dict[str, Path],
    prompts: Prompts,
    replay: Prompts,
    found: Findings,
) -> None:
    """Every model renders every kind of conversation, and the policy every prompt in its limit.

    Those of `replay` only the student has to render; of what is too long, distillation keeps count.
    """
    gc.collect()  # what reading the prompts has left, so that transformers can have it
    pa.default_memory_pool().release_unused()
    gc.disable()  # collecting what transformers makes at its import takes half a second in vain
    from models.silence import quiet

    gc.enable()
    with quiet():
        tokenizers = {}
        for field, path in models.items():
            read = [prompts, replay] if field == "student.model" else [prompts]
            tokenizer = found.attempt(check_texts, recipe, field, path, read)
            if tokenizer is not None:
                tokenizers[field] = tokenizer
        found.notes += head_notes(recipe, models) + template_notes(recipe, models)
        found.notes += answer_notes(tokenizers.get("policy.model"))
        found.notes += special_notes(tokenizers, chain(prompts, replay))


def check_texts(recipe: Recipe, field: str, path: Path, read: Sequence[Prompts]) -> "Tokenizer":
    """The model's tokenizer, whose chat template renders the prompts. Raises InputError."""
    from models.architectures import check_architecture
    from models.chat import check_chat_template, check_read_prompts, check_vocabulary

    check_architecture(path, field, recipe.runtime.trust_remote_code)
    template = "policy.template" if field == "policy.model" and recipe.policy.template else field
    try:
        tokenizer = tokenizer_of(recipe, field, path)
    except InputError as error:
        raise InputError(f"{template}: {error}") from error
    rows = embedding_rows(weight_shapes(path, field))
    check_vocabulary(tokenizer, field, rows)
    for prompt in conversation_kinds(chain(*read)):
        try:
            check_chat_template(tokenizer, template, prompt.messages, writes(field))
        except InputError as error:
            raise InputError(f"{error} ({prompt.place})") from error
    if field == "policy.model":
        check_every_prompt(recipe, tokenizer, read[0], rows)
    elif not writes(field):
        check_read_prompts(tokenizer, field, chain(*read))
    check_fitting(recipe, field, path, tokenizer, read)
    kinds = [prompt.messages for prompt in conversation_kinds(read[0])] or [_QUESTION]
    check_tokens(recipe, field, path, tokenizer, kinds)
    return tokenizer


def tokenizer_of(recipe: Recipe, field: str, path: Path) -> "Tokenizer":
    """The tokenizer as the run will have it. Raises InputError."""
    from models.chat import load_tokenizer
    from models.text_pairs import load_reader

    load = load_tokenizer if writes(field) else load_reader
    tokenizer = load(path, recipe.runtime.trust_remote_code)
    if field == "policy.model" and (template := template_text(recipe)):
        from models.templates import set_template

        set_template(tokenizer, template)
    return tokenizer


def check_fitting(
    recipe: Recipe, field: str, path: Path, tokenizer: "Tokenizer", read: Sequence[Prompts]
) -> None:
    """A model that is trained can read some of the prompts whole. Raises InputError."""
    from models.chat import check_some_fit

    if not is_trained(recipe, field):
        return
    section = field.removesuffix(".model")
    limit = readable_length(path, getattr(recipe, section).max_length, field)
    check_some_fit(tokenizer, chain(*read), limit, f"{section}.max_length")


def check_tokens(
    recipe: Recipe, field: str, path: Path, tokenizer: "Tokenizer", kinds: list[Messages]
) -> None:
    """Every token that a template writes has an embedding, and a trained model has padding."""
    from models.tokenizer_checks import check_padding, check_reward_padding, check_written_ids

    rows = embedding_rows(weight_shapes(path, field))
    check_written_ids(tokenizer, field, rows, kinds)
    if is_trained(recipe, field) and field == "policy.model":
        check_padding(tokenizer, field, rows)
    elif is_trained(recipe, field):
        check_reward_padding(tokenizer, field, rows, position_padding(path, field))


def check_loading(recipe: Recipe, models: dict[str, Path], found: Findings) -> None:
    """Every model loads whole and finite, and what is trained can be saved: reads all weights."""
    from models.loading import check_weights
    from models.tokenizer_checks import check_saved_again

    trusted = recipe.runtime.trust_remote_code
    for field, path in models.items():
        use = use_of(recipe, field, path)
        found.attempt(check_weights, path, field, trusted, use, dtype(recipe.runtime))
    for field, path in models.items():
        if is_trained(recipe, field):
            template = template_text(recipe) if field == "policy.model" else None
            found.attempt(check_saved_again, path, field, trusted, template)


def conversation_kinds(prompts: Iterable[Prompt]) -> list[Prompt]:
    """The first prompt of each sequence of roles, with and without white space around each text."""
    kinds: dict[tuple[tuple[str, bool], ...], Prompt] = {}
    for prompt in prompts:
        key = tuple((m["role"], m["content"] == m["content"].strip()) for m in prompt.messages)
        kinds.setdefault(key, prompt)
    return list(kinds.values())


def check_every_prompt(
    recipe: Recipe, tokenizer: object, prompts: Prompts, rows: int | None
) -> None:
    """The policy reads every prompt whole, within `prompts.max_tokens`. Raises InputError."""
    from models.chat import check_prompts

    limit = recipe.prompts.max_tokens
    long = []
    stream = iter(prompts)
    while part := list(islice(stream, _CHUNK)):
        lengths = check_prompts(tokenizer, "policy.model", part, rows)
        long += [
            (p.place, length) for p, length in zip(part, lengths, strict=True) if length > limit
        ]
    if long:
        place, length = long[0]
        more = f" (and {len(long) - 1} more prompts)" if len(long) > 1 else ""
        raise InputError(
            f"{place}: has {length} tokens in the policy's chat template{more}, "
            f"prompts.max_tokens is {limit}; raise it or remove the prompt"
        )


def _inner_model(folder: Path) -> str | None:
    """The folder with a model's weights in this one, as older sentence encoders have it."""
    parts = (path.parent for path in sorted(folder.glob("*/config.json")))
    return next((part.name for part in parts if any(part.glob("*.safetensors"))), None)


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()
