"""The sections of a recipe that fine-tunes a policy on answers that were picked from its own."""

from pydantic import Field

from data.recipes.asking import JudgingSection
from data.recipes.config import Config
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


class JudgeConfig(JudgingSection):
    """Who judges for the gate, and picks the answers unless the student does."""
