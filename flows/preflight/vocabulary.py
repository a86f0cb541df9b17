"""Models that must mean the same by their token ids: a teacher and the policy it teaches."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from data.errors import InputError
from data.recipes.distillation import TargetsConfig
from data.recipes.recipe import RunRecipe
from flows.preflight.findings import Findings

if TYPE_CHECKING:
    from models.special_text import Tokenizer


def check_one_vocabulary(
    recipe: RunRecipe, tokenizers: Mapping[str, "Tokenizer"], found: Findings
) -> None:
    """Every two of the recipe's `one_vocabulary` that could be read have the same tokens."""
    first, *others = [field for field in recipe.one_vocabulary if field in tokenizers] or [""]
    for field in others:
        found.attempt(check_same, field, tokenizers[field], first, tokenizers[first])
    config = getattr(recipe, "targets", None)
    if isinstance(config, TargetsConfig) and first in tokenizers:
        found.attempt(check_kept, config.k, tokenizers[first])


def check_kept(k: int, tokenizer: "Tokenizer") -> None:
    """InputError if more tokens are to be kept of a position than there are."""
    there = len(tokenizer.get_vocab())
    if k > there:
        raise InputError(f"targets.k: {k:,} is more than the {there:,} tokens there are; lower it")


def check_same(field: str, one: "Tokenizer", first: str, other: "Tokenizer") -> None:
    """InputError unless both have the same tokens by the same ids and end an answer alike."""
    from models.chat import end_of_turn

    vocabulary, wanted = one.get_vocab(), other.get_vocab()
    if vocabulary != wanted:
        apart = {token for token, _ in vocabulary.items() ^ wanted.items()}
        raise InputError(
            f"{field}: has another vocabulary than {first} ({len(apart):,} tokens differ, such as "
            f"{min(apart, key=lambda token: (len(token), token))!r}); a distribution is learned "
            "token by token, so name two models that share a tokenizer"
        )
    ends = [end_of_turn(each) for each in (one, other)]
    if ends[0] != ends[1]:
        here, there = one.convert_ids_to_tokens(ends[0]), other.convert_ids_to_tokens(ends[1])
        raise InputError(
            f"{field}: ends an answer with {here!r}, {first} with {there!r}, so that the one could "
            f"not teach the other to end; give {first} the other's chat template (policy.template)"
        )
