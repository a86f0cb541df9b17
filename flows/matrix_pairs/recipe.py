"""The recipe of a recorded model matrix: pairs of answers that are there already."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from data.readers.seen import Counted, Prompts
from data.recipes.config import Config
from data.recipes.methods import RecordedCell, RecordedMatrix
from data.recipes.names import Names
from data.recipes.recipe import RunRecipe


class MatrixTeacher(Config):
    """A reward model that corrects the order, where `matrix.correction.judge` is 'teacher'."""

    model: Annotated[str | None, Names("reward model")] = Field(
        None, description="Hugging Face directory or hub id of a reward model with one label"
    )
    min_margin: float = Field(
        0.0, ge=0, description="A pair that the judge separates by less is one it is unsure of"
    )


class MatrixRecipe(RunRecipe):
    """Pairs of a model matrix of recorded answers; nothing is generated, no model is trained."""

    recipe: Literal["matrix"]
    matrix: RecordedMatrix
    teacher: MatrixTeacher = MatrixTeacher()

    @model_validator(mode="after")
    def _a_judge(self) -> "MatrixRecipe":
        if self.matrix.correction.judge == "teacher" and self.teacher.model is None:
            raise ValueError(
                "teacher.model: name your own, a reward model that corrects the order, or set "
                "matrix.correction.judge to none"
            )
        return self

    @property
    def max_length(self) -> int:
        return self.matrix.max_length

    @property
    def cells(self) -> tuple[RecordedCell, ...]:
        return self.matrix.cells

    def about(self) -> str:
        return (
            f"pairs of the recorded answers of {len(self.cells)} models; nothing is generated "
            "or trained."
        )

    def check_prompts(self) -> Prompts:
        from flows.preflight.cells import check_cells, recorded_prompts

        pairs, answers = check_cells(self.cells, self.cells, self.matrix)
        return recorded_prompts(pairs, answers)

    def counted_prompts(self) -> Counted:
        return Counted(rows={"import_cell_prompts": sum(1 for _ in self.check_prompts())})
