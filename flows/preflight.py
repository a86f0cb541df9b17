"""What can be checked before any work: no Prefect, no store, no training.

The command line checks before it starts Prefect, the flow checks for deployments, which start
without the command line. Files come first, in a second; chat templates last, for transformers.
"""

import gc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data.errors import InputError
from data.logged import held_out_split, judged_only, read_logged
from data.logged_pairs import judged_pairs
from data.matrix import cell_pairs
from data.preference_reading import read_preferences
from data.prompts import Messages, read_prompt_file, split_prompts, without_prompts
from data.recipe import FRESH, NONE, SMALL, WORLD, LoggedConfig, PromptsConfig, Recipe
from data.recipe_methods import CellConfig
from data.recorded_cells import read_answers
from data.secrets import has_userinfo
from models.checkpoints import (
    check_policy,
    check_reward_model,
    check_targets,
    check_template_file,
    context_length,
    embedding_rows,
    weight_shapes,
)
from tasks import machine

# Names of models that are no folder of the user's.
NO_FOLDER = (WORLD, SMALL, FRESH, NONE, "policy", "teacher")


class Prompt(NamedTuple):
    """A conversation that every model must be able to read, and where it stands."""

    place: str
    messages: Messages


def check_inputs(recipe: Recipe) -> None:
    """Everything the recipe names: engine, models, prompts, recorded files, chat templates.

    Raises:
        InputError: one line that names the field, the file and the line, and the remedy.
    """
    check_machine(recipe)
    check_own_labels(recipe)
    models = check_models(recipe)
    prompts = check_cells(recipe)
    if not recipe.recorded_matrix:
        prompts += check_logs(recipe.logged) if recipe.logged else check_prompts(recipe)
    prompts += check_replay(recipe)
    if models and prompts:
        check_rendering(recipe, models, prompts)


def check_own_labels(recipe: Recipe) -> None:
    """The file of the user's own labeller is there; its code runs when a round needs it."""
    if recipe.own_labels:
        check_named_file("labels", recipe.own_labels[0])


def check_machine(recipe: Recipe) -> None:
    """The device and the engine that the recipe asks for are there."""
    machine.device(recipe.runtime)
    if recipe.logged or recipe.recorded_matrix:
        return
    machine.engine_name(recipe.generate.engine)
    if recipe.generate.engine == "openai":
        url = os.environ.get("OPENAI_BASE_URL", "")
        if not url.startswith(("http://", "https://")):
            raise InputError(
                "generate.engine: openai needs a server; set OPENAI_BASE_URL, e.g. "
                "http://localhost:8000/v1"
            )
        if has_userinfo(url):
            raise InputError("OPENAI_BASE_URL: holds a user or password; use OPENAI_API_KEY")


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
    folder = Path(name).expanduser()
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


def check_named_file(field: str, path: str) -> None:
    """InputError for what looks like a file and is not there; other names are `datasets` ids."""
    if path and Path(path).is_dir():
        raise InputError(f"{field}: '{path}' is a folder; name a file in it")
    like_a_file = not path.strip() or Path(path).suffix or path.startswith((".", "/", "~"))
    if like_a_file and not Path(path).is_file():
        raise InputError(f"{field}: no such file '{path}'; check the path (relative to here)")


def held_out_sizes(config: PromptsConfig) -> tuple[int, int]:
    """How many prompts of the pool become dev and test prompts: none where a file has them."""
    return (
        0 if config.dev_path else config.dev_size,
        0 if config.test_path else config.test_size,
    )


def check_prompts(recipe: Recipe) -> list[Prompt]:
    """The prompts of all files; enough of them for all rounds."""
    config = recipe.prompts
    if config.path == WORLD:
        assert recipe.world is not None
        check_pool(recipe, recipe.world.prompts)
        return []
    files = {}
    for part in ("path", "dev_path", "test_path"):
        name = getattr(config, part)
        if name is not None:
            check_named_file(f"prompts.{part}", name)
            files[part] = read_prompt_file(name)
    rest = without_prompts(
        files["path"].table, [file.table for part, file in files.items() if part != "path"]
    )
    if any(held_out_sizes(config)):
        rest = split_prompts(rest, *held_out_sizes(config), seed=recipe.seed)["pool"]
    check_pool(recipe, len(rest))
    return [
        Prompt(place, messages)
        for file in files.values()
        for place, messages in zip(file.places, file.table["messages"].to_pylist(), strict=True)
    ]


def check_pool(recipe: Recipe, available: int) -> None:
    """Enough prompts for all rounds, said before the first."""
    refreshed = recipe.prompts.refresh is not None  # the same prompts in every round
    rounds = 1 if refreshed else recipe.rounds
    needed = rounds * recipe.prompts.per_round
    if needed > available:
        raise InputError(
            f"prompts.per_round: {rounds} rounds of {recipe.prompts.per_round} need "
            f"{needed} prompts, there are {available}; lower prompts.per_round or rounds, "
            "or bring more"
        )


def check_replay(recipe: Recipe) -> list[Prompt]:
    """The prompts of earlier preferences, which the student reads too."""
    path = recipe.student.replay_path
    if path is None or recipe.logged or recipe.recorded_matrix:
        return []
    check_named_file("student.replay_path", path)
    table, _ = read_preferences(path)
    return [Prompt(path, messages) for messages in table["messages"].to_pylist()]


def check_cells(recipe: Recipe) -> list[Prompt]:
    """The prompts of a recorded matrix; the matrix gives pairs, and its files can be read."""
    if recipe.matrix is None:
        return []
    first = [cell for cell in recipe.cells if cell.version >= 0 or cell.model != "policy"]
    pairs = cell_pairs(first, recipe.matrix)
    if not pairs:
        raise InputError(
            "matrix.cells: no cell of the first round beats another as matrix.positives and "
            "matrix.axes ask; compare cells of one family, of different version or scale"
        )
    answers = {cell.name: read_answers(cell.path) for cell in recipe.cells if cell.path}
    if not recipe.recorded_matrix:
        return []
    if not any(answers[a.name].keys() & answers[b.name].keys() for a, b, _ in pairs):
        raise InputError("matrix.cells: no two cells that make a pair answer the same prompt")
    kinds = {key: row for rows in answers.values() for key, row in rows.items()}
    return [Prompt(row.place, row.messages) for row in kinds.values()]


def check_logs(config: LoggedConfig) -> list[Prompt]:
    """The recorded prompts; pairs to learn from and pairs to measure agreement on."""
    logged = read_logged(config)
    candidates, _ = judged_only(logged.completions, logged.judgments)
    paired = set(judged_pairs(candidates, logged.judgments)["prompt_id"].to_pylist())
    for part, goal in zip(
        held_out_split(logged.prompts, config.held_out, config.seed),
        ("learn from", "hold out"),
        strict=True,
    ):
        if not paired & set(part["prompt_id"].to_pylist()):
            raise InputError(
                f"logged.held_out: of the {len(part)} prompts to {goal} none has two completions "
                "that the judge tells apart; change the share or record more judgments"
            )
    return [Prompt(str(config.completions), m) for m in logged.prompts["messages"].to_pylist()]


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
