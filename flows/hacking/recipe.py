"""The recipe of the teacher-hacking experiment: oracle, teacher, student, and whose answers."""

from typing import Literal

from pydantic import Field, model_validator

from data.errors import InputError
from data.readers.seen import Counted, Prompts
from data.recipes.config import SMALL, WORLD, Times
from data.recipes.distillation import AnswersConfig, DistilledPolicy, TargetsConfig
from data.recipes.hacking import HeldOutConfig, OracleModel, StartConfig, TaughtTeacher
from data.recipes.monitor import DistanceMonitor
from data.recipes.recipe import DecodingConfig, GenerateConfig, PromptsConfig, RunRecipe, Values

Source = Literal["offline", "online_teacher", "online_student", "mixed"]


class HackingRecipe(RunRecipe):
    """Rounds over the same prompts in which a policy learns from a teacher that imitates an oracle,
    with its distances to both on held-out prompts."""

    recipe: Literal["hacking"]
    rounds: Times = Field(16, ge=1, description="Times that the policy goes over the prompts")
    prompts: PromptsConfig = Field(
        PromptsConfig(), description="per_round: the prompts that every round asks, the same ones"
    )
    oracle: OracleModel = OracleModel()
    teacher: TaughtTeacher = TaughtTeacher()
    start: StartConfig = StartConfig()
    policy: DistilledPolicy = DistilledPolicy()
    answers: Source = Field(
        "offline",
        description="Whose answers are learned on: 'offline', the teacher's, one set for all "
        "rounds; 'online_teacher', the teacher's, new ones in every round; 'online_student', the "
        "policy's own, new ones in every round; 'mixed', the offline set with a share of new ones "
        "of the teacher's",
    )
    online_share: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Only used by the answers mixed: share of the prompts that the teacher answers "
        "anew in a round, other prompts in each as long as there are any",
    )
    generate: AnswersConfig = AnswersConfig()
    targets: TargetsConfig = TargetsConfig()
    evaluate: HeldOutConfig = HeldOutConfig()
    monitor: DistanceMonitor = DistanceMonitor()

    @model_validator(mode="after")
    def _one_family(self) -> "HackingRecipe":
        """Models with distributions over the same tokens, as far as the recipe tells."""
        named = {"oracle": self.oracle.model, "teacher": self.teacher.model}
        own = self.policy.model not in (WORLD, SMALL)
        for name, model in named.items():
            if (model not in (WORLD, SMALL)) != own:
                raise ValueError(
                    f"{name}.model: the world's models share a vocabulary with each other alone; "
                    f"take {name}, teacher and policy all from the world or all your own"
                )
        if self.policy.model == self.oracle.model:
            raise ValueError(
                f"policy.model: {self.policy.model!r} is the oracle, which has nothing to learn; "
                f"name another, such as '{SMALL}'"
            )
        if self.teacher.model == WORLD and self.world and not self.world.teacher_lessons:
            raise ValueError(
                "world.teacher_lessons: without any the world's teacher is a classifier, which "
                "gives no tokens; set it above 0, or name another teacher.model"
            )
        if self.policy.template is not None and not own:
            raise ValueError("policy.template: the world's policy has its own; leave it out")
        if self.answers == "mixed" and self.prompts.per_round < 2:
            raise ValueError("prompts.per_round: must be 2 or more with 'answers: mixed'")
        return self

    def evaluated(self, number: int) -> bool:
        """Whether golden and proxy are measured after round `number`."""
        return number % self.evaluate.every == 0 or number >= self.rounds

    @property
    def one_vocabulary(self) -> tuple[str, ...]:
        return "policy.model", "teacher.model", "oracle.model"

    @property
    def round_count(self) -> int:
        return self.rounds

    @property
    def max_length(self) -> int:
        return self.prompts.max_tokens + self.generate.max_tokens

    @property
    def sampling(self) -> GenerateConfig:
        return self.generate

    @property
    def answering(self) -> DecodingConfig:
        """How oracle and teacher answer where their distribution is what is measured."""
        return DecodingConfig(max_tokens=self.generate.max_tokens)

    @property
    def prompt_tokens(self) -> int:
        return self.prompts.max_tokens

    def yardstick(self) -> Values:
        prompts = self.prompts.model_dump(mode="json", exclude={"per_round", "test_path"})
        return {
            "world": self.world.model_dump() if self.world else {},
            "policy.model": self.policy.model,
            "generate.max_tokens": self.generate.max_tokens,
            "evaluate.dev_samples": self.evaluate.dev_samples,
            **{f"prompts.{name}": value for name, value in prompts.items()},
            **{f"oracle.{name}": value for name, value in self.oracle},
            **{f"teacher.{name}": value for name, value in self.teacher.model_dump().items()},
            **{f"start.{name}": value for name, value in self.start.model_dump().items()},
        }

    def lengths(self, known: dict[str, int]) -> Values:
        from flows.loop.fitting import policy_lengths
        from flows.preflight.fitting import at_most

        found = policy_lengths(self.prompts, self.generate, self.policy, known)
        longest = found.get("policy.max_length", self.policy.max_length)
        readers = {"start": (self.start, "policy"), "teacher": (self.teacher, "teacher")}
        for name, (section, model) in readers.items():
            if not section.gives("max_length"):
                found[f"{name}.max_length"] = at_most(known.get(f"{model}.model"), longest)
        return found

    def sizes(self) -> Values:
        from flows.preflight.sizes import left_out_sizes

        return left_out_sizes(
            self.prompts, self.world, 2, self.seed
        )  # the oracle's and the rounds'

    def check_prompts(self) -> Prompts:
        from flows.preflight.prompts import check_prompts

        found = check_prompts(self.prompts, self.world, 1, self.seed)
        there = self.counted_prompts().parts["pool"]
        if self.oracle.prompts + self.prompts.per_round > there:
            raise InputError(
                f"oracle.prompts: {self.oracle.prompts} beside prompts.per_round "
                f"{self.prompts.per_round} are more than there are, {there}; lower one of them, or "
                "bring more prompts"
            )
        return found

    def counted_prompts(self) -> Counted:
        from flows.preflight.prompts import counted_prompts

        return counted_prompts(self.prompts, self.world, self.seed)

    def about(self) -> str:
        asked, k = self.prompts.per_round, self.generate.k
        rounds = f"{self.rounds} round" + "s" * (self.rounds != 1)
        answers = f"{asked:,} prompts" + (f" x {k} answers" if k > 1 else "")
        return (
            f"teacher and policy learn {self.oracle.prompts:,} answers of the oracle; then the "
            f"policy learns from the teacher in {rounds} over the same {answers}, "
            f"{WHOSE[self.answers]}. How far it is from oracle and teacher is computed on held-out "
            "prompts."
        )


WHOSE: dict[str, str] = {
    "offline": "the teacher's, the same in every round",
    "online_teacher": "the teacher's, new in every round",
    "online_student": "the policy's own, new in every round",
    "mixed": "the teacher's, a share of them new in every round",
}
