"""What a run starts from: the user's models and prompts, or those of the embedded world.

Everything the user brought is checked here, before any expensive work.
"""

from pathlib import Path

import pyarrow as pa

from data.artifacts import Artifact
from data.digests import file_digest, tree_digest
from data.errors import InputError
from data.recipe import WORLD, Recipe
from flows.bootstrap import bootstrap
from flows.round import Parts
from tasks.prompts import import_preferences, import_prompts, split, without
from tasks.stage import External, Run

MODEL_FIELDS = ("policy.model", "student.model", "teacher.model")


def gather(run: Run, recipe: Recipe) -> Parts:
    """Models, prompts and earlier preferences of the recipe, ready for the first round.

    Raises:
        InputError: something the recipe names is missing or cannot be used.
    """
    models = own_models(recipe)
    prompts = own_prompts(run, recipe)
    if prompts:
        check_pool(recipe, prompts[0].rows or 0)
        for part in prompts:
            check_rendering(run, recipe, models, part)
    elif recipe.world:
        check_pool(recipe, recipe.world.prompts)
    world = bootstrap(run, recipe.world) if recipe.world and uses_world(recipe) else None
    made = {} if world is None else world.models()
    replay = own_replay(run, recipe) or (world.preferences if world else None)
    pool, dev, test = prompts or (world.pool, world.dev, world.test)  # type: ignore[union-attr]
    policy, student, teacher = (models.get(field) or made[field] for field in MODEL_FIELDS)
    return Parts(policy, student, teacher, pool, dev, test, replay)


def uses_world(recipe: Recipe) -> bool:
    """Whether anything the run needs comes from the embedded world."""
    return WORLD in (
        recipe.policy.model,
        recipe.student.model,
        recipe.teacher.model,
        recipe.prompts.path,
    )


def model_path(field: str, name: str) -> Path:
    """Local folder of a model: as named, or a hub id in the local cache or downloaded.

    Raises:
        InputError: neither a folder with a config.json nor a model the hub gives.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InputError(f"{field}: '{name}' has no config.json; name a Hugging Face directory")
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt"])
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"{field}: '{name}' is neither a folder here nor a model the hub gives "
            f"({type(error).__name__}); check the name, or log in for a gated model"
        ) from error


def own_models(recipe: Recipe) -> dict[str, External]:
    """The models the user brought, by field; checked without loading any weights."""
    names = {
        "policy.model": recipe.policy.model,
        "student.model": recipe.student.model,
        "teacher.model": recipe.teacher.model,
    }
    found = {}
    for field, name in names.items():
        if name == WORLD:
            continue
        path = model_path(field, name)
        if field != "policy.model":
            from models.rewards import check_reward_model

            check_reward_model(path, field)
        found[field] = External(path=str(path), digest=tree_digest(path))
    return found


def check_rendering(
    run: Run, recipe: Recipe, models: dict[str, External], prompts: Artifact
) -> None:
    """Every model must render every kind of conversation among the prompts, in enough room.

    Raises:
        InputError: a tokenizer without a chat template or one that refuses a role, or a prompt
            longer than `prompts.max_tokens`.
    """
    from models.chat import check_chat_template, load_tokenizer, render_prompt

    table = run.context.store.table(prompts)
    samples = conversation_kinds(table)
    for field, model in models.items():
        tokenizer = load_tokenizer(model.path, recipe.runtime.trust_remote_code)
        for messages in samples:
            check_chat_template(tokenizer, field, messages)
        if field == "policy.model":
            for row in table.to_pylist():
                check_prompt_length(
                    row["prompt_id"], render_prompt(tokenizer, row["messages"]), recipe
                )


def check_prompt_length(prompt_id: str, tokens: list[int], recipe: Recipe) -> None:
    limit = recipe.prompts.max_tokens
    if len(tokens) > limit:
        raise InputError(
            f"prompts.max_tokens: prompt {prompt_id} has {len(tokens)} tokens, more than {limit}; "
            "raise prompts.max_tokens or shorten the prompt"
        )


def conversation_kinds(prompts: pa.Table) -> list[list[dict[str, str]]]:
    """One conversation for each sequence of roles among the prompts."""
    kinds: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for messages in prompts["messages"].to_pylist():
        kinds.setdefault(tuple(message["role"] for message in messages), messages)
    return list(kinds.values())


def external_file(field: str, path: str) -> External:
    """A file by its bytes; what is no file is read as a `datasets` id, by its name.

    Raises:
        InputError: something that looks like a file and is not there.
    """
    if Path(path).is_file():
        return External(path=path, digest=file_digest(path))
    if Path(path).suffix or path.startswith((".", "/", "~")):
        raise InputError(f"{field}: no such file '{path}'; check the path (relative to here)")
    return External(path=path, digest=f"datasets:{path}")


def own_prompts(run: Run, recipe: Recipe) -> tuple[Artifact, Artifact, Artifact] | None:
    """Pool, dev and test prompts of the user's files, disjoint; None for the world's."""
    config = recipe.prompts
    if config.path == WORLD:
        return None

    def load(field: str, path: str) -> Artifact:
        return import_prompts(run, f"read {field}", source=external_file(field, path))

    everything = load("prompts.path", config.path)
    held_out = {
        part: load(f"prompts.{part}_path", path) if path else None
        for part, path in (("dev", config.dev_path), ("test", config.test_path))
    }
    named = [artifact for artifact in held_out.values() if artifact]
    rest = without(run, pool=everything, held_out=named) if named else everything
    if len(named) == 2:
        return rest, named[0], named[1]
    sizes = {part: 0 if held_out[part] else getattr(config, f"{part}_size") for part in held_out}
    parts = {
        part: held_out.get(part)
        or split(
            run,
            f"split {part}",
            pool=rest,
            part=part,
            dev_size=sizes["dev"],
            test_size=sizes["test"],
            seed=recipe.seed,
        )
        for part in ("pool", "dev", "test")
    }
    return parts["pool"], parts["dev"], parts["test"]


def own_replay(run: Run, recipe: Recipe) -> Artifact | None:
    path = recipe.student.replay_path
    if path is None:
        return None
    source = external_file("student.replay_path", path)
    return import_preferences(run, "read student.replay_path", source=source)


def check_pool(recipe: Recipe, available: int) -> None:
    """Enough prompts for all rounds, said before the first."""
    needed = recipe.rounds * recipe.prompts.per_round
    if needed > available:
        raise InputError(
            f"prompts.per_round: {recipe.rounds} rounds of {recipe.prompts.per_round} need "
            f"{needed} prompts, there are {available}; lower prompts.per_round or rounds, "
            "or bring more"
        )
