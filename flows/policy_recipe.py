"""What the recipes share of flows whose rounds sample from a policy, train it and judge it."""

from typing import TYPE_CHECKING

from pydantic import model_validator

from data.readers.seen import Counted, Prompts
from data.recipes.config import WORLD
from data.recipes.judges import ORACLE, RECORDED, TEACHER
from data.recipes.recipe import (
    DecodingConfig,
    EvaluateConfig,
    GenerateConfig,
    PromptsConfig,
    RunRecipe,
    Values,
)

if TYPE_CHECKING:
    from data.recipes.advantage import AlignedTeacher
    from data.recipes.distillation import TargetsConfig, TeacherModel
    from data.recipes.fine_tuning import JudgeConfig
    from data.recipes.recipe import TeacherConfig
    from data.recipes.training import TunedPolicy


class PolicyRecipe(RunRecipe):
    """Rounds of a policy whose answers to held-out prompts are compared with its base's.

    A recipe that inherits it declares the sections below itself, with its own defaults and words,
    where they come among its others.
    """

    if TYPE_CHECKING:
        rounds: int
        prompts: PromptsConfig
        policy: TunedPolicy
        teacher: TeacherConfig | JudgeConfig | TeacherModel | AlignedTeacher
        generate: GenerateConfig
        evaluate: EvaluateConfig

    @model_validator(mode="after")
    def _held_out(self) -> "PolicyRecipe":
        """Held-out prompts and judge fit the prompts of the rounds."""
        prompts = self.prompts
        held_out = [name for name in ("dev_path", "test_path") if getattr(prompts, name)]
        if prompts.path == WORLD and held_out:
            raise ValueError(
                f"prompts.{held_out[0]}: the world's prompts bring their own; name prompts.path too"
            )
        judges = self.evaluate.judges
        if RECORDED in judges:
            raise ValueError(
                "evaluate.judge: 'recorded' judgments are of logged answers (recipe: logged); a "
                "policy that is trained gives new ones, so name a judge that can read them"
            )
        if ORACLE in judges and prompts.path != WORLD:
            raise ValueError(
                "evaluate.judge: the oracle knows only the embedded world; use 'teacher'"
            )
        return self

    @property
    def _asking_rounds(self) -> int:
        """Rounds that need prompts of their own."""
        return self.rounds

    def evaluated(self, number: int) -> bool:
        """Whether round `number` ends with a gate and an evaluation."""
        return number % self.evaluate.every == 0 or number >= self.rounds

    @property
    def round_count(self) -> int:
        return self.rounds

    @property
    def max_length(self) -> int:
        """Longest prompt with its completion, in policy tokens."""
        return self.prompts.max_tokens + self.generate.max_tokens

    @property
    def sampling(self) -> GenerateConfig:
        return self.generate

    @property
    def answering(self) -> DecodingConfig:
        """How base and trained policy answer the held-out prompts."""
        return DecodingConfig(
            temperature=self.evaluate.temperature,
            top_p=self.evaluate.top_p,
            max_tokens=self.generate.max_tokens,
        )

    @property
    def prompt_tokens(self) -> int:
        return self.prompts.max_tokens

    def yardstick(self) -> Values:
        evaluate, prompts = self.evaluate, self.prompts
        held_out = {"path", "test_path", "dev_path", "columns", "test_size", "dev_size"}
        said = prompts.model_dump(mode="json", include=held_out)
        return {
            **{f"evaluate.{k}": v for k, v in evaluate.model_dump(exclude={"every"}).items()},
            "world": self.world.model_dump() if self.world else {},
            "policy.model": self.policy.model,
            "policy.template": self.policy.template,
            "teacher.model": self.teacher.model if TEACHER in evaluate.judges else None,
            "generate.max_tokens": self.generate.max_tokens,
            **{f"prompts.{name}": value for name, value in said.items()},
        }

    def lengths(self, known: dict[str, int]) -> Values:
        from flows.loop.fitting import policy_lengths

        return policy_lengths(self.prompts, self.generate, self.policy, known)

    def sizes(self) -> Values:
        from flows.preflight.sizes import left_out_sizes

        return left_out_sizes(self.prompts, self.world, self._asking_rounds, self.seed)

    def check_prompts(self) -> Prompts:
        from flows.preflight.prompts import check_prompts

        return check_prompts(self.prompts, self.world, self._asking_rounds, self.seed)

    def counted_prompts(self) -> Counted:
        from flows.preflight.prompts import counted_prompts

        return counted_prompts(self.prompts, self.world, self.seed)


class TaughtRecipe(PolicyRecipe):
    """Those whose policy learns what a teacher would say at every position of answers."""

    if TYPE_CHECKING:
        teacher: TeacherModel | AlignedTeacher
        targets: TargetsConfig

    @model_validator(mode="after")
    def _one_temperature(self) -> "TaughtRecipe":
        if self.teacher.engine == "vllm" and self.targets.temperature != 1:
            raise ValueError(
                "targets.temperature: must be 1 with 'teacher.engine: vllm', which gives the "
                "probabilities of prompts at no other"
            )
        return self
