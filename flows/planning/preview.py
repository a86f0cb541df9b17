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

from data.readers.seen import Counted, Prompt, Prompts
from data.recipes.names import Naming
from data.recipes.recipe import RunRecipe
from flows.preflight.models import brought, tokenizer_of
from models.checkpoints import readable_length

if TYPE_CHECKING:
    from models.special_text import Tokenizer

ANSWER = "(the answer)"  # stands for an answer where a reward model reads one
SHARES = (50, 95, 100)  # percentiles of the lengths
_CHUNK = 1024


@dataclass(frozen=True)
class Piece:
    text: str
    special: bool


@dataclass(frozen=True)
class Reading:
    """What one model reads of a prompt."""

    field: str
    writes: bool  # else it reads the prompt with an answer
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
class Preview(Counted):
    """How many prompts there are, and how each model reads them."""

    lengths: list[Lengths] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)


def prompt_files(recipe: RunRecipe) -> Preview:
    """How many prompts there are, and what is dropped. Raises InputError."""
    return Preview(**vars(recipe.counted_prompts()))


def read_by_models(
    recipe: RunRecipe, models: dict[str, Path], prompts: Prompts, seen: Preview
) -> None:
    """Add lengths, and three prompts as each model reads them.

    Raises:
        InputError: a tokenizer does not load or render a prompt.
    """
    if not models or next(iter(prompts), None) is None:
        return
    from models.silence import quiet

    named = {one.field: one for one in brought(recipe)}
    with quiet():
        tokenizers = {
            field: tokenizer_of(recipe, named[field], path) for field, path in models.items()
        }
        order: list[int] = []
        for name, tokenizer in tokenizers.items():
            lengths = list(_lengths(tokenizer, prompts))
            ranked = sorted(range(len(lengths)), key=lambda i: lengths[i])
            order = order or ranked  # by the policy, which comes first where there is one
            shares = {p: lengths[ranked[ceil(p / 100 * len(ranked)) - 1]] for p in SHARES}
            limit = _limit(recipe, named[name], models[name])
            too_long = sum(length > limit for length in lengths) if limit else 0
            seen.lengths.append(Lengths(name, shares, limit, too_long))
        shown = (order[0], order[len(order) // 2], order[-1])
        chosen = {i: prompt for i, prompt in enumerate(prompts) if i in shown}
        for index in dict.fromkeys(shown):
            seen.examples.append(_example(chosen[index], tokenizers, named))


def _limit(recipe: RunRecipe, named: Naming, path: Path) -> int | None:
    """How many tokens of a prompt the model may be given."""
    if named.writes:
        return recipe.prompt_tokens or recipe.max_length
    return readable_length(path, recipe.max_length, named.field)


def _lengths(tokenizer: "Tokenizer", prompts: Prompts) -> Iterator[int]:
    from models.chat import render_prompts

    left = iter(prompts)
    while part := [prompt.messages for prompt in islice(left, _CHUNK)]:
        yield from map(len, render_prompts(tokenizer, part))


def _example(
    prompt: Prompt, tokenizers: "dict[str, Tokenizer]", named: dict[str, Naming]
) -> Example:
    from models.chat import render_conversation, render_prompt

    readings = []
    for name, tokenizer in tokenizers.items():
        writes = named[name].writes
        if writes:
            ids = render_prompt(tokenizer, prompt.messages)
        else:
            ids = render_conversation(tokenizer, prompt.messages, ANSWER)
        readings.append(Reading(name, writes, len(ids), pieces(tokenizer, ids)))
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
