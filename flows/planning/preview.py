"""What the prompts of a recipe are, and how each model reads them: before a run, without weights.

Tokenizers are loaded, and models are not. What a model reads is shown as it is tokenized, special
tokens apart from text that only looks like them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from data.readers.logged import held_out_split, read_logged
from data.readers.prompts import read_prompt_file, without_prompts
from data.recipes.recipe import WORLD, Recipe
from flows.preflight.inputs import held_out_sizes, named_file
from flows.preflight.models import tokenizer_of, writes
from flows.preflight.prompts import Prompt, Prompts
from models.checkpoints import readable_length

if TYPE_CHECKING:
    from models.special_text import Tokenizer

ANSWER = "(the answer)"  # stands for an answer where a reward model reads one
SHARES = (50, 95, 100)  # percentiles of the lengths
_CHUNK = 1024


@dataclass(frozen=True)
class File:
    """A file of prompts: `read` rows, of which `kept` are prompts; what became of the others."""

    field: str
    name: str
    read: int
    kept: int
    counts: dict[str, int]  # duplicate: dropped; answer_dropped, empty_system: mended


@dataclass(frozen=True)
class Piece:
    text: str
    special: bool


@dataclass(frozen=True)
class Reading:
    """What one model reads of a prompt."""

    field: str
    tokens: int
    pieces: list[Piece]


@dataclass(frozen=True)
class Example:
    place: str
    readings: list[Reading]


@dataclass(frozen=True)
class Lengths:
    """Tokens of the prompts as one model reads them."""

    field: str
    shares: dict[int, int]  # by percentile
    limit: int | None  # of a policy: what is allowed; of a reader: what it can read at all
    too_long: int


@dataclass
class Preview:
    files: list[File] = field(default_factory=list)
    overlap: int = 0  # prompts of the pool that are held out, and so leave it
    parts: dict[str, int] = field(default_factory=dict)  # prompts: pool, dev, test
    lengths: list[Lengths] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)  # of files, for flows.planning.bounds


def prompt_files(recipe: Recipe) -> Preview:
    """How many prompts there are, and what is dropped. Raises InputError."""
    config, seen = recipe.prompts, Preview()
    if recipe.logged:
        logged = read_logged(recipe.logged)
        parts = held_out_split(logged.prompts, recipe.logged.held_out, recipe.logged.seed)
        names = ("to learn from", "held out")
        seen.parts = {name: len(part) for name, part in zip(names, parts, strict=True)}
        seen.rows = {
            "import_logged_prompts": len(logged.prompts),
            "import_logged_completions": len(logged.completions),
            "import_judgments": len(logged.judgments),
        }
    elif config.path == WORLD and recipe.world:
        world = recipe.world
        sizes = {"pool": world.prompts, "dev": world.dev_prompts, "test": world.test_prompts}
        seen.parts = sizes
    elif not recipe.recorded_matrix:
        _own_files(recipe, seen)
    return seen


def _own_files(recipe: Recipe, seen: Preview) -> None:
    config, tables = recipe.prompts, {}
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


def read_by_models(
    recipe: Recipe, models: dict[str, Path], prompts: Prompts, seen: Preview
) -> None:
    """Add lengths, and three prompts as each model reads them.

    Raises:
        InputError: a tokenizer does not load or render a prompt.
    """
    if not models or next(iter(prompts), None) is None:
        return
    from models.silence import quiet

    with quiet():
        tokenizers = {field: tokenizer_of(recipe, field, path) for field, path in models.items()}
        order: list[int] = []
        for name, tokenizer in tokenizers.items():
            lengths = list(_lengths(tokenizer, prompts))
            ranked = sorted(range(len(lengths)), key=lambda i: lengths[i])
            order = order or ranked  # by the policy, which comes first where there is one
            shares = {p: lengths[ranked[ceil(p / 100 * len(ranked)) - 1]] for p in SHARES}
            limit = _limit(recipe, name, models[name])
            too_long = sum(length > limit for length in lengths) if limit else 0
            seen.lengths.append(Lengths(name, shares, limit, too_long))
        shown = (order[0], order[len(order) // 2], order[-1])
        chosen = {i: prompt for i, prompt in enumerate(prompts) if i in shown}
        for index in dict.fromkeys(shown):
            seen.examples.append(_example(chosen[index], tokenizers))


def _limit(recipe: Recipe, name: str, path: Path) -> int | None:
    """How many tokens of a prompt the model of this field may be given."""
    if writes(name):
        return recipe.prompts.max_tokens
    if recipe.logged:
        return recipe.student.max_length
    return readable_length(path, recipe.max_length, name)


def _lengths(tokenizer: "Tokenizer", prompts: Prompts) -> Iterator[int]:
    from models.chat import render_prompts

    left = iter(prompts)
    while part := [prompt.messages for prompt in islice(left, _CHUNK)]:
        yield from map(len, render_prompts(tokenizer, part))


def _example(prompt: Prompt, tokenizers: "dict[str, Tokenizer]") -> Example:
    from models.chat import render_conversation, render_prompt

    readings = []
    for name, tokenizer in tokenizers.items():
        if writes(name):
            ids = render_prompt(tokenizer, prompt.messages)
        else:
            ids = render_conversation(tokenizer, prompt.messages, ANSWER)
        readings.append(Reading(name, len(ids), pieces(tokenizer, ids)))
    return Example(prompt.place, readings)


def pieces(tokenizer: "Tokenizer", ids: Sequence[int]) -> list[Piece]:
    """The text of token ids, special tokens apart."""
    special = {*tokenizer.all_special_ids}
    special |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    found = []
    for is_special, run in groupby(ids, lambda one: one in special):
        part = list(run)
        if is_special:
            text = "".join(tokenizer.convert_ids_to_tokens(part))
        else:
            text = tokenizer.decode(part, clean_up_tokenization_spaces=False)
        found.append(Piece(str(text), is_special))
    return found
