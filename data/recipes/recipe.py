"""What every recipe has, and the sections that recipes of several flows share.

A flow's own recipe is in its room, `flows/*/recipe.py`; `flows.table` knows them all. Everything
that can change a result is there and enters a cache key through the stage that uses it. `runtime`
holds what changes only speed, but for what docs/determinism.md says of it.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from data.recipes.asking import (
    JUDGE_WORDS,
    KINDS,
    AskingConfig,
    JudgingSection,
    judges,
    one_or_several,
)
from data.recipes.config import (  # noqa: F401 - a recipe's sections and words are imported from here
    AUTO,
    BY_MODELS,
    BY_PROMPTS,
    FRESH,
    FROM_LIST,
    NONE,
    SMALL,
    TEMPLATES,
    WORLD,
    Config,
    Count,
    Day,
    Seed,
    Size,
    Times,
    TokenBudget,
)
from data.recipes.execution import ExecutionConfig
from data.recipes.judges import TEACHER
from data.recipes.logged import LoggedConfig  # noqa: F401
from data.recipes.names import CODE, MODELS, Names, namings
from data.recipes.prompts import PromptsConfig, PromptSource  # noqa: F401
from data.recipes.secrets import find_secret
from data.recipes.training import (  # noqa: F401
    AdapterConfig,
    PolicyConfig,
    Schedule,
    Scheduler,
    StudentConfig,
    StudentTraining,
    TrainConfig,
)

if TYPE_CHECKING:
    from data.readers.seen import Counted, Prompts

TrackerName = Literal["tensorboard", "trackio", "wandb", "mlflow"]
RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Values = dict[str, Any]  # numbers, of a recipe's fields, by dotted name


class WorldConfig(Config):
    """The embedded world: sizes of what the bootstrap flow makes."""

    seed: Seed = Field(0, description="Seed of the generator and of all bootstrap training")
    lessons: Count = Field(32_000, ge=100, description="Good answers the shared trunk learns from")
    policy_examples: Count = Field(24_000, ge=100, description="Demonstrations for the SFT policy")
    teacher_pairs: Count = Field(
        16_000, ge=100, description="Oracle-labelled pairs for the teacher"
    )
    teacher_lessons: Count = Field(
        0,
        ge=0,
        description="Good answers that the teacher learns beyond the trunk's: it is then a "
        "language model that rewards by its likelihood, and needs no pairs; 0: a classifier",
    )
    student_pairs: Count = Field(1_500, ge=50, description="Oracle-labelled pairs for the student")
    prompts: Count = Field(6_000, ge=10, description="Prompts of the pool the rounds draw from")
    dev_prompts: Count = Field(210, ge=7, description="Held-out prompts for agreement and the gate")
    test_prompts: Count = Field(700, ge=7, description="Held-out prompts that only evaluate sees")


class DecodingConfig(Config):
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: Size = Field(
        512, ge=1, description="Longest completion, in policy tokens", json_schema_extra=BY_MODELS
    )


class ParallelConfig(Config):
    """How GPUs share the work of vLLM. It takes tensor x pipeline x data of them."""

    tensor: Times = Field(1, ge=1, description="GPUs that share each of the model's layers")
    pipeline: Times = Field(1, ge=1, description="Groups of GPUs that have some of the layers each")
    data: Times = Field(1, ge=1, description="Engines that have the whole model, and share prompts")

    @property
    def of_an_engine(self) -> int:
        """GPUs of one engine."""
        return self.tensor * self.pipeline

    @property
    def gpus(self) -> int:
        return self.of_an_engine * self.data


ALONE = ParallelConfig()


class GenerateConfig(DecodingConfig):
    engine: Literal["auto", "vllm", "transformers", "openai"] = Field(
        "auto",
        description="auto: vLLM where it is installed and can run every model that samples, but "
        "transformers on a CPU from a billion parameters on (docs/performance.md)",
    )
    k: Times = Field(8, ge=2, description="Completions sampled for each prompt")
    parallel: ParallelConfig = ALONE
    adapters: bool = Field(
        False,
        description="vLLM answers as the base with the policy's LoRA adapters on it, and is not "
        "handed merged weights; only with policy.method lora or qlora (docs/scale.md)",
    )

    @property
    def decoding(self) -> DecodingConfig:
        return DecodingConfig(
            temperature=self.temperature, top_p=self.top_p, max_tokens=self.max_tokens
        )


class RelabelConfig(Config):
    """What is made of the pairs a student picked, once a teacher or a recorded judge has spoken."""

    min_margin: float = Field(0.0, ge=0, description="Pairs the teacher separates by less are out")
    on_disagreement: Literal["swap", "drop"] = Field(
        "swap", description="What becomes of a pair whose order the teacher reverses"
    )


class TeacherConfig(RelabelConfig, JudgingSection):
    """Who judges, and what is made of the judgments."""


class MineConfig(Config):
    pairs: Literal["best_worst", "best_random", "top2_bottom2", "outside_in"] = Field(
        "best_worst",
        description="Which completions of a prompt make its pair or pairs; outside_in: best and "
        "worst, second best and second worst, and so on, each in one pair",
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
    judge: Annotated[
        str | tuple[str, ...],
        Names("any judge", JUDGE_WORDS),
        BeforeValidator(one_or_several),
        AfterValidator(judges),
    ] = Field(
        TEACHER,
        description="Who decides the win rate: 'oracle' (of the embedded world), 'teacher', "
        f"'recorded', {KINDS}; or a list of these, of which the first decides",
    )
    temperature: float = Field(0.7, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    dev_samples: Times = Field(4, ge=2, description="Completions of each dev prompt")
    bootstrap_samples: Count = Field(2_000, ge=100)
    every: Times = Field(
        1, ge=1, description="Evaluate every so many rounds and at the end; no gate in between"
    )
    asking: AskingConfig = AskingConfig()

    @property
    def judges(self) -> tuple[str, ...]:
        """Who judges, one or several."""
        return (self.judge,) if isinstance(self.judge, str) else self.judge

    @property
    def headline(self) -> str:
        """The first, who decides the win rate that the report is headed with."""
        return self.judges[0]


class LaunchConfig(Config):
    """In how many processes policy and student are trained, and how these share the work."""

    processes: Times = Field(
        1, ge=1, description="Processes that share every batch of a training, one to a GPU"
    )
    config: str | None = Field(
        None,
        description="How they share it: 'ddp', 'fsdp', 'zero3', or accelerate's own YAML file; "
        "none: 'ddp', where there are several",
    )

    @property
    def here(self) -> bool:
        """Whether the run's own process trains."""
        return self.processes == 1 and self.config is None


