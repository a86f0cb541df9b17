"""How a recipe spells a judge: one grammar, wherever answers are scored or compared.

- a word of the field: `world`, `oracle`, `teacher`, `recorded`
- `FILE.py:FUNCTION`, or the name of one in SHIPPED: a reward function in TRL's form
- `openai` or `openai:MODEL`: a language model behind OPENAI_BASE_URL
- anything else: a folder or hub id of a reward model, or of a causal language model, as its
  config.json says (`models.checkpoints.is_causal`)

Several reward functions with weights are one judge, the weighted sum.
"""

from collections.abc import Collection
from dataclasses import dataclass

from pydantic import Field

from data.recipes.config import Config
from data.reward_functions import SHIPPED
from data.source_code import file_and_function

OPENAI = "openai"
ORACLE, TEACHER, RECORDED = "oracle", "teacher", "recorded"


class WeightedFunction(Config):
    """A reward function, and how much its rewards count in the sum."""

    function: str = Field(description="FILE.py:FUNCTION, or the name of a shipped one")
    weight: float = Field(1.0, description="Its rewards are multiplied by it")


@dataclass(frozen=True)
class Word:
    """A word that means something in the field, such as `world`."""

    word: str


@dataclass(frozen=True)
class RewardFunctions:
    """The weighted sum of reward functions, each a shipped name or FILE.py:FUNCTION."""

    functions: tuple[WeightedFunction, ...]


@dataclass(frozen=True)
class Endpoint:
    """A language model behind OPENAI_BASE_URL; without a name OPENAI_MODEL says which."""

    model: str | None


@dataclass(frozen=True)
class Folder:
    """A reward model or a language model; its config.json tells which."""

    name: str


Spelt = Word | RewardFunctions | Endpoint | Folder


def is_function(name: str) -> bool:
    """Whether it is spelt as a reward function."""
    return name in SHIPPED or file_and_function(name) is not None


def spelt(value: str | tuple[WeightedFunction, ...], words: Collection[str]) -> Spelt:
    """What a judge is by its spelling. Raises ValueError: one line that says what is wrong."""
    if isinstance(value, tuple):
        return RewardFunctions(value)
    if value in words:
        return Word(value)
    if is_function(value):
        return RewardFunctions((WeightedFunction(function=value),))
    if value == OPENAI or value.startswith(f"{OPENAI}:"):
        model = value.removeprefix(OPENAI).removeprefix(":")
        if value != OPENAI and not model:
            raise ValueError(f"'{value}' names no model; write openai or openai:MODEL")
        return Endpoint(model or None)
    return Folder(value)


def check_functions(found: tuple[WeightedFunction, ...]) -> None:
    """Raises ValueError unless there are some, each a function, and one counts."""
    for one in found:
        if not is_function(one.function):
            raise ValueError(
                f"'{one.function}' is no reward function; write FILE.py:FUNCTION or one of "
                + ", ".join(sorted(SHIPPED))
            )
    if len({one.function for one in found}) < len(found):
        raise ValueError("a reward function is named twice; add up its weights")
    if not any(one.weight for one in found):
        raise ValueError("no reward function has a weight other than 0; give one")
