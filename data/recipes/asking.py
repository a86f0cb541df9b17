"""Sections of a recipe for whoever judges: the judge itself, and how one that speaks is asked."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from data.recipes.config import FROM_LIST, WORLD, Config, Size, Times
from data.recipes.judges import (
    ORACLE,
    RECORDED,
    TEACHER,
    WeightedFunction,
    check_functions,
    spelt,
)
from data.recipes.names import Names

JUDGE_WORDS = (ORACLE, TEACHER, RECORDED)  # of an evaluation
KINDS = (
    "a reward model with one label (Hugging Face directory or hub id), a reward function "
    "(FILE.py:FUNCTION, or a shipped one by name), or a language model that compares two answers "
    "(a directory or hub id, 'openai' or 'openai:MODEL')"
)


class AskingConfig(Config):
    """How a language model that judges is asked; other judges read nothing of it."""

    not_in_key = frozenset({"template", "attempts", "dev_pairs"})

    template: Annotated[str | None, Names("template")] = Field(
        None,
        description="Jinja file of the question (docs/judges.md); default: this project's wording",
    )
    verdict: Literal["letter", "written"] = Field(
        "letter",
        description="Of a judge that is a directory or hub id: 'letter' compares the "
        "probabilities of its answering A or B, 'written' has it write and reads the last line, "
        "as it is always done with a judge behind OPENAI_BASE_URL",
    )
    max_tokens: Size = Field(
        512,
        ge=1,
        description="Longest written verdict, in the judge's tokens; one that is cut off is asked "
        "for once more with twice as many",
    )
    temperature: float | None = Field(
        0.0, ge=0, description="Of written verdicts; null: what the server takes by itself"
    )
    attempts: Times = Field(
        5, ge=1, description="Tries of a call that fails, with growing pauses between them"
    )
    dev_pairs: Times = Field(
        2,
        ge=1,
        description="Of a teacher: how many pairs of answers to each dev prompt it compares for "
        "the gate, and how many for the student's agreement",
    )


def _judge(value: str | tuple[WeightedFunction, ...]) -> str | tuple[WeightedFunction, ...]:
    """The judge, spelt rightly. Raises ValueError."""
    check_functions(value) if isinstance(value, tuple) else spelt(value, (WORLD,))
    return value


class JudgingSection(Config):
    """Who judges the answers that are learned from."""

    not_in_key = frozenset({"model", "asking"})

    model: Annotated[
        str | tuple[WeightedFunction, ...],
        Names("any judge", (WORLD,)),
        FROM_LIST,
        AfterValidator(_judge),
    ] = Field(
        WORLD,
        description=f"Who judges: {KINDS}; or a list of reward functions with weights, whose "
        "rewards are added up",
    )
    asking: AskingConfig = AskingConfig()


def one_or_several(value: Any) -> Any:
    """A list of one judge is that judge, as recipes always had it."""
    if isinstance(value, list | tuple):
        return value[0] if len(value) == 1 else tuple(value)
    return value


def judges(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """The judges of an evaluation, each spelt rightly and named once. Raises ValueError."""
    several = (value,) if isinstance(value, str) else value
    if not several:
        raise ValueError("names nobody; name a judge, such as teacher")
    for one in several:
        spelt(one, JUDGE_WORDS)
    if len(set(several)) < len(several):
        raise ValueError("names a judge twice; leave one out")
    return value
