"""What can be checked of the user's models before any work: files first, chat templates last.

Nothing here starts Prefect or loads weights; transformers is imported for the templates alone.
"""

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data.errors import InputError
from data.paths import named_path
from data.prompts import Messages
from data.recipe import FRESH, NONE, SMALL, WORLD, Recipe
from data.recipe_methods import CellConfig
from models.checkpoints import (
    check_policy,
    check_reward_model,
    check_targets,
    check_template_file,
    context_length,
    embedding_rows,
    weight_shapes,
)

# Names of models that are no folder of the user's.
NO_FOLDER = (WORLD, SMALL, FRESH, NONE, "policy", "teacher")


class Prompt(NamedTuple):
    """A conversation that every model must be able to read, and where it stands."""

    place: str
    messages: Messages


def own_models(recipe: Recipe) -> dict[str, Path]:
    """Local folders of the models the user brought, by field. Raises InputError."""
    names = {
        "policy.model": recipe.policy.model,
        "student.model": recipe.student.model,
        "teacher.model": recipe.teacher.model,
    }
    names |= {cell_field(cell): cell.model for cell in recipe.cells if cell.model}
    if recipe.matrix:
        names["matrix.correction.judge"] = recipe.matrix.correction.judge
    return {
        field: model_path(field, name)
        for field, name in names.items()
        if name not in NO_FOLDER and (field == "student.model" or not recipe.logged)
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
            raise InputError(
                f"{field}: '{name}' has no config.json; {merge}name a Hugging Face directory"
            )
        return folder
    if folder.is_file() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f"{field}: '{name}' is no folder here; name a Hugging Face directory")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"{field}: '{name}' is neither a folder here nor a model the hub gives "
            f"({type(error).__name__}); check the name, or log in for a gated model"
        ) from error


def check_models(recipe: Recipe) -> dict[str, Path]:
    """The user's models by field, as far as files tell without loading weights."""
    models = own_models(recipe)
    for field, path in models.items():
        if field == "policy.model" or field.startswith("matrix"):
            check_policy(path, field)
            check_context(recipe, path)
        else:
            check_reward_model(path, field)
        check_template_file(path, field)
    for field, config in (("policy", recipe.policy), ("student", recipe.student)):
        trained = field == "student" or recipe.policy.method == "lora"
        if f"{field}.model" in models and trained:
            targets = config.adapter.target_modules
            check_targets(models[f"{field}.model"], targets, f"{field}.adapter.target_modules")
    return models


def check_context(recipe: Recipe, policy: Path) -> None:
    limit = context_length(policy, "policy.model")
    if limit and recipe.max_length > limit:
        raise InputError(
            f"policy.model: knows {limit} positions, prompts.max_tokens + generate.max_tokens is "
            f"{recipe.max_length}; lower one of them"
        )


def check_rendering(recipe: Recipe, models: dict[str, Path], prompts: Sequence[Prompt]) -> None:
    """Every model renders every kind of conversation, and the policy every prompt in its limit."""
    gc.disable()  # collecting what transformers makes at its import takes half a second in vain
    from models.architectures import check_architecture
    from models.chat import check_chat_template, check_vocabulary, load_tokenizer

    gc.enable()
    trusted = recipe.runtime.trust_remote_code
    for field, path in models.items():
        check_architecture(path, field, trusted)
        tokenizer = load_tokenizer(path, trusted)
        check_vocabulary(tokenizer, field, embedding_rows(weight_shapes(path, field)))
        for prompt in conversation_kinds(prompts):
            try:
                check_chat_template(tokenizer, field, prompt.messages)
            except InputError as error:
                raise InputError(f"{error} ({prompt.place})") from error
    if "policy.model" in models:
        check_prompt_lengths(recipe, load_tokenizer(models["policy.model"], trusted), prompts)


def conversation_kinds(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The first prompt of each sequence of roles."""
    kinds: dict[tuple[str, ...], Prompt] = {}
    for prompt in prompts:
        kinds.setdefault(tuple(message["role"] for message in prompt.messages), prompt)
    return list(kinds.values())


def check_prompt_lengths(recipe: Recipe, tokenizer: object, prompts: Sequence[Prompt]) -> None:
    from models.chat import render_prompts

    limit = recipe.prompts.max_tokens
    rendered = render_prompts(tokenizer, [prompt.messages for prompt in prompts])
    long = [
        (p.place, len(ids)) for p, ids in zip(prompts, rendered, strict=True) if len(ids) > limit
    ]
    if long:
        place, length = long[0]
        more = f" (and {len(long) - 1} more prompts)" if len(long) > 1 else ""
        raise InputError(
            f"{place}: has {length} tokens in the policy's chat template{more}, "
            f"prompts.max_tokens is {limit}; raise it or remove the prompt"
        )


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()
