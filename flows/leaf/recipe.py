"""The recipe of LEAF: a teacher, texts, a student and what both are measured on."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from data.readers.seen import Counted, Prompts
from data.recipes.encoders import (
    EncoderEvaluation,
    EncoderStudent,
    EncoderTeacher,
    TextsConfig,
)
from data.recipes.recipe import RunRecipe, Values


class LeafRecipe(RunRecipe):
    """A small text encoder learns the vectors of a larger one, for documents, queries or both."""

    counts_work: ClassVar[bool] = False  # encoders read texts, and no prompts

    recipe: Literal["leaf"]
    teacher: EncoderTeacher
    texts: TextsConfig
    student: EncoderStudent = EncoderStudent()
    evaluate: EncoderEvaluation = Field(description="What teacher and student are measured on")

    @model_validator(mode="after")
    def _something_to_learn(self) -> "LeafRecipe":
        for side in self.student.sides:
            if not self.texts.sources(side):
                raise ValueError(
                    f"texts.{side}: name a file of them, or set student.learns to what is there"
                )
        return self

    @property
    def max_length(self) -> int:
        return self.student.max_length

    def yardstick(self) -> Values:
        return {"evaluate": self.evaluate.model_dump(mode="json")}

    def about(self) -> str:
        return (
            "a small text encoder learns a larger one's vectors; both are measured on retrieval, "
            "alone and with the larger one's documents."
        )

    def check_prompts(self) -> Prompts:
        from flows.leaf.reading import check

        check(
            self.teacher,
            self.texts,
            self.student,
            self.evaluate,
            self.runtime.trust_remote_code,
        )
        return []

    def counted_prompts(self) -> Counted:
        from flows.leaf.reading import counted

        return counted(self.texts, self.student, self.evaluate)
