"""The files of prompts and of earlier preferences, looked at before a run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from data.errors import InputError
from data.files import check_regular
from data.paths import named_path
from data.readers.held_out import decontaminated, joined, others, split_prompts
from data.readers.labelled_pairs import dataset_names
from data.readers.preferences import read_preferences
from data.readers.prompts import PromptFile, read_prompt_file
from data.readers.seen import Counted, File, Prompt, Prompts, PromptTable, lost_in_words
from data.readers.sources import looks_like_file, saved_folder
from data.recipes.prompts import PARTS, PromptsConfig, PromptSource
from data.recipes.recipe import WORLD, WorldConfig


def named_file(field: str, name: str) -> str:
    """The path in full of a file or saved folder; another name is that of a `datasets` id.

    Raises:
        InputError: what looks like a file is not there, or is none.
    """
    path = expanded(name, field)
    if saved_folder(path) is None and looks_like_file(name):
        check_regular(path, field)
    return path


def expanded(name: str, field: str) -> str:
    """The name as it stands, for messages; `~` put in full."""
    return str(named_path(name, field)) if name.startswith("~") else name


class Read(NamedTuple):
    field: str
    source: PromptSource
    file: PromptFile


@dataclass
class Parted:
    """What `flows.loop.inputs.own_prompts` will make of the files, by the same functions."""

    read: dict[str, list[Read]]  # by part
    pools: list[pa.Table]  # of each source of the pool
    lost: list[dict[str, int]]  # of each: prompts that leave it, by why
    held: dict[str, pa.Table] = field(default_factory=dict)  # dev and test prompts

    @property
    def available(self) -> int:
        return sum(map(len, self.pools))


def read_files(config: PromptsConfig) -> dict[str, list[Read]]:
    """The sources of every part that names any. Raises InputError."""
    read = {
        part: [
            Read(where, one, read_prompt_file(named_file(where, one.path), one.name, one.columns))
            for where, one in config.sources(part).items()
        ]
        for part in PARTS
    }
    return {part: found for part, found in read.items() if found}


def apart(config: PromptsConfig, read: dict[str, list[Read]]) -> Parted:
    """The pool less the prompts of held-out files, and less those of earlier sources."""
    tables = {part: [one.file.table for one in found] for part, found in read.items()}
    held = {part.removesuffix("_path"): joined(tables[part]) for part in PARTS[1:] if part in read}
    pools, lost = [], []
    for number, table in enumerate(tables["path"]):
        own = others(table, tables["path"][:number])
        kept, counts = decontaminated(own, list(held.values()), config.decontaminate)
        pools.append(kept)
        lost.append({"repeated": len(table) - len(own), **counts})
    return Parted(read, pools, lost, held)


def split_off(config: PromptsConfig, found: Parted, sizes: Mapping[str, int], seed: int) -> Parted:
    """With so many dev and test prompts of the pool, and the pool without these and their like."""
    dev, test = sizes["dev_size"], sizes["test_size"]
    if not (dev or test):
        return found
    try:
        parts = split_prompts(found.pools, dev, test, seed)
    except InputError as error:
        raise InputError(f"{error}{lost_in_words(found.lost)}") from None
    new = {part: table for part, table in parts.items() if len(table)}
    pools, lost = [], []
    for table, before in zip(found.pools, found.lost, strict=True):
        kept, counts = decontaminated(table, list(new.values()), config.decontaminate)
        counts["held_out"] = 0  # not lost, but chosen
        pools.append(kept)
        lost.append({name: n + counts.get(name, 0) for name, n in before.items()})
    return Parted(found.read, pools, lost, found.held | new)


def source_names(config: PromptsConfig) -> list[str]:
    """What the sources of the pool are called: as the recipe names them, or by their files."""
    sources = config.sources("path").values()
    names = dataset_names([Path(one.path) for one in sources])
    return [one.name or name for one, name in zip(sources, names, strict=True)]


def sizes_of(config: PromptsConfig) -> dict[str, int]:
    """How many prompts of the pool become dev and test prompts: none where a file has them."""
    return {
        "dev_size": 0 if config.dev_path else config.dev_size,
        "test_size": 0 if config.test_path else config.test_size,
    }


def parted(config: PromptsConfig, seed: int) -> Parted:
    """Everything as the run will have it. Raises InputError."""
    return split_off(config, apart(config, read_files(config)), sizes_of(config), seed)


def check_prompts(
    config: PromptsConfig, world: WorldConfig | None, rounds: int, seed: int
) -> Prompts:
    """The prompts of all files; enough of them for all rounds. Raises InputError."""
    if config.path == WORLD:
        assert world is not None
        check_pool(config, rounds, world.prompts)
        return []
    found = parted(config, seed)
    check_pool(config, rounds, found.available, found.lost)
    return PromptTable(
        pa.concat_tables(
            [
                one.file.table.select(["messages"]).append_column("place", one.file.places)
                for read in found.read.values()
                for one in read
            ]
        ),
        tuple(notes(config, found)),
    )


def notes(config: PromptsConfig, found: Parted) -> Iterator[str]:
    """What is no error and hardly meant: sources without prompts, dev prompts that are tests."""
    for one, pool, lost in zip(found.read["path"], found.pools, found.lost, strict=True):
        if not len(pool):
            read = len(one.file.table)
            yield f"{one.field}: none of its {read} prompts is left{lost_in_words([lost])}"
    if config.dev_path and config.test_path:
        dev = found.held["dev"]
        if both := len(dev) - len(others(dev, [found.held["test"]])):
            yield (
                f"prompts.dev_path: {both} of its {len(dev)} prompts are test prompts too, so the "
                "policy is chosen on what it is tested on; take them out of one of the two"
            )


def check_pool(
    config: PromptsConfig, rounds: int, available: int, lost: Sequence[Mapping[str, int]] = ()
) -> None:
    """Enough prompts for all rounds, said before the first."""
    needed = rounds * config.per_round
    if needed > available:
        alike = sum(one.get("8gram", 0) for one in lost)
        remedy = (
            f", or set prompts.decontaminate to exact: {alike} share eight words in a row with "
            "held-out prompts"
            if alike
            else ""
        )
        raise InputError(
            f"prompts.per_round: {rounds} rounds of {config.per_round} need "
            f"{needed} prompts, there are {available}{lost_in_words(lost)}; "
            f"lower prompts.per_round or rounds, or bring more{remedy}"
        )


def preference_prompts(path: str | None, field: str) -> list[Prompt]:
    """The prompts of earlier preferences, which a student alone reads. Raises InputError."""
    if path is None:
        return []
    path = expanded(path, field)
    check_regular(path, field)
    table, _ = read_preferences(path)
    return [Prompt(path, messages) for messages in table["messages"].to_pylist()]


def counted_prompts(config: PromptsConfig, world: WorldConfig | None, seed: int) -> Counted:
    """How many prompts there are for the rounds and held out. Raises InputError."""
    if config.path == WORLD and world:
        sizes = {"pool": world.prompts, "dev": world.dev_prompts, "test": world.test_prompts}
        return Counted(parts=sizes)
    read = read_files(config)
    seen = Counted()
    for part, files in read.items():
        for where, source, file in files:
            counts = {k: n for k, n in file.counts.items() if n and k not in ("read", "kept")}
            rows, kept = file.counts["read"], file.counts["kept"]
            weight = source.weight if part == "path" and len(files) > 1 else None
            seen.files.append(File(where, source.path, rows, kept, counts, file.layouts, weight))
            seen.rows[where] = kept
    found = apart(config, read)
    with suppress(InputError):  # too few to hold any out, as `check_prompts` says
        found = split_off(config, found, sizes_of(config), seed)
    for one in found.lost:
        for why, number in one.items():
            seen.lost[why] = seen.lost.get(why, 0) + number
    held = {part: len(found.held.get(part, ())) for part in ("dev", "test")}
    seen.parts = {"pool": found.available, **held}
    return seen
