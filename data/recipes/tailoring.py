"""The sections of a recipe that tailors a teacher's drafts to a student (ARTE)."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from data.elicitation import ASK, EXAMPLES
from data.recipes.advantage import dpo
from data.recipes.config import BY_MODELS, FROM_LIST, WORLD, Config, Count, Times
from data.recipes.names import Names
from data.recipes.rates import Trained
from data.recipes.recipe import GenerateConfig
from data.recipes.training import AdaptedTraining, PolicyConfig
from data.world.puzzles import MARKER, NAIVE, STYLES


class QuestionColumns(Config):
    """Of tasks.path, the columns that hold what."""

    task: str = Field("task", min_length=1, description="Column with the name of the task")
    question: str = Field("question", min_length=1, description="Column with the question")
    answer: str = Field("answer", min_length=1, description="Column with the exact answer")


class TasksConfig(Config):
    """Questions with exact answers, of one task or several, and which of them are for what."""

    path: Annotated[str, Names("texts", (WORLD,))] = Field(
        WORLD,
        description="File of questions with their tasks and answers, or 'world', puzzles of three "
        "families",
    )
    columns: QuestionColumns = QuestionColumns()
    marker: str = Field(
        MARKER,
        description="What stands before the answer at the end of a rationale; the answer is what "
        "follows its last occurrence, in its line. Empty: the last word",
    )
    seeds: Times = Field(
        3,
        ge=1,
        description="Questions of each task that the teacher is shown when it writes others, and "
        "that stand as examples before a question; none of them is asked",
    )
    validation: Count = Field(
        100,
        ge=2,
        description="Questions of each task among which those are found that tell models apart",
    )
    test: Count = Field(200, ge=1, description="Questions of each task to measure on, at most")


class StyleConfig(Config):
    """A style of rationales: how drafts are asked for in it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$", description="Its name")
    instruction: str = Field(
        min_length=1, description="What the teacher is told, in a line before the question"
    )


WORLD_STYLES = tuple(StyleConfig(name=name, instruction=told) for name, told in STYLES.items())


class DraftsConfig(Config):
    """What the teacher is asked for."""

    questions: Count = Field(250, ge=4, description="Questions of each task that are kept (m)")
    ask: str = Field(
        ASK,
        description="How the teacher is asked for a question: {examples} stands for the seeds, of "
        "which each begins a line, {task} for the name of the task",
    )
    styles: Annotated[tuple[StyleConfig, ...], FROM_LIST] = Field(
        WORLD_STYLES,
        min_length=2,
        description="Styles in which every question is explained (n); without any those that the "
        "teacher of the world knows",
    )
    naive: str = Field(
        NAIVE,
        min_length=1,
        description="What the teacher is told in place of a style: what it learns to prefer under, "
        "and what it is asked with once it is aligned",
    )

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        names = [one.name for one in self.styles]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"drafts.styles: {twice[0]!r} stands there twice; rename one")
        if EXAMPLES not in self.ask:
            raise ValueError(f"drafts.ask: must say where the examples stand, by {EXAMPLES}")
        return self


class ElicitConfig(GenerateConfig):
    """How drafts are sampled: questions at `temperature`, everything else greedily."""

    k: Times = Field(
        750,
        ge=4,
        description="Questions sampled for each task, of which the first different ones that are "
        "not among the seeds, validation or test questions are kept",
    )


class ZooModel(Config):
    """One more model whose answers tell easy questions from those that tell models apart."""

    name: str = Field(min_length=1, description="What it is called")
    model: Annotated[str, Names("policy")] = Field(
        description="Hugging Face directory or hub id of a language model"
    )

    @property
    def called(self) -> str:
        """As messages have it."""
        return f"zoo model {self.name}"


class ItemsConfig(Config):
    """The questions on which drafts are scored, found by an item response model."""

    k: Count = Field(
        40,
        ge=2,
        description="Validation questions of each task that score the drafts: those of the highest "
        "discrimination",
    )
    shots: Annotated[tuple[int, ...], FROM_LIST] = Field(
        (0, 1, 2, 3),
        min_length=1,
        description="Examples before a question; every model of the zoo answers with each number "
        "of them, which counts as a person",
    )
    zoo: Annotated[tuple[ZooModel, ...], FROM_LIST] = Field(
        (),
        description="Models beside the student that answer the validation questions; the world "
        "brings its own",
    )

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        names = [one.name for one in self.zoo]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"items.zoo: {twice[0]!r} stands there twice; rename one")
        return self


class TeacherPairsConfig(Config):
    """The pairs that align the teacher."""

    questions: Count = Field(50, ge=1, description="Pairs of two questions in each task")
    share: float = Field(
        0.25,
        gt=0,
        le=0.5,
        description="A pair is of one of the best and one of the worst questions of a task: of so "
        "large a share each",
    )


class TailoringTeacher(AdaptedTraining):
    """The teacher, and how DPO aligns it with the student."""

    part = "teacher"
    not_in_key = frozenset({"model"})

    model: Annotated[str, Names("policy", (WORLD,))] = Field(
        WORLD,
        description="Hugging Face directory or hub id of a language model, or 'world'; its "
        "vocabulary may be another than the student's",
    )
    learning_rate: float = Field(1e-4, gt=0, json_schema_extra=BY_MODELS)
    beta: float = Field(0.1, gt=0, description="beta of its DPO")

    @property
    def trained_as(self) -> Trained:
        return "full" if self.method == "full" else "lora"

    @property
    def dpo(self) -> PolicyConfig:
        return dpo(self, self.beta)


class AnsweringConfig(Config):
    """How the student is measured, before and after."""

    shots: Annotated[tuple[int, ...], FROM_LIST] = Field(
        (0, 3),
        min_length=1,
        description="Examples before a test question; the accuracy with the first number of them "
        "is what the run is about",
    )
    bootstrap_samples: Count = Field(2_000, ge=100)
