"""The sections of a recipe whose texts are of several domains."""

from typing import Annotated, Literal

from pydantic import Field

from data.recipes.config import FROM_LIST, WORLD, AnyOf, Config, Count, Times
from data.recipes.names import Names

NOISE = "noise"  # the domain that `texts.noise` adds


class TextColumns(Config):
    """Which columns of a file of texts hold what."""

    prompt: str = Field("prompt", description="Text, or messages that end with the user's")
    completion: str = Field("completion", description="The answer, which is learned")
    dataset: str = Field("dataset", description="The domain")


class TextsConfig(Config):
    """Prompts with their answers, each of a domain."""

    path: Annotated[str, Names("answers", (WORLD,))] = Field(
        WORLD,
        description="JSONL, JSON, Parquet or CSV file (.gz too) with a row for every prompt and "
        "its answer, or 'world': good answers to the world's prompts, its families the domains",
    )
    columns: TextColumns = TextColumns()
    dev_size: Count = Field(
        100,
        ge=1,
        description="Of a file: texts of every domain that decide the mixture and are not learned; "
        "the world has world.dev_prompts",
    )
    test_size: Count = Field(
        100,
        ge=1,
        description="Of a file: texts of every domain that only measure; the world has "
        "world.test_prompts",
    )
    skew: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Of the world: every family has so many times the texts to learn of the one "
        "before it",
    )
    noise: bool = Field(
        False,
        description="Add a domain of average size, 'noise': words of all texts in random order. "
        "Nobody can learn it, so it should not attract weight; it counts in no mean",
    )


class Natural(Config):
    """Every domain by its number of texts."""

    rule: Literal["natural"]


class Unsmoothed(Config):
    """DDK without factor smoothing: equation 1 in every interval."""

    rule: Literal["unsmoothed"]
    clip: float | None = Field(3.0, ge=1, description="As of smoothed")


class Smoothed(Config):
    """DDK: equation 1 in the first interval, equation 2 in every other."""

    rule: Literal["smoothed"]
    alpha: float = Field(
        0.5,
        ge=0,
        le=1,
        description="How much of the mixture follows the perplexities; the rest is shared alike. "
        "0: equal sampling",
    )
    clip: float | None = Field(
        3.0,
        ge=1,
        description="The perplexity of the student over the teacher's counts up to this; null: "
        "whatever it is",
    )


MixtureConfig = Annotated[Smoothed | Unsmoothed | Natural, Field(discriminator="rule"), AnyOf()]


class WarmUpConfig(Config):
    """What the policy learns before the first interval, by likelihood alone: some domains."""

    datasets: Annotated[tuple[str, ...], FROM_LIST] = Field(
        min_length=1, description="The domains, of which it knows more than of the others then"
    )
    texts: Count = Field(500, ge=1, description="Of each of them, the first that are drawn")
    epochs: Times = Field(1, ge=1)
    learning_rate: float | None = Field(None, gt=0, description="Default: policy.learning_rate")
