"""The sections of a recipe that distils an aligned teacher with its reference (DCKD, ADPA)."""

from typing import Annotated, Literal

from pydantic import Field

from data.recipes.config import BY_MODELS, WORLD, Config
from data.recipes.distillation import AnswersConfig
from data.recipes.names import Names
from data.recipes.rates import Trained
from data.recipes.training import AdaptedTraining, PolicyConfig, TunedPolicy


def dpo(training: AdaptedTraining, beta: float) -> PolicyConfig:
    """DPO with the settings of another section: of these, what every training has."""
    settings = {name: getattr(training, name) for name in AdaptedTraining.model_fields}
    return PolicyConfig(beta=beta, **settings)


class AlignedTeacher(AdaptedTraining):
    """The teacher before and after its alignment, and how DPO aligns it unless it is aligned."""

    part = "teacher"

    model: Annotated[str, Names("policy", (WORLD,))] = Field(
        WORLD,
        description="The reference: Hugging Face directory or hub id of a policy with the "
        "student's vocabulary, from which DPO starts; 'world' is the world's base policy",
    )
    aligned: Annotated[str | None, Names("policy")] = Field(
        None, description="The same after its alignment; none: the run aligns it with DPO"
    )
    engine: Literal["transformers", "vllm"] = Field(
        "transformers",
        description="By what the teachers read the answers; vllm at temperature 1 alone, and with "
        "'adpa.reference: exact' the aligned teacher alone",
    )
    learning_rate: float = Field(1e-4, gt=0, json_schema_extra=BY_MODELS)
    beta: float = Field(0.1, gt=0, description="beta of the teacher's DPO")

    @property
    def trained_as(self) -> Trained:
        return "full" if self.method == "full" else "lora"

    @property
    def trains(self) -> bool:
        return self.aligned is None

    @property
    def dpo(self) -> PolicyConfig:
        return dpo(self, self.beta)


class StudentPolicy(TunedPolicy):
    """The student, a policy, and how it is trained in every step of the method."""


class DpoConfig(Config):
    """Only used by the method dpo."""

    beta: float = Field(0.1, gt=0, description="Only used by the method dpo: as teacher.beta")


class DckdConfig(Config):
    """Only used by the methods dckd and adpa+."""

    alpha: float = Field(
        0.1,
        ge=0,
        description="Only used by the methods dckd and adpa+: weight of the divergences from the "
        "teacher, beside the likelihood of the chosen answers, whose weight is 1",
    )
    answers: Literal["both", "chosen"] = Field(
        "both",
        description="Only used by the methods dckd and adpa+: the answers on which the student "
        "learns the teacher's distribution",
    )


class AdpaConfig(Config):
    """Only used by the methods adpa and adpa+."""

    gamma: float = Field(
        1.6,
        gt=0,
        description="Only used by the methods adpa and adpa+: weight of the expected advantage, "
        "beside the likelihood of the chosen answers, whose weight is 1",
    )
    reference: Literal["exact", "fill", "none"] = Field(
        "exact",
        description="Only used by the methods adpa and adpa+: what is taken off the aligned "
        "teacher's log-probabilities. exact: the reference's of the same tokens; fill: of those "
        "among the reference's own most likely, else the aligned teacher's least, as the released "
        "code; none: nothing",
    )
    clamp: bool = Field(
        False,
        description="Only used by the methods adpa and adpa+: advantages below 0 are 0 and those "
        "above 1 are 1, as in the released code",
    )


class GreedyAnswers(AnswersConfig):
    """How the student answers the prompts of the pairs, for ADPA."""

    temperature: float = Field(0.0, ge=0)
