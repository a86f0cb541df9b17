"""The recipe of ARTE: tasks, a teacher that drafts, a student, and what the student learns from."""

from typing import Literal

from pydantic import Field, model_validator

from data.elicitation import ASK
from data.readers.questions import QuestionFile, parted_questions, read_questions
from data.readers.seen import Counted, File, Prompt, Prompts
from data.recipes.config import SMALL, WORLD
from data.recipes.fine_tuning import FineTuneConfig
from data.recipes.recipe import DecodingConfig, GenerateConfig, RunRecipe, Values
from data.recipes.tailoring import (
    WORLD_STYLES,
    AnsweringConfig,
    DraftsConfig,
    ElicitConfig,
    ItemsConfig,
    TailoringTeacher,
    TasksConfig,
    TeacherPairsConfig,
)
from data.world.puzzles import NAIVE

Method = Literal["arte", "questions", "rationales", "plain", "original", "random", "fixed", "style"]
LEARNS: dict[str, str] = {  # what the student learns
    "arte": "new questions and rationales of the aligned teacher, asked without a style",
    "questions": "new questions of the aligned teacher, which the teacher as it was explains when "
    "asked without a style",
    "rationales": "the draft questions, which the aligned teacher explains when asked without a "
    "style",
    "plain": "the draft questions, which the teacher as it is explains when asked without a style",
    "original": "of each draft question the rationale after which it answers best",
    "random": "of each draft question any rationale",
    "fixed": "the draft questions in the one style of each task after which it answers best",
    "style": "the draft questions in one style",
}
ALIGNS = ("arte", "questions", "rationales")  # methods for which the teacher is aligned


