"""The recipe of on-policy distillation: whose answers are learned on, and what of the teacher."""

from typing import Literal

from pydantic import Field, model_validator

from data.recipes.config import SMALL, WORLD, Times
from data.recipes.distillation import (
    AnswersConfig,
    DistilledPolicy,
    TargetsConfig,
    TeacherModel,
)
from data.recipes.recipe import EvaluateConfig, PromptsConfig
from flows.policy_recipe import PolicyRecipe


class OpdRecipe(PolicyRecipe):
    """Rounds in which the policy learns what a teacher says at every position of answers."""

    recipe: Literal["opd"]
    rounds: Times = Field(1, ge=1, description="Each starts from the policy the last one left")
    prompts: PromptsConfig = PromptsConfig()
    policy: DistilledPolicy = DistilledPolicy()
    teacher: TeacherModel = TeacherModel()
    answers: Literal["policy", "teacher"] = Field(
        "policy",
        description="Whose answers are learned on: the policy's own (on-policy distillation), or "
        "the teacher's (knowledge distillation)",
    )
    generate: AnswersConfig = AnswersConfig()
    targets: TargetsConfig = TargetsConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    @model_validator(mode="after")
    def _one_family(self) -> "OpdRecipe":
        """A teacher with a distribution over the policy's tokens, as far as the recipe tells."""
        worlds = [name in (WORLD, SMALL) for name in (self.policy.model, self.teacher.model)]
        if worlds[0] != worlds[1]:
            raise ValueError(
                "teacher.model: the world's models share a vocabulary with each other alone; take "
                "both policy.model and teacher.model from the world, or neither"
            )
        if worlds[1] and self.world and not self.world.teacher_lessons:
            raise ValueError(
                "world.teacher_lessons: without any the world's teacher is a classifier, which "
                "gives no tokens; set it above 0"
            )
        if self.policy.template is not None and worlds[0]:
            raise ValueError("policy.template: the world's policy has its own; leave it out")
        return self

    @property
    def one_vocabulary(self) -> tuple[str, ...]:
        return "policy.model", "teacher.model"

    def about(self) -> str:
        asked, k = self.prompts.per_round, self.generate.k
        rounds = f"{self.rounds} round" + "s" * (self.rounds != 1)
        answers = f"{asked:,} prompts" + (f" x {k} answers" if k > 1 else "")
        who = "policy" if self.answers == "policy" else "teacher"
        return (
            f"{rounds} of {answers} by the {who}. The teacher says of every position of these "
            f"which {self.targets.k} tokens are most likely; the policy learns that "
            f"({' + '.join(self.policy.losses.by_name)}), and its answers to held-out prompts are "
            "compared with the base's."
        )
