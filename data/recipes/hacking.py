"""The sections of a recipe that distils from a teacher which has learnt from a known oracle."""

from typing import Annotated

from pydantic import Field

from data.recipes.config import BY_MODELS, SMALL, WORLD, Config, Count, Times
from data.recipes.names import Names
from data.recipes.rates import Trained
from data.recipes.training import AdaptedTraining


class OracleModel(Config):
    """The language model whose distribution at temperature 1 is the truth, and what it answers."""

    model: Annotated[str, Names("policy", (WORLD, SMALL))] = Field(
        WORLD,
        description="Hugging Face directory or hub id of a language model with the policy's "
        "vocabulary, or 'world': the embedded world's policy",
    )
    prompts: Count = Field(
        1_000,
        ge=1,
        description="Prompts that it answers once each: what teacher and policy learn before the "
        "first round; the rounds ask others",
    )


class StartConfig(AdaptedTraining):
    """How the policy learns the oracle's answers before the first round."""

    part = "start"
    learning_rate: float = Field(1e-4, gt=0)

    @property
    def trained_as(self) -> Trained:
        return "full" if self.method == "full" else "lora"


class TaughtTeacher(StartConfig):
    """The teacher, and how it learns the oracle's answers."""

    part = "teacher"
    not_in_key = frozenset({"model"})

    model: Annotated[str, Names("policy", (WORLD, SMALL))] = Field(
        WORLD,
        description="Hugging Face directory or hub id of a language model with the policy's "
        "vocabulary, before it has learnt from the oracle; 'world' with world.teacher_lessons "
        "above 0, or 'world-small'",
    )
    learning_rate: float = Field(1e-4, gt=0, json_schema_extra=BY_MODELS)


class HeldOutConfig(Config):
    """On what golden and proxy are measured: answers of oracle and teacher to the dev prompts."""

    every: Times = Field(1, ge=1, description="Measure every so many rounds and at the end")
    dev_samples: Times = Field(
        2, ge=1, description="Answers of the oracle, and of the teacher, to each dev prompt"
    )
