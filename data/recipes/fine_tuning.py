"""The sections of a recipe that fine-tunes a policy on answers that were picked from its own."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from data.recipes.config import BY_MODELS, SMALL, TEMPLATES, WORLD, Config
from data.recipes.names import Names
from data.recipes.rates import Trained
from data.recipes.training import AdapterConfig, TrainConfig


class PickConfig(Config):
    min_margin: float = Field(
        0.0,
        ge=0,
        description="Prompts whose best and worst answer the scorer separates by no more are out",
    )
    drop_truncated: bool = Field(
        True, description="Leave out completions that were cut off at generate.max_tokens"
    )


class FineTuneConfig(TrainConfig):
    """The policy and how it is fine-tuned on the picked answers."""

    not_in_key = frozenset({"model", "template"})

    model: Annotated[str, Names("policy", (WORLD, SMALL))] = Field(
        WORLD, description="Hugging Face directory or hub id of the base policy"
    )
    template: Annotated[str | None, Names("template", TEMPLATES)] = Field(
        None,
        description="Chat template for a base policy that has none: 'plain', 'chatml' or a Jinja "
        "file, which also takes the place of one that is there",
    )
    method: Literal["full", "lora"] = Field(
        "lora", description="Train all weights, or an adapter that is merged afterwards"
    )
    adapter: AdapterConfig | None = Field(
        default_factory=lambda given: AdapterConfig() if given.get("method") == "lora" else None,
        description="Only used by the method lora",
    )
    learning_rate: float = Field(1e-4, gt=0, json_schema_extra=BY_MODELS)

    @property
    def trained_as(self) -> Trained:
        return self.method

    @model_validator(mode="after")
    def _fits(self) -> "FineTuneConfig":
        if self.method == "full" and self.adapter is not None:
            raise ValueError("policy.adapter: the method full has none; leave it out")
        if self.method == "lora" and self.adapter is None:
            raise ValueError("policy.adapter: the method lora needs one; leave it out for defaults")
        return self


class JudgeConfig(Config):
    """The reward model that the gate asks, and the scorer unless the student is."""

    not_in_key = frozenset({"model"})

    model: Annotated[str, Names("reward model", (WORLD,))] = Field(
        WORLD, description="Hugging Face directory or hub id of a reward model with one label"
    )
