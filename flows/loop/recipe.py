"""The recipe of the loop: TS-Align, OPTune and TSO, each a choice for every slot of it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from data.readers.seen import Prompts
from data.recipes.config import NONE, SMALL, WORLD, Times
from data.recipes.losses import PairWeight
from data.recipes.methods import CellConfig, MatrixConfig, RefreshConfig
from data.recipes.monitor import MonitorConfig, StopWhen
from data.recipes.names import Names, from_world
from data.recipes.recipe import (
    EvaluateConfig,
    GateConfig,
    GenerateConfig,
    MineConfig,
    PolicyConfig,
    PromptsConfig,
    StudentConfig,
    TeacherConfig,
    Values,
)
from data.source_code import file_and_function
from flows.policy_recipe import PolicyRecipe

LABELS = ("student+teacher", "student", "teacher", "matrix")


class LoopPrompts(PromptsConfig):
    refresh: RefreshConfig | None = None


class AlignRecipe(PolicyRecipe):
    """Rounds of sampling, labelling, distilling and tuning: what fills the slots of the loop."""

    recipe: Literal["ts-align", "optune", "tso"] = Field(
        "ts-align", description="The method's name; the other fields make it what it is"
    )
    rounds: Times = Field(3, ge=1, description="Each starts from the policy the last one left")
    prompts: LoopPrompts = LoopPrompts()
    policy: PolicyConfig = PolicyConfig()
    student: StudentConfig = StudentConfig()
    teacher: TeacherConfig = TeacherConfig()
    labels: Annotated[str, Names("code", LABELS)] = Field(
        "student+teacher",
        description="Who orders the completions: 'student+teacher' (the teacher judges the pairs "
        "the student picks), 'student' or 'teacher' alone, 'matrix' (their place in the model "
        "matrix), or FILE.py:FUNCTION of your own (docs/new_method.md)",
    )
    matrix: MatrixConfig | None = None
    generate: GenerateConfig = GenerateConfig()
    mine: MineConfig = MineConfig()
    gate: GateConfig = GateConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    monitor: MonitorConfig = MonitorConfig()
    stop_when: StopWhen = Field(
        "never",
        description="alarm: where the monitor raises it, the run ends with the best policy before",
    )

    @model_validator(mode="before")
    @classmethod
    def _no_fresh_student(cls, values: object) -> object:
        student = values.get("student") if isinstance(values, dict) else None
        if isinstance(student, dict) and student.get("model") == "fresh":
            raise ValueError(
                "student.model: 'fresh' learns from logged completions only (recipe: logged)"
            )
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "AlignRecipe":
        """Settings that would be ignored, or that contradict each other."""
        losses = self.policy.losses.by_name
        self._slots()
        if self.policy.template is not None and self.policy.model in (WORLD, SMALL):
            raise ValueError("policy.template: the world's policy has its own; leave it out")
        sorts = any(loss.sorts for loss in losses.values())
        if self.runtime.train_micro_batch and sorts:
            raise ValueError("runtime.train_micro_batch: must be 0 with the aot losses, they sort")
        if self.runtime.train.processes > 1 and sorts:
            raise ValueError("runtime.train.processes: must be 1 with the aot losses, they sort")
        if self.stop_when == "alarm" and not self.monitor.enabled:
            raise ValueError("stop_when: 'alarm' needs the monitor; leave monitor.enabled true")
        return self

    def _slots(self) -> None:
        """Who labels, on what, and what is trained fit each other."""
        refresh, student = self.prompts.refresh, self.student.model
        if self.labels not in LABELS and not self.own_labels:
            raise ValueError(f"labels: must be {', '.join(LABELS)} or FILE.py:FUNCTION")
        if self.student.warm_up and not self.earlier_preferences:
            raise ValueError("student.warm_up: goes with student.replay_path; name preferences")
        if student == NONE and self.labels in ("student+teacher", "student"):
            raise ValueError(f"student.model: labels: {self.labels} needs one; name it")
        if (self.labels == "matrix") != (self.matrix is not None):
            raise ValueError("matrix: goes with 'labels: matrix'; set both or neither")
        if self.labels == "matrix" and self.policy.best_pairs < 1:
            raise ValueError("policy.best_pairs: the matrix orders pairs by cells; leave it out")
        if refresh and self.policy.best_pairs < 1:
            raise ValueError("policy.best_pairs: prompts.refresh keeps all pairs; leave it out")
        if refresh and self.labels == "matrix":
            raise ValueError("prompts.refresh: the matrix has no rewards to choose prompts by")
        if refresh and self.policy.replay != "none":
            raise ValueError(
                "policy.replay: must be none with prompts.refresh, which keeps earlier pairs itself"
            )
        people = [cell.name for cell in self.cells if cell.model == WORLD]
        if people and self.prompts.path != WORLD:
            raise ValueError(
                f"matrix cell {people[0]}: the world's people answer only its own prompts; "
                "give a path"
            )
        weighs = isinstance(self.policy.pair_weight, PairWeight)
        if self.matrix and self.matrix.correction.judge == NONE and weighs:
            raise ValueError("policy.pair_weight: the matrix has no margins without a judge")

    @property
    def own_labels(self) -> tuple[str, str] | None:
        """File and function that label, if they are not this project's."""
        return file_and_function(self.labels)

    @property
    def cells(self) -> tuple[CellConfig, ...]:
        """The samplers of the model matrix, if there is one."""
        return self.matrix.cells if self.matrix else ()

    @property
    def _asking_rounds(self) -> int:
        """Rounds that need prompts of their own: one where these are the same in all."""
        return 1 if self.prompts.refresh else self.rounds

    @property
    def earlier_preferences(self) -> bool:
        """Whether there are preferences from before the first round: the user's or the world's."""
        made = from_world(self).keys() - {"student.model"}
        return self.student.replay_path is not None or bool(made)

    def about(self) -> str:
        asked = self.prompts.per_round
        rounds = f"{self.rounds} round" + "s" * (self.rounds != 1)
        if self.labels == "matrix":
            text = f"{asked:,} prompts, each answered by the {len(self.cells)} cells of the matrix"
        else:
            text = f"{asked:,} prompts x {self.generate.k} answers"
        trained = "the policy is" if self.student.model == NONE else "policy and student are"
        builds = WORLD in from_world(self).values()
        world = " A small world is built first, unless the store has it." if builds else ""
        return (
            f"{rounds} of {text}. {self._who()}; {trained} trained on the pairs, and the policy's "
            f"answers to held-out prompts are compared with the base's.{world}"
        )

    def _who(self) -> str:
        """Who orders the answers."""
        asked = self.prompts.per_round
        answers = asked * self.generate.k
        pairs = asked * (2 if self.mine.pairs == "top2_bottom2" else 1)
        known = {
            "student+teacher": f"The student screens all {answers:,}, the teacher judges up to "
            f"{pairs:,} pairs of them",
            "student": f"The student scores all {answers:,} and orders the pairs",
            "teacher": f"The teacher scores all {answers:,} and orders the pairs",
            "matrix": "The places of the models order the answers",
        }
        return known.get(self.labels, f"{self.labels} orders the answers")

    def lengths(self, known: dict[str, int]) -> Values:
        from flows.loop.fitting import lengths

        return lengths(self.prompts, self.generate, self.policy, self.student, known)

    def check_prompts(self) -> Prompts:
        from flows.preflight.cells import check_cells

        if self.matrix:
            first = [c for c in self.cells if c.version >= 0 or c.model != "policy"]
            check_cells(first, self.cells, self.matrix)
        return super().check_prompts()

    def earlier_prompts(self) -> Prompts:
        from flows.preflight.prompts import preference_prompts

        return preference_prompts(self.student.replay_path, "student.replay_path")

    def refuse_headless(self) -> str | None:
        if self.earlier_preferences:
            return None
        if self.labels == "student":
            reason = "with labels: student one made up here would order the answers"
            remedy = ", or use labels: student+teacher"
        elif not self.student.update:
            reason = "with student.update: false one made up here would never learn"
            remedy = ", or leave student.update out"
        else:
            return None
        return f"{reason}; name preferences to train it on in student.replay_path{remedy}"

    def refuse_comparing(self) -> str | None:
        if self.labels == "teacher":
            return "with labels: teacher it would have to score all answers"
        if self.prompts.refresh:
            return "prompts.refresh chooses prompts by rewards"
        if self.policy.best_pairs < 1:
            return "policy.best_pairs goes by rewards (take it out)"
        return None

    def about_head(self) -> str:
        if self.earlier_preferences:
            return " and trained on the earlier preferences before round 1"
        if self.labels == "student+teacher":
            return "; in round 1 it picks pairs at random, the teacher orders them"
        return "; it is trained in round 1"
