"""A recipe: the choices that fill the slots of the loop, read from YAML and checked up front.

Everything that can change a result is here and enters a cache key through the stage that uses it.
`runtime` holds what changes only speed, but for what docs/determinism.md says of it.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from data.recipes.config import Config, Count, Size, Times
from data.recipes.logged import Day, LoggedConfig, Seed
from data.recipes.methods import FROM_LIST, CellConfig, MatrixConfig, RefreshConfig
from data.recipes.secrets import find_secret
from data.recipes.training import (  # noqa: F401 - a recipe's sections are imported from here
    BY_MODELS,
    BY_PROMPTS,
    FRESH,
    NONE,
    SMALL,
    TEMPLATES,
    WORLD,
    AdapterConfig,
    DpoLoss,
    PolicyConfig,
    Scheduler,
    StudentConfig,
    TrainConfig,
)

LABELS = ("student+teacher", "student", "teacher", "matrix")
TrackerName = Literal["tensorboard", "trackio", "wandb", "mlflow"]
RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class WorldConfig(Config):
    """The embedded world: sizes of what the bootstrap flow makes."""

    seed: Seed = Field(0, description="Seed of the generator and of all bootstrap training")
    lessons: Count = Field(32_000, ge=100, description="Good answers the shared trunk learns from")
    policy_examples: Count = Field(24_000, ge=100, description="Demonstrations for the SFT policy")
    teacher_pairs: Count = Field(
        16_000, ge=100, description="Oracle-labelled pairs for the teacher"
    )
    student_pairs: Count = Field(1_500, ge=50, description="Oracle-labelled pairs for the student")
    prompts: Count = Field(6_000, ge=10, description="Prompts of the pool the rounds draw from")
    dev_prompts: Count = Field(210, ge=7, description="Held-out prompts for agreement and the gate")
    test_prompts: Count = Field(700, ge=7, description="Held-out prompts that only evaluate sees")


class PromptsConfig(Config):
    path: str = Field(WORLD, description="JSONL, Parquet or CSV file, a datasets id, or 'world'")
    dev_path: str | None = Field(None, description="Held-out prompts for agreement and the gate")
    test_path: str | None = Field(None, description="Held-out prompts for the win rate")
    dev_size: Count = Field(
        200,
        ge=2,
        description="Without dev_path: so many prompts of the pool",
        json_schema_extra=BY_PROMPTS,
    )
    test_size: Count = Field(
        500,
        ge=2,
        description="Without test_path: so many prompts of the pool",
        json_schema_extra=BY_PROMPTS,
    )
    per_round: Count = Field(
        1_000, ge=1, description="Prompts drawn for each round", json_schema_extra=BY_PROMPTS
    )
    max_tokens: Size = Field(
        512, ge=1, description="Longest prompt, in policy tokens", json_schema_extra=BY_MODELS
    )
    refresh: RefreshConfig | None = None


class DecodingConfig(Config):
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: Size = Field(
        512, ge=1, description="Longest completion, in policy tokens", json_schema_extra=BY_MODELS
    )


class GenerateConfig(DecodingConfig):
    engine: Literal["auto", "vllm", "transformers", "openai"] = Field(
        "auto",
        description="auto: vLLM where it is installed and can run every model that samples, else "
        "transformers",
    )
    k: Times = Field(8, ge=2, description="Completions sampled for each prompt")

    @property
    def decoding(self) -> DecodingConfig:
        return DecodingConfig(
            temperature=self.temperature, top_p=self.top_p, max_tokens=self.max_tokens
        )


class TeacherConfig(Config):
    not_in_key = frozenset({"model"})

    model: str = Field(WORLD, description="Hugging Face directory or hub id, one label")
    min_margin: float = Field(0.0, ge=0, description="Pairs the teacher separates by less are out")
    on_disagreement: Literal["swap", "drop"] = "swap"


class MineConfig(Config):
    pairs: Literal["best_worst", "best_random", "top2_bottom2"] = Field(
        "best_worst", description="Which completions of a prompt make its pair or pairs"
    )
    length_penalty: float = Field(
        0.0,
        ge=0,
        description="Reward taken off per 100 characters when pairs are chosen; with labels of "
        "one scorer alone also in the pairs' margins",
    )
    min_margin: float = Field(0.0, ge=0, description="Student margins at or below this are ties")
    drop_truncated: bool = Field(True, description="An unfinished completion is never a candidate")


class GateConfig(Config):
    """A new policy is adopted when the teacher prefers it on the dev prompts."""

    min_win_rate: float = Field(0.5, ge=0, le=1)


class EvaluateConfig(Config):
    judge: Literal["oracle", "teacher"] = Field("teacher", description="Who decides the win rate")
    temperature: float = Field(0.7, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    dev_samples: Times = Field(4, ge=2, description="Completions of each dev prompt")
    bootstrap_samples: Count = Field(2_000, ge=100)
    every: Times = Field(
        1, ge=1, description="Evaluate every so many rounds and at the end; no gate in between"
    )


class RuntimeConfig(Config):
    """How and where to compute; of these only device and dtype are in every model's keys."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    token_budget: Count = Field(
        16_384, ge=64, description="Tokens per scoring batch, padding included"
    )
    shard_prompts: Count = Field(
        512, ge=1, description="Prompts per shard: what a crash costs at most, once per shard"
    )
    checkpoint_minutes: float = Field(
        10.0, ge=0, description="Between two checkpoints of a training; 0: at every log entry"
    )
    train_micro_batch: Times = Field(
        0, ge=0, description="Rows per forward pass; 0: the batch size"
    )
    gpu_memory: float = Field(0.85, gt=0, le=1, description="Share of a GPU that vLLM may take")
    trust_remote_code: bool = False
    trackers: Annotated[tuple[TrackerName, ...], FROM_LIST] = Field(
        (), description="Where curves of trainings and rounds are drawn, such as [tensorboard]"
    )


