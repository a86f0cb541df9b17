"""The recipe of best-of-n distillation: who picks the best answer, and how a policy learns it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from data.recipes.config import NONE, WORLD, Config, Times
from data.recipes.fine_tuning import FineTuneConfig, JudgeConfig, PickConfig
from data.recipes.names import Names
from data.recipes.recipe import EvaluateConfig, GateConfig, GenerateConfig, PromptsConfig
from flows.policy_recipe import PolicyRecipe


class ScorerConfig(Config):
    """A reward model that picks answers."""

    not_in_key = frozenset({"model"})

    model: Annotated[str, Names("reward model", (WORLD, NONE))] = Field(
        NONE,
        description="Only used by the scorer student: Hugging Face directory or hub id of a reward "
        "model with one label",
    )


class BestOfNRecipe(PolicyRecipe):
    """Rounds in which a scorer picks the best of K answers, on which the policy is fine-tuned."""

    recipe: Literal["best-of-n"]
    rounds: Times = Field(1, ge=1, description="Each starts from the policy the last one left")
    prompts: PromptsConfig = PromptsConfig()
    policy: FineTuneConfig = FineTuneConfig()
    scorer: Literal["teacher", "student"] = Field(
        "teacher", description="Who picks the best of the K completions of a prompt"
    )
    student: ScorerConfig = ScorerConfig()
    teacher: JudgeConfig = JudgeConfig()
    generate: GenerateConfig = GenerateConfig()
    pick: PickConfig = PickConfig()
    gate: GateConfig = GateConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "BestOfNRecipe":
        """Settings that would be ignored, or that contradict each other."""
        if self.scorer == "student" and self.student.model == NONE:
            raise ValueError("student.model: 'scorer: student' needs one; name it")
        if self.policy.template is not None and self.policy.model == WORLD:
            raise ValueError("policy.template: the world's policy has its own; leave it out")
        return self

    def refuse_comparing(self) -> str | None:
        return "picking the best of K answers takes rewards" if self.scorer == "teacher" else None

    def about(self) -> str:
        asked, k = self.prompts.per_round, self.generate.k
        rounds = f"{self.rounds} round" + "s" * (self.rounds != 1)
        return (
            f"{rounds} of {asked:,} prompts x {k} answers. The {self.scorer} scores all "
            f"{asked * k:,} and picks the best of each prompt; the policy is fine-tuned on these, "
            "and its answers to held-out prompts are compared with the base's."
        )
