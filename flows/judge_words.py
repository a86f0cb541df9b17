"""What the judges of an evaluation are called, in sentences and in names of measures."""

import re
from collections.abc import Mapping, Sequence
from os.path import normpath
from pathlib import PurePath
from typing import Any

from data.recipes.judges import (
    ORACLE,
    RECORDED,
    TEACHER,
    Endpoint,
    RewardFunctions,
    Word,
    spelt,
)

WORDS = (ORACLE, TEACHER, RECORDED)
ABOUT = {  # a word, for a tile at the top of the report
    TEACHER: "the model that the policy was trained to please",
    ORACLE: "an exact program that the loop never sees",
}


def called(judge: str) -> str:
    """A judge in a sentence, with its article: "the oracle", "the reward function mine.py:f"."""
    match spelt(judge, WORDS):
        case Word(word):
            return f"the {word}"
        case RewardFunctions():
            return f"the reward function {_short(judge)}"
        case Endpoint(model):
            return f"the language model {model}" if model else "a language model by its endpoint"
    return f"the model {_short(judge)}"


def about(judge: str) -> str:
    """What a judge is, for a tile."""
    if judge in ABOUT:
        return ABOUT[judge]
    match spelt(judge, WORDS):
        case RewardFunctions():
            return "a reward function that took no part in the training"
        case Endpoint():
            return "a language model that compared both answers, and took no part in the training"
    return "a model that took no part in the training"


def is_teacher(judge: str, config: Mapping[str, Any]) -> bool:
    """Whether it is the judge that the policy was trained by, by its word or name, or part of it.

    Args:
        config: The recipe as the summary has it.
    """
    model = (config.get("teacher") or {}).get("model")
    parts = [one.get("function") for one in model] if isinstance(model, list) else [model]
    return judge == TEACHER or normpath(judge) in [normpath(str(part)) for part in parts if part]


def listed(judge: str | Sequence[str]) -> list[str]:
    """The judges of a recipe, one or several."""
    return [judge] if isinstance(judge, str) else list(judge)


def suffixes(judges: Sequence[str]) -> list[str]:
    """What follows the names of measures by each judge: nothing for the first, "_by_..." else."""
    found = [""]
    for number, judge in enumerate(judges[1:], start=2):
        name = "_by_" + re.sub(r"\W+", "_", _short(judge)).strip("_").lower()
        found.append(f"{name}_{number}" if name in found else name)
    return found


def _short(judge: str) -> str:
    """Without the folders before it."""
    return PurePath(judge).name or judge
