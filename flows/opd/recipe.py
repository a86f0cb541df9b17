"""The recipe of on-policy distillation: whose answers are learned on, and what of the teacher."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from data.errors import InputError
from data.readers.prompts import prompt_id
from data.readers.recorded_cells import read_answers
from data.readers.seen import Prompts, PromptTable
from data.recipes.config import SMALL, WORLD, Times
from data.recipes.distillation import (
    AnswersConfig,
    DistilledPolicy,
    TargetsConfig,
    TeacherModel,
)
from data.recipes.judges import TEACHER
from data.recipes.monitor import DistanceMonitor
from data.recipes.names import Names
from data.recipes.recipe import EvaluateConfig, PromptsConfig
from flows.policy_recipe import TaughtRecipe

POLICY = "policy"


class OpdRecipe(TaughtRecipe):
    """Rounds in which the policy learns what a teacher says at every position of answers."""

    recipe: Literal["opd"]
    rounds: Times = Field(1, ge=1, description="Each starts from the policy the last one left")
    prompts: PromptsConfig = PromptsConfig()
    policy: DistilledPolicy = DistilledPolicy()
    teacher: TeacherModel = TeacherModel()
    answers: Annotated[str, Names("answers", (POLICY, TEACHER))] = Field(
        POLICY,
        description="Whose answers are learned on: 'policy', its own (on-policy distillation), "
        "'teacher' (knowledge distillation), or a file of recorded ones: AlpacaEval outputs of one "
        "model",
    )
    generate: AnswersConfig = AnswersConfig()
    targets: TargetsConfig = TargetsConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    monitor: DistanceMonitor = DistanceMonitor()

    @model_validator(mode="after")
    def _one_family(self) -> "OpdRecipe":
        """A teacher with a distribution over the policy's tokens, as far as the recipe tells."""
        worlds = [name in (WORLD, SMALL) for name in (self.policy.model, self.teacher.model)]
        if worlds[0] != worlds[1]:
            raise ValueError(
                "teacher.model: the world's models share a vocabulary with each other alone; take "
                "both policy.model and teacher.model from the world, or neither"
            )
        if worlds[0] and self.teacher.by_dataset:
            raise ValueError(
                "teacher.by_dataset: the world has one language model that teaches; leave it out"
            )
        if worlds[1] and self.world and not self.world.teacher_lessons:
            raise ValueError(
                "world.teacher_lessons: without any the world's teacher is a classifier, which "
                "gives no tokens; set it above 0"
            )
        if self.policy.template is not None and worlds[0]:
            raise ValueError("policy.template: the world's policy has its own; leave it out")
        return self

    @model_validator(mode="after")
    def _served(self) -> "OpdRecipe":
        """A server reads answers and does nothing else."""
        if not self.teacher.served:
            return self
        if self.answers == TEACHER:
            raise ValueError(
                "answers: a teacher at teacher.url reads answers and gives none; use 'policy', or "
                "a file of answers that it has given"
            )
        if self.targets.temperature != 1:
            raise ValueError(
                "targets.temperature: must be 1 with teacher.url, whose server gives the "
                "probabilities of prompts at no other"
            )
        return self

    @property
    def one_vocabulary(self) -> tuple[str, ...]:
        own = (one.called for one in self.teacher.by_dataset)
        return "policy.model", "teacher.model", *own

    @property
    def recorded(self) -> bool:
        """Whether the answers are read from a file."""
        return self.answers not in (POLICY, TEACHER)

    def check_prompts(self) -> Prompts:
        prompts = super().check_prompts()
        if self.teacher.by_dataset:
            self._check_datasets()
        return self._answered(prompts) if self.recorded else prompts

    def _answered(self, prompts: Prompts) -> Prompts:
        """The prompts, with a note of empty answers. Raises InputError where there is no other."""
        from flows.preflight.prompts import expanded

        known = read_answers(expanded(self.answers, "answers"))
        names = (prompt_id(one.messages) for one in prompts)
        found = [known[name].text for name in names if name in known]
        empty = sum(not text.strip() for text in found)
        if prompts and len(found) == empty:
            why = "with nothing but empty texts" if found else "none of the prompts"
            raise InputError(
                f"answers: '{self.answers}' answers {why}; its instructions must be the prompts' "
                "texts, its outputs what is learned"
            )
        if empty and isinstance(prompts, PromptTable):
            note = (
                f"answers: {empty:,} of {len(found):,} are empty, of which the policy learns to "
                "say nothing"
            )
            return PromptTable(prompts.table, (*prompts.notes, note))
        return prompts

    def _check_datasets(self) -> None:
        """Every data set that has a teacher has prompts. Raises InputError."""
        from flows.preflight.prompts import read_files

        files = [one.file for one in read_files(self.prompts)["path"]]
        known = sorted({name for one in files for name in one.table["dataset"].to_pylist()})
        for one in self.teacher.by_dataset:
            if one.dataset not in known:
                raise InputError(
                    f"{one.called}: no prompt is of the data set {one.dataset!r}; there are "
                    f"{', '.join(map(repr, known[:8]))}"
                )

    def about(self) -> str:
        asked, k = self.prompts.per_round, 1 if self.recorded else self.generate.k
        rounds = f"{self.rounds} round" + "s" * (self.rounds != 1)
        answers = f"{asked:,} prompts" + (f" x {k} answers" if k > 1 else "")
        who = "read from a file" if self.recorded else f"by the {self.answers}"
        return (
            f"{rounds} of {answers} {who}. The teacher says of every position of these "
            f"which {self.targets.k} tokens are most likely; the policy learns that "
            f"({' + '.join(self.policy.losses.by_name)}), and its answers to held-out prompts are "
            "compared with the base's."
        )