class Recipe(Config):
    recipe: Literal["ts-align", "optune", "tso"] = Field(
        "ts-align", description="The method's name; the other fields make it what it is"
    )
    run: str = Field(pattern=RUN_NAME)
    seed: Seed = 0
    rounds: Times = Field(3, ge=1)
    date: Day | None = Field(None, description="What chat templates print; default: the first day")
    world: WorldConfig | None = None
    prompts: PromptsConfig = PromptsConfig()
    policy: PolicyConfig = PolicyConfig()
    student: StudentConfig = StudentConfig()
    teacher: TeacherConfig = TeacherConfig()
    labels: str = Field(
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
    logged: LoggedConfig | None = None
    runtime: RuntimeConfig = RuntimeConfig()

    @model_validator(mode="before")
    @classmethod
    def _no_secrets(cls, values: Any) -> Any:
        """A recipe is copied into summaries, reports and Prefect's database."""
        place = find_secret(values)
        if place:
            raise ValueError(
                f"{place}: looks like a secret, and a recipe ends up in reports; "
                "remove it and set OPENAI_API_KEY or HF_TOKEN in the environment"
            )
        return values

    @model_validator(mode="after")
    def _world_or_own(self) -> "Recipe":
        """What the embedded world does not make, the user brings."""
        sources = {
            "policy.model": self.policy.model,
            "student.model": self.student.model,
            "teacher.model": self.teacher.model,
            "prompts.path": self.prompts.path,
        }
        sources |= {f"matrix cell {cell.name}": cell.source for cell in self.cells}
        if self.logged:  # nothing is generated, and the teacher has already spoken
            if self.student.model == WORLD:
                raise ValueError(f"student.model: name your own, or '{FRESH}' for a new one")
            sources = {}
        elif self.student.model == FRESH:
            raise ValueError(f"student.model: '{FRESH}' learns from logged completions only")
        elif self.recorded_matrix:  # nothing is generated; at most the teacher corrects the order
            asked = self.matrix is not None and self.matrix.correction.judge == "teacher"
            sources = {"teacher.model": self.teacher.model} if asked else {}
        for field, value in () if self.world else sources.items():
            if value == WORLD or (value == SMALL and field.startswith(("policy", "matrix"))):
                raise ValueError(
                    f"{field}: name your own, or add 'world: {{}}' to use the embedded one"
                )
        if self.evaluate.judge == "oracle" and (self.logged or self.prompts.path != WORLD):
            raise ValueError(
                "evaluate.judge: the oracle knows only the embedded world; use 'teacher'"
            )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        """Settings that would be ignored, or that contradict each other."""
        prompts, losses = self.prompts, self.policy.losses
        held_out = [name for name in ("dev_path", "test_path") if getattr(prompts, name)]
        if prompts.path == WORLD and held_out and not self.logged:
            raise ValueError(
                f"prompts.{held_out[0]}: the world's prompts bring their own; name prompts.path too"
            )
        self._slots()
        if self.logged and self.rounds != 1 and "rounds" in self.model_fields_set:
            raise ValueError("rounds: logged completions are learnt from in one round; set it to 1")
        if error := self.policy.loss_error():
            raise ValueError(error)
        if self.runtime.train_micro_batch and any(name.startswith("aot") for name in losses):
            raise ValueError("runtime.train_micro_batch: must be 0 with the aot losses, they sort")
        return self

    def _slots(self) -> None:
        """Who labels, on what, and what is trained fit each other."""
        refresh, student = self.prompts.refresh, self.student.model
        if self.labels not in LABELS and not self.own_labels:
            raise ValueError(f"labels: must be {', '.join(LABELS)} or FILE.py:FUNCTION")
        if self.own_labels and not self.runtime.trust_remote_code:
            raise ValueError(
                f"labels: {self.labels} runs Python code; read it, and set "
                "runtime.trust_remote_code=true if you trust it"
            )
        if student == NONE and self.labels in ("student+teacher", "student"):
            raise ValueError(f"student.model: labels: {self.labels} needs one; name it")
        if (self.labels == "matrix") != (self.matrix is not None):
            raise ValueError("matrix: goes with 'labels: matrix'; set both or neither")
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
        weight = self.policy.pair_weight.form
        if self.matrix and self.matrix.correction.judge == NONE and weight != "none":
            raise ValueError("policy.pair_weight: the matrix has no margins without a judge")

    @model_validator(mode="after")
    def _without_policy(self) -> "Recipe":
        if self.policy.model == NONE and not self.logged:
            if not (self.cells and all(cell.path for cell in self.cells)):
                raise ValueError(
                    f"policy.model: '{NONE}' makes pairs of recorded answers and trains nothing; "
                    "give every cell of matrix a path, or name a policy"
                )
            if self.rounds != 1 and "rounds" in self.model_fields_set:
                raise ValueError("rounds: recorded answers are paired in one round; set it to 1")
        return self

    @model_validator(mode="after")
    def _template_for_one(self) -> "Recipe":
        if self.policy.template is not None:
            if self.logged or self.recorded_matrix:
                raise ValueError("policy.template: there is no policy here; leave it out")
            if self.policy.model in (WORLD, SMALL):
                raise ValueError("policy.template: the world's policy has its own; leave it out")
        return self

    @property
    def recorded_matrix(self) -> bool:
        """Whether the run only makes pairs of a matrix of recorded answers: no policy is named."""
        return self.policy.model == NONE and not self.logged

    @property
    def own_labels(self) -> tuple[str, str] | None:
        """File and function that label, if they are not this project's."""
        path, found, function = self.labels.rpartition(".py:")
        return (f"{path}.py", function) if found and path and function.isidentifier() else None

    @property
    def cells(self) -> tuple[CellConfig, ...]:
        """The samplers of the model matrix, if there is one."""
        return self.matrix.cells if self.matrix else ()

    def evaluated(self, number: int) -> bool:
        """Whether round `number` ends with a gate and an evaluation."""
        return number % self.evaluate.every == 0 or number >= self.rounds

    @property
    def max_length(self) -> int:
        """Longest prompt with its completion, in policy tokens."""
        return self.prompts.max_tokens + self.generate.max_tokens

    @property
    def evaluate_decoding(self) -> DecodingConfig:
        """How base and aligned policy answer the held-out prompts."""
        return DecodingConfig(
            temperature=self.evaluate.temperature,
            top_p=self.evaluate.top_p,
            max_tokens=self.generate.max_tokens,
        )
