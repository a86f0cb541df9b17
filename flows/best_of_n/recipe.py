"""The recipe of best-of-n distillation: who picks the best answer, and how a policy learns it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from data.readers.seen import Counted, Prompts
from data.recipes.config import NONE, WORLD, Config, Times
from data.recipes.fine_tuning import FineTuneConfig, PickConfig
from data.recipes.names import Names
from data.recipes.recipe import (
    DecodingConfig,
    EvaluateConfig,
    GateConfig,
    GenerateConfig,
    PromptsConfig,
    RunRecipe,
    Values,
)


class ScorerConfig(Config):
    """A reward model that picks answers."""

    not_in_key = frozenset({"model"})

    model: Annotated[str, Names("reward model", (WORLD, NONE))] = Field(
        NONE,
        description="Only used by the scorer student: Hugging Face directory or hub id of a reward "
        "model with one label",
    )


class JudgeConfig(Config):
    """The reward model that the gate asks, and the scorer unless the student is."""

    not_in_key = frozenset({"model"})

    model: Annotated[str, Names("reward model", (WORLD,))] = Field(
        WORLD, description="Hugging Face directory or hub id of a reward model with one label"
    )


class BestOfNRecipe(RunRecipe):
    """Rounds in which a scorer picks the best of K answers, on which the policy is fine-tuned."""

    recipe: Literal["best-of-n"]
    rounds: Times = Field(1, ge=1, description="Each starts from the policy the last one left")
    prompts: PromptsConfig = PromptsConfig()
    policy: FineTuneConfig = FineTuneConfig()
    scorer: Literal["teacher", "student"] = Field(
        "teacher", description="Who picks the best of the K completions of a prompt"
    )
    student: ScorerConfig = ScorerConfig()
    teacher: JudgeConfig = JudgeConfig()
    generate: GenerateConfig = GenerateConfig()
    pick: PickConfig = PickConfig()
    gate: GateConfig = GateConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "BestOfNRecipe":
        """Settings that would be ignored, or that contradict each other."""
        prompts = self.prompts
        held_out = [name for name in ("dev_path", "test_path") if getattr(prompts, name)]
        if prompts.path == WORLD and held_out:
            raise ValueError(
                f"prompts.{held_out[0]}: the world's prompts bring their own; name prompts.path too"
            )
        if self.evaluate.judge == "oracle" and prompts.path != WORLD:
            raise ValueError(
                "evaluate.judge: the oracle knows only the embedded world; use 'teacher'"
            )
        if self.scorer == "student" and self.student.model == NONE:
            raise ValueError("student.model: 'scorer: student' needs one; name it")
        if self.policy.template is not None and self.policy.model == WORLD:
            raise ValueError("policy.template: the world's policy has its own; leave it out")
        return self

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
        held_out = ("path", "test_path", "dev_path", "test_size", "dev_size")
        return {
            **{f"evaluate.{k}": v for k, v in evaluate.model_dump(exclude={"every"}).items()},
            "world": self.world.model_dump() if self.world else {},
            "policy.model": self.policy.model,
            "policy.template": self.policy.template,
            "teacher.model": self.teacher.model if evaluate.judge == "teacher" else None,
            "generate.max_tokens": self.generate.max_tokens,
            **{f"prompts.{name}": getattr(prompts, name) for name in held_out},
        }

    def about(self) -> str:
        asked, k = self.prompts.per_round, self.generate.k
        rounds = f"{self.rounds} round" + "s" * (self.rounds != 1)
        return (
            f"{rounds} of {asked:,} prompts x {k} answers. The {self.scorer} scores all "
            f"{asked * k:,} and picks the best of each prompt; the policy is fine-tuned on these, "
            "and its answers to held-out prompts are compared with the base's."
        )

    def lengths(self, known: dict[str, int]) -> Values:
        from flows.loop.fitting import policy_lengths

        return policy_lengths(self.prompts, self.generate, self.policy, known)

    def sizes(self) -> Values:
        from flows.preflight.sizes import left_out_sizes

        return left_out_sizes(self.prompts, self.world, self.rounds)

    def check_prompts(self) -> Prompts:
        from flows.preflight.prompts import check_prompts

        return check_prompts(self.prompts, self.world, self.rounds, self.seed)

    def counted_prompts(self) -> Counted:
        from flows.preflight.prompts import counted_prompts

        return counted_prompts(self.prompts, self.world)
