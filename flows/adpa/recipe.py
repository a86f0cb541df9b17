"""The recipe of DCKD and ADPA: pairs, a teacher that they align, and what the student learns."""

from contextlib import suppress
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from data.errors import InputError
from data.readers.preferences import read_preferences
from data.readers.seen import Counted, Prompts, PromptTable
from data.recipes.advantage import (
    AdpaConfig,
    AlignedTeacher,
    DckdConfig,
    DpoConfig,
    GreedyAnswers,
    StudentPolicy,
)
from data.recipes.config import SMALL, WORLD
from data.recipes.distillation import TargetsConfig
from data.recipes.names import Names
from data.recipes.recipe import EvaluateConfig, PromptsConfig, Values
from flows.policy_recipe import TaughtRecipe

Method = Literal["sft", "dpo", "dckd", "adpa", "adpa+"]
SAID: dict[str, str] = {  # what the student learns
    "sft": "the chosen answers",
    "dpo": "the pairs, by DPO and without the teacher",
    "dckd": "the chosen answers and what the teacher would say at every position of {on}",
    "adpa": "the chosen answers and, on its own, the teacher's advantage over its reference",
}


class AdpaRecipe(TaughtRecipe):
    """Pairs align a teacher; a smaller student learns its distribution, or its advantage."""

    world_teaches = False  # the reference is a policy, which the run aligns

    recipe: Literal["adpa"]
    method: Method = Field(
        "adpa+",
        description="What the student learns. dckd: the aligned teacher's distribution on both "
        "answers of each pair; adpa: its advantage over the reference on the student's answers; "
        "adpa+: the one, then the other; for comparison sft: the chosen answers alone, and dpo: "
        "the pairs without a teacher",
    )
    preferences: Annotated[str, Names("preferences", (WORLD,))] = Field(
        WORLD,
        description="The pairs: a file as student.replay_path, or 'world', pairs of answers of the "
        "world's base policy (world.student_pairs)",
    )
    prompts: PromptsConfig = PromptsConfig()
    policy: StudentPolicy = StudentPolicy()
    teacher: AlignedTeacher = AlignedTeacher()
    dpo: DpoConfig = DpoConfig()
    dckd: DckdConfig = DckdConfig()
    adpa: AdpaConfig = AdpaConfig()
    generate: GreedyAnswers = GreedyAnswers()
    targets: TargetsConfig = TargetsConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    @model_validator(mode="after")
    def _one_family(self) -> "AdpaRecipe":
        """A teacher with a distribution over the student's tokens, as far as the recipe tells."""
        worlds = [name in (WORLD, SMALL) for name in (self.policy.model, self.teacher.model)]
        if worlds[0] != worlds[1] or (worlds[1] and self.teacher.aligned):
            raise ValueError(
                "teacher.model: the world's models share a vocabulary with each other alone; take "
                "policy.model and teacher.model from the world, without teacher.aligned, or neither"
            )
        if self.policy.template is not None and worlds[0]:
            raise ValueError("policy.template: the world's policy has its own; leave it out")
        return self

    @property
    def _asking_rounds(self) -> int:
        return 1

    @property
    def round_count(self) -> int:
        return 1

    def evaluated(self, number: int) -> bool:
        return True

    @property
    def one_vocabulary(self) -> tuple[str, ...]:
        return "policy.model", "teacher.model", "teacher.aligned"

    def lengths(self, known: dict[str, int]) -> Values:
        from flows.preflight.fitting import at_most

        found = super().lengths(known)
        if not self.teacher.gives("max_length"):
            longest = found.get("policy.max_length", self.policy.max_length)
            found["teacher.max_length"] = at_most(known.get("teacher.model"), longest)
        return found

    def sizes(self) -> Values:
        found = super().sizes()
        if not self.prompts.gives("per_round"):
            with suppress(InputError):  # preflight says what is wrong with them
                found["prompts.per_round"] = max(1, self._pairs())
        return found

    def _pairs(self) -> int:
        """How many pairs there are at most. Raises InputError."""
        if self.preferences == WORLD:
            return self.world.student_pairs if self.world else 0
        return len(self._read())

    def _read(self) -> pa.Table:
        """The file of pairs. Raises InputError."""
        from data.files import check_regular
        from flows.preflight.prompts import expanded

        path = expanded(self.preferences, "preferences")
        check_regular(path, "preferences")
        return read_preferences(path)[0]

    def check_prompts(self) -> Prompts:
        """Held-out prompts, and those of the pairs, which the student answers."""
        from flows.preflight.prompts import check_prompts

        prompts = check_prompts(self.prompts, self.world, 0, self.seed)
        if self.preferences == WORLD:
            return prompts
        table = self._read().select(["messages"])
        table = table.append_column("place", pa.array([self.preferences] * len(table)))
        if isinstance(prompts, PromptTable):
            table = pa.concat_tables([prompts.table, table.cast(prompts.table.schema)])
            return PromptTable(table, prompts.notes)
        return PromptTable(table)

    def counted_prompts(self) -> Counted:
        found = super().counted_prompts()
        if self.preferences != WORLD:
            found.rows["preferences"] = self._pairs()
        return found

    def about(self) -> str:
        steps = ["dckd", "adpa"] if self.method == "adpa+" else [self.method]
        on = "both" if self.dckd.answers == "both" else "these"
        learns = ", then ".join(SAID[step].format(on=on) for step in steps)
        aligned = "is aligned already" if self.teacher.aligned else "is aligned with them by DPO"
        return (
            f"Up to {self.prompts.per_round:,} prompts with a better and a worse answer. The "
            f"teacher {aligned}; the student learns {learns}. Its answers to held-out prompts are "
            "compared with those it gave before, and so are the teacher's."
        )
