"""The files of prompts and of earlier preferences, looked at before a run."""

import pyarrow as pa

from data.errors import InputError
from data.files import check_regular
from data.paths import named_path
from data.readers.preferences import read_preferences
from data.readers.prompts import looks_like_file, read_prompt_file, split_prompts, without_prompts
from data.readers.seen import Counted, File, Prompt, Prompts, PromptTable
from data.recipes.recipe import WORLD, PromptsConfig, WorldConfig


def named_file(field: str, name: str) -> str:
    """The file's path in full; a name that does not look like a file's is a `datasets` id.

    Raises:
        InputError: what looks like a file is not there, or is none.
    """
    path = expanded(name, field)
    if looks_like_file(name):
        check_regular(path, field)
    return path


def expanded(name: str, field: str) -> str:
    """The name as it stands, for messages; `~` put in full."""
    return str(named_path(name, field)) if name.startswith("~") else name


def held_out_sizes(config: PromptsConfig) -> tuple[int, int]:
    """How many prompts of the pool become dev and test prompts: none where a file has them."""
    return (
        0 if config.dev_path else config.dev_size,
        0 if config.test_path else config.test_size,
    )


def check_prompts(
    config: PromptsConfig, world: WorldConfig | None, rounds: int, seed: int
) -> Prompts:
    """The prompts of all files; enough of them for all rounds. Raises InputError."""
    if config.path == WORLD:
        assert world is not None
        check_pool(config, rounds, world.prompts)
        return []
    files = {}
    for part in ("path", "dev_path", "test_path"):
        name = getattr(config, part)
        if name is not None:
            files[part] = read_prompt_file(named_file(f"prompts.{part}", name))
    held_out = [file.table for part, file in files.items() if part != "path"]
    rest = files["path"].table
    if held_out:
        rest = without_prompts(rest, held_out)
    if any(held_out_sizes(config)):
        ids = rest.select(["prompt_id"])
        rest = split_prompts(ids, *held_out_sizes(config), seed=seed)["pool"]
    check_pool(config, rounds, len(rest))
    return PromptTable(
        pa.concat_tables(
            [
                file.table.select(["messages"]).append_column("place", file.places)
                for file in files.values()
            ]
        )
    )


def check_pool(config: PromptsConfig, rounds: int, available: int) -> None:
    """Enough prompts for all rounds, said before the first."""
    needed = rounds * config.per_round
    if needed > available:
        raise InputError(
            f"prompts.per_round: {rounds} rounds of {config.per_round} need "
            f"{needed} prompts, there are {available}; lower prompts.per_round or rounds, "
            "or bring more"
        )


def preference_prompts(path: str | None, field: str) -> list[Prompt]:
    """The prompts of earlier preferences, which a student alone reads. Raises InputError."""
    if path is None:
        return []
    path = expanded(path, field)
    check_regular(path, field)
    table, _ = read_preferences(path)
    return [Prompt(path, messages) for messages in table["messages"].to_pylist()]


def counted_prompts(config: PromptsConfig, world: WorldConfig | None) -> Counted:
    """How many prompts there are for the rounds and held out. Raises InputError."""
    if config.path == WORLD and world:
        sizes = {"pool": world.prompts, "dev": world.dev_prompts, "test": world.test_prompts}
        return Counted(parts=sizes)
    seen, tables = Counted(), {}
    for part in ("path", "dev_path", "test_path"):
        if name := getattr(config, part):
            where = f"prompts.{part}"
            found = read_prompt_file(named_file(where, name))
            tables[part] = found.table
            counts = {k: n for k, n in found.counts.items() if n and k not in ("read", "kept")}
            kept = found.counts["kept"]
            seen.files.append(File(where, name, found.counts["read"], kept, counts))
            seen.rows[where] = kept
    pool = tables.pop("path")
    rest = without_prompts(pool, tables.values()) if tables else pool
    seen.overlap = len(pool) - len(rest)
    dev, test = held_out_sizes(config)
    seen.parts = {
        "pool": len(rest) - dev - test,
        "dev": len(tables["dev_path"]) if "dev_path" in tables else dev,
        "test": len(tables["test_path"]) if "test_path" in tables else test,
    }
    return seen