class ArteRecipe(RunRecipe):
    """A teacher drafts questions and rationales, is aligned with what its student answers best
    after, and drafts again; the student learns that."""

    recipe: Literal["arte"]
    method: Method = Field(
        "arte",
        description="What the student learns. arte: what the aligned teacher drafts; for "
        "comparison questions or rationales: these alone by the aligned teacher, the other by the "
        "teacher as it was; plain: rationales of the teacher as it is, asked without a style; "
        "original: the draft of each question with the best score; random: any; fixed: those in "
        "the style that scores best in their task; style: those in the recipe's style",
    )
    style: str | None = Field(
        None, description="Only used by the method style: the name of one of drafts.styles"
    )
    tasks: TasksConfig = TasksConfig()
    drafts: DraftsConfig = DraftsConfig()
    items: ItemsConfig = ItemsConfig()
    min_one_shot: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of each task's validation questions that the student must answer right "
        "after one example; below it the run ends, as scores of drafts would be chance. Set it "
        "above what guessing gives",
    )
    pairs: TeacherPairsConfig = TeacherPairsConfig()
    teacher: TailoringTeacher = TailoringTeacher()
    policy: FineTuneConfig = FineTuneConfig()
    generate: ElicitConfig = ElicitConfig()
    evaluate: AnsweringConfig = AnsweringConfig()

    @model_validator(mode="after")
    def _one_world(self) -> "ArteRecipe":
        """All of the world, or nothing."""
        worlds = [
            self.tasks.path == WORLD,
            self.policy.model in (WORLD, SMALL),
            self.teacher.model == WORLD,
        ]
        if any(worlds) and not all(worlds):
            raise ValueError(
                "tasks.path: the world's teacher and student know its puzzles alone; take "
                "tasks.path, policy.model and teacher.model all from the world, or none of them"
            )
        if not all(worlds):
            return self
        if self.policy.model == SMALL:
            raise ValueError(f"policy.model: {SMALL!r} knows no puzzles; the student is {WORLD!r}")
        if self.policy.template is not None:
            raise ValueError("policy.template: the world's student has its own; leave it out")
        if self.items.zoo:
            raise ValueError("items.zoo: the world brings its own; leave it out")
        own = self.drafts.naive != NAIVE or self.drafts.ask != ASK
        if own or not set(self.drafts.styles) <= set(WORLD_STYLES):
            raise ValueError(
                "drafts.styles: the world's teacher knows its own words for styles and questions "
                "alone; leave styles, naive and ask out, or leave out some styles"
            )
        return self

    @model_validator(mode="after")
    def _numbers(self) -> "ArteRecipe":
        """Numbers that contradict each other."""
        tasks, items = self.tasks, self.items
        if items.k > tasks.validation:
            raise ValueError(
                f"items.k: {items.k} questions cannot be chosen of tasks.validation "
                f"{tasks.validation}; lower one, or raise the other"
            )
        for field, shots in (("items", items.shots), ("evaluate", self.evaluate.shots)):
            if min(shots) < 0 or len(set(shots)) < len(shots):
                raise ValueError(f"{field}.shots: must be different numbers from 0 on")
            if max(shots) > tasks.seeds:
                raise ValueError(
                    f"{field}.shots: {max(shots)} examples are more than tasks.seeds "
                    f"{tasks.seeds}; lower one, or raise the other"
                )
        if 1 not in items.shots:
            raise ValueError("items.shots: must hold 1, by which min_one_shot is checked")
        if self.generate.k < self.drafts.questions:
            raise ValueError(
                f"generate.k: {self.generate.k} sampled questions cannot give drafts.questions "
                f"{self.drafts.questions}; sample more, some will come twice"
            )
        names = [one.name for one in self.drafts.styles]
        if self.method == "style" and self.style is None:
            raise ValueError(f"style: 'method: style' needs one of {', '.join(names)}; add it")
        if self.method != "style" and self.style is not None:
            raise ValueError("style: goes with 'method: style', and with no other; remove it")
        if self.style is not None and self.style not in names:
            raise ValueError(f"style: {self.style!r} is none of drafts.styles {', '.join(names)}")
        return self

    @property
    def sampling(self) -> GenerateConfig:
        return self.generate

    @property
    def answering(self) -> DecodingConfig:
        """How rationales are written, and questions answered: greedily."""
        return DecodingConfig(temperature=0.0, max_tokens=self.generate.max_tokens)

    @property
    def max_length(self) -> int:
        return self.policy.max_length

    def yardstick(self) -> Values:
        tasks = self.tasks.model_dump(mode="json")
        return {
            "world": self.world.model_dump() if self.world else {},
            "policy.model": self.policy.model,
            "generate.max_tokens": self.generate.max_tokens,
            **{f"tasks.{name}": value for name, value in tasks.items()},
            **{f"evaluate.{name}": value for name, value in self.evaluate},
        }

    def lengths(self, known: dict[str, int]) -> Values:
        from flows.preflight.fitting import at_most

        found, least = Values(), min(known.values(), default=None)
        for name, section in (("policy", self.policy), ("teacher", self.teacher)):
            if not section.gives("max_length"):
                found[f"{name}.max_length"] = at_most(least, section.max_length)
        return found

    def check_prompts(self) -> Prompts:
        if self.tasks.path == WORLD:
            return []
        found = self._read()
        parted_questions(found.table, self.tasks, self.seed)
        messages = found.table["messages"].to_pylist()
        return [Prompt(place, one) for place, one in zip(found.places, messages, strict=True)]

    def counted_prompts(self) -> Counted:
        if self.tasks.path == WORLD:
            return Counted()
        found = self._read()
        field, counts = "tasks.path", found.counts
        again = {"duplicate": counts["duplicate"]} if counts["duplicate"] else {}
        parts = parted_questions(found.table, self.tasks, self.seed)
        return Counted(
            files=[File(field, self.tasks.path, counts["read"], counts["kept"], again, {})],
            parts={str(name): len(table) for name, table in parts.items()},
            rows={field: counts["kept"]},
        )

    def _read(self) -> QuestionFile:
        """The questions of the file. Raises InputError."""
        from data.files import check_regular
        from flows.preflight.prompts import expanded

        path = expanded(self.tasks.path, "tasks.path")
        check_regular(path, "tasks.path")
        return read_questions(path, self.tasks.columns, self.tasks.marker)

    def about(self) -> str:
        m, n, k = self.drafts.questions, len(self.drafts.styles), self.items.k
        aligned = (
            " The teacher is aligned by DPO with what the student answers best after."
            if self.method in ALIGNS
            else ""
        )
        return (
            f"of every task the teacher writes {m:,} questions and explains each in {n} styles; "
            f"the student answers {k} questions after each of these as its one example.{aligned} "
            f"The student then learns {LEARNS[self.method]}; its answers to test questions are "
            "compared with the right ones, before and after."
        )
