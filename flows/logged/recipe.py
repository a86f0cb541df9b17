"""The recipe of logged completions: a student learns from what was recorded earlier."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from data.readers.seen import Counted, Prompts
from data.recipes.config import FRESH, WORLD, Config
from data.recipes.logged import LoggedConfig
from data.recipes.names import Names
from data.recipes.recipe import MineConfig, RelabelConfig, RunRecipe, StudentTraining, Values


class LoggedStudent(StudentTraining):
    """The student reward model and how it is distilled from the recorded judge's labels."""

    not_in_key = StudentTraining.not_in_key | {"warm_up_path"}

    model: Annotated[str, Names("student", (FRESH,))] = Field(
        description="Hugging Face directory or hub id of a model with one label, or 'fresh' for a "
        "small encoder made from the texts to learn from"
    )
    warm_up_path: Annotated[str | None, Names("preferences")] = Field(
        None, description="Preferences it learns from first, with the same settings"
    )


class LoggedRecipe(RunRecipe):
    """One round over completions and a judge's rewards recorded earlier, for the student alone."""

    recipe: Literal["logged"]
    logged: Annotated[LoggedConfig, Names("logs")]
    student: LoggedStudent
    labels: Literal["student+teacher", "teacher"] = Field(
        "student+teacher",
        description="Who picks the pairs that the recorded judge orders: the student, as if each "
        "judgment had its price, or the judge itself, of all that is recorded",
    )
    mine: MineConfig = MineConfig()
    teacher: RelabelConfig = RelabelConfig()

    @model_validator(mode="before")
    @classmethod
    def _a_student(cls, values: Any) -> Any:
        """The world's knows nothing of such texts."""
        if not isinstance(values, dict) or not isinstance(values.get("logged"), dict | Config):
            return values
        student = values.get("student", {})
        if isinstance(student, dict) and student.get("model", WORLD) == WORLD:
            raise ValueError(f"student.model: name your own, or '{FRESH}' for a new one")
        return values

    @property
    def max_length(self) -> int:
        return self.student.max_length

    def yardstick(self) -> Values:
        margin = self.teacher.min_margin
        return {"logged": self.logged.model_dump(mode="json"), "teacher.min_margin": margin}

    def about(self) -> str:
        return "a student learns from recorded answers and judgments; nothing is generated."

    def lengths(self, known: dict[str, int]) -> Values:
        from flows.preflight.fitting import at_most

        if self.student.gives("max_length"):
            return {}
        longest = at_most(known.get("student.model"), self.student.max_length)
        return {"student.max_length": longest}

    def check_prompts(self) -> Prompts:
        from flows.logged.reading import check_logs

        return check_logs(self.logged, self.teacher.min_margin)

    def counted_prompts(self) -> Counted:
        from flows.logged.reading import counted_logs

        return counted_logs(self.logged)

    def earlier_prompts(self) -> Prompts:
        from flows.preflight.prompts import preference_prompts

        return preference_prompts(self.student.warm_up_path, "student.warm_up_path")

    def about_head(self) -> str:
        if self.labels == "teacher":
            return "; it is trained on the recorded judgments"
        return "; it picks the first pairs at random, the recorded judge orders them"
