"""The sections of a recipe that fine-tunes a policy on answers that were picked from its own."""

from typing import Annotated

from pydantic import Field

from data.recipes.config import WORLD, Config
from data.recipes.names import Names
from data.recipes.training import TunedPolicy


class PickConfig(Config):
    min_margin: float = Field(
        0.0,
        ge=0,
        description="Prompts whose best and worst answer the scorer separates by no more are out",
    )
    drop_truncated: bool = Field(
        True, description="Leave out completions that were cut off at generate.max_tokens"
    )


class FineTuneConfig(TunedPolicy):
    """The policy and how it is fine-tuned on the picked answers."""


class JudgeConfig(Config):
    """The reward model that the gate asks, and the scorer unless the student is."""

    not_in_key = frozenset({"model"})

    model: Annotated[str, Names("reward model", (WORLD,))] = Field(
        WORLD, description="Hugging Face directory or hub id of a reward model with one label"
    )