class RuntimeConfig(Config):
    """How and where to compute; of these only device and dtype are in every model's keys."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    token_budget: TokenBudget = Field(
        AUTO,
        description="Tokens of a batch, padding included, where a model reads or transformers "
        "samples; auto: 1,024 to read on a CPU, else 16,384 (docs/performance.md)",
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
    train: LaunchConfig = LaunchConfig()
    gpu_memory: float = Field(0.85, gt=0, le=1, description="Share of a GPU that vLLM may take")
    engine_python: str | None = Field(
        None,
        description="Python of another environment, or its folder, in which vLLM runs; none: this "
        "one (docs/engine_python.md)",
    )
    trust_remote_code: bool = False
    trackers: Annotated[tuple[TrackerName, ...], FROM_LIST] = Field(
        (), description="Where curves of trainings and rounds are drawn, such as [tensorboard]"
    )


class RunRecipe(Config):
    """What the recipes of all flows have, and what is asked of each before it runs."""

    # Whether `tsalign check` counts what its models sample, read and learn.
    counts_work: ClassVar[bool] = True
    # Whether a teacher 'world' is the one of the embedded world; else it is its policy.
    world_teaches: ClassVar[bool] = True

    recipe: str = Field(description="The flow, and where one flow carries out several, the method")
    run: str = Field(pattern=RUN_NAME, description="Names the folder of the results, runs/NAME")
    seed: Seed = Field(0, description="Of everything drawn at random, but for the world")
    date: Day | None = Field(None, description="What chat templates print; default: the first day")
    world: WorldConfig | None = Field(
        None, description="The embedded world, whose models and prompts are called 'world'"
    )
    runtime: RuntimeConfig = RuntimeConfig()
    execution: ExecutionConfig = ExecutionConfig()

    @classmethod
    def meant(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The values of a file with what it means by leaving out a section of several keys, so
        that `--set` may change one of them."""
        return values

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
    def _world_or_own(self) -> "RunRecipe":
        """What the embedded world does not make, the user brings."""
        for one in sorted(namings(self), key=lambda one: one.kind not in MODELS):
            if one.is_word and one.value in (WORLD, SMALL) and not self.world:
                raise ValueError(
                    f"{one.field}: name your own, or add 'world: {{}}' to use the embedded one"
                )
        return self

    @model_validator(mode="after")
    def _equal_shares(self) -> "RunRecipe":
        """Every process is given as many rows of a batch, in parts as large, as the others."""
        processes, part = self.runtime.train.processes, self.runtime.train_micro_batch
        shares = processes * max(part, 1)
        for name in type(self).model_fields if processes > 1 else ():
            section = getattr(self, name)
            if isinstance(section, TrainConfig) and section.trains and section.batch_size % shares:
                parts = f" in parts of runtime.train_micro_batch {part}" if part > 1 else ""
                raise ValueError(
                    f"{name}.batch_size: {section.batch_size} rows do not go round "
                    f"runtime.train.processes {processes}{parts}; make it a multiple of {shares}"
                )
        return self

    @model_validator(mode="after")
    def _trusted_code(self) -> "RunRecipe":
        """Code of the user's runs only where the recipe says so."""
        for one in namings(self):
            if one.kind in CODE and not one.is_word and not self.runtime.trust_remote_code:
                raise ValueError(
                    f"{one.field}: {one.value} runs Python code; read it, and set "
                    "runtime.trust_remote_code=true if you trust it"
                )
        return self

    # What follows is asked of a recipe before and when it runs; a flow answers where it must.

    @property
    def round_count(self) -> int:
        """How many rounds the run has."""
        return 1

    @property
    def max_length(self) -> int:
        """Longest prompt with its answer that a model of the run reads, in its tokens."""
        return 1024

    @property
    def sampling(self) -> GenerateConfig | None:
        """How answers are sampled; None: nothing is generated."""
        return None

    @property
    def answering(self) -> DecodingConfig | None:
        """How a policy of the run answers held-out prompts; None: there is none."""
        return None

    @property
    def prompt_tokens(self) -> int | None:
        """The longest prompt that a policy is asked; None: there is no such limit."""
        return None

    @property
    def one_vocabulary(self) -> tuple[str, ...]:
        """Fields of models that must give the same tokens the same ids; empty: none must."""
        return ()

    def yardstick(self) -> Values:
        """What decides prompts, base answers and judge of the win rate; empty: there is none."""
        return {}

    def about(self) -> str:
        """What a run does, in sentences."""
        raise NotImplementedError

    def lengths(self, known: dict[str, int]) -> Values:
        """Lengths that the recipe leaves out; `known`: tokens that its models read, by field."""
        return {}

    def sizes(self) -> Values:
        """Numbers of prompts that the recipe leaves out."""
        return {}

    def check_prompts(self) -> "Prompts":
        """The prompts that the run's models read. Raises InputError where they do not do."""
        return []

    def earlier_prompts(self) -> "Prompts":
        """Those of earlier preferences, which a student alone reads. Raises InputError."""
        return []

    def counted_prompts(self) -> "Counted":
        """How many prompts there are, and what is dropped. Raises InputError."""
        from data.readers.seen import Counted

        return Counted()

    def refuse_headless(self) -> str | None:
        """Why a student without a head cannot be used, and what to do; None: it can."""
        return None

    def refuse_comparing(self) -> str | None:
        """Why a teacher that only compares two answers cannot be used; None: it can."""
        return None

    def about_head(self) -> str:
        """What becomes of a head that is made for such a student: the end of a sentence."""
        return "; it is trained in round 1"
