"""The sections of a recipe that train a model: policy and student.

What a recipe leaves out of them and depends on the models is filled in by
`flows.preflight.fitting`.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from data.recipes.config import BY_MODELS, NONE, SMALL, TEMPLATES, WORLD, Config, Size, Times
from data.recipes.losses import (
    BRADLEY_TERRY,
    Losses,
    NoWeight,
    PairWeight,
    PairWeightConfig,
    RewardLoss,
    SigmoidLoss,
)
from data.recipes.names import Names
from data.recipes.rates import Trained

# transformers' schedules of the learning rate that need no further settings.
Scheduler = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup",
    "inverse_sqrt",
]  # fmt: skip


class AdapterConfig(Config):
    r: Times = Field(16, ge=1)
    alpha: Times = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str | list[str] = Field("all-linear", description="As PEFT's LoraConfig")


class Schedule(Config):
    """How often rows are read, so many a step, and at which rates."""

    learning_rate: float = Field(gt=0)
    epochs: Times = Field(1, ge=1)
    batch_size: Times = Field(32, ge=1, description="Rows per optimizer step")
    warmup_ratio: float = Field(0.05, ge=0, lt=1)
    scheduler: Scheduler = "linear"


class TrainConfig(Schedule):
    """A training on texts."""

    max_length: Size = Field(
        1024,
        ge=8,
        description="Longest prompt + completion, in tokens",
        json_schema_extra=BY_MODELS,
    )

    @property
    def trained_as(self) -> Trained:
        """Which learning rates suit: of all weights, of an adapter, of a reward model."""
        return "full"

    @property
    def trains(self) -> bool:
        """Whether the model is the start of a training, whose result is saved."""
        return True


class AdaptedTraining(TrainConfig):
    """A training of all weights, or of an adapter."""

    part: ClassVar[str]  # the section's name in a recipe, for messages

    method: Literal["full", "lora"] = Field(
        "lora", description="Train all weights, or an adapter that is merged afterwards"
    )
    adapter: AdapterConfig | None = Field(
        default_factory=lambda given: AdapterConfig() if given.get("method") != "full" else None,
        description="Not used by the method full",
    )

    @model_validator(mode="after")
    def _an_adapter_unless_full(self) -> Self:
        field = f"{self.part}.adapter"
        if self.method == "full" and self.adapter is not None:
            raise ValueError(f"{field}: the method full has none; leave it out")
        if self.method != "full" and self.adapter is None:
            raise ValueError(
                f"{field}: the method {self.method} needs one; leave it out for defaults"
            )
        return self


class StudentTraining(AdaptedTraining):
    """How a student reward model is distilled from labels."""

    part = "student"
    not_in_key = frozenset({"model"})

    loss: RewardLoss = Field(
        BRADLEY_TERRY,
        description="bradley_terry or margin_ranking, by name or as a mapping with its settings",
    )
    learning_rate: float = Field(1e-3, gt=0, json_schema_extra=BY_MODELS)
    epochs: Times = Field(2, ge=1)

    @property
    def trained_as(self) -> Trained:
        return "full" if self.method == "full" else "student"


class StudentConfig(StudentTraining):
    """The student reward model and how it is distilled from the teacher's labels."""

    not_in_key = frozenset({"model", "replay", "replay_path", "update", "warm_up"})

    model: Annotated[str, Names("student", (WORLD, NONE))] = Field(
        WORLD,
        description="Hugging Face directory or hub id of a model with one label, or 'none' where "
        "it labels nothing",
    )
    update: bool = Field(True, description="Distill it in every round; false leaves it as it is")
    replay: float = Field(0.5, ge=0, lt=1, description="Share of earlier preferences in the data")
    replay_path: Annotated[str | None, Names("preferences")] = Field(
        None, description="Preferences from before the first round; the world brings its own"
    )

    warm_up: bool = Field(
        False,
        description="Train it on earlier preferences before round 1; one without a head is in any "
        "case",
    )

    @property
    def trains(self) -> bool:
        """Earlier preferences train one without a head, whether or not it is updated later."""
        return self.update or self.replay_path is not None


class TunedPolicy(AdaptedTraining):
    """A policy that a run trains, by whatever loss."""

    part = "policy"
    not_in_key = frozenset({"model", "template"})

    model: Annotated[str, Names("policy", (WORLD, SMALL))] = Field(
        WORLD, description="Hugging Face directory, hub id or GGUF file of the base policy"
    )
    template: Annotated[str | None, Names("template", TEMPLATES)] = Field(
        None,
        description="Chat template for a base policy that has none: 'plain', 'chatml' or a Jinja "
        "file, which also takes the place of one that is there",
    )
    learning_rate: float = Field(1e-4, gt=0, json_schema_extra=BY_MODELS)

    @property
    def trained_as(self) -> Trained:
        return "full" if self.method == "full" else "lora"


class PolicyConfig(TunedPolicy):
    """The policy and how DPO tunes it."""

    not_in_key = TunedPolicy.not_in_key | {"reference", "average_decay", "replay", "replay_share"}
    not_in_key |= {"best_pairs"}

    method: Literal["full", "lora", "qlora"] = Field(  # type: ignore[assignment]
        "lora",
        description="Train all weights, or an adapter that is merged afterwards; qlora: an adapter "
        "of weights held in 4 bits, on a GPU",
    )
    beta: float = Field(
        0.1,
        gt=0,
        description="Scale of the implicit rewards: how dear it is to leave the reference",
    )
    losses: Losses = Field(
        Losses(sigmoid=SigmoidLoss()),
        description="Losses by name, each with a weight or with its settings",
    )
    pair_weight: PairWeightConfig = Field(
        NoWeight(form="none"),
        description="How much a pair counts; goes with the losses sigmoid and dual_clip",
    )
    sft_weight: float = Field(0.0, ge=0, description="gamma of the auxiliary SFT term")
    reference: Literal["initial", "previous", "average"] = Field(
        "previous",
        description="The base policy, the policy at the start of the round, or a moving average",
    )
    average_decay: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Only used by the reference average: weight of the average so far when a "
        "policy joins it",
    )
    best_pairs: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of each data set's new pairs that the policy learns: those whose chosen "
        "completion the labeller rewards most; the others teach the student alone",
    )
    replay: Literal["none", "all", "share"] = Field(
        "none", description="Also train on earlier rounds' pairs: all, or a random share"
    )
    replay_share: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Only used by the replay share: earlier pairs among all, where there are any",
    )

    @model_validator(mode="after")
    def _fits(self) -> "PolicyConfig":
        losses, weighs = self.losses.by_name, isinstance(self.pair_weight, PairWeight)
        if not (any(loss.weight for loss in losses.values()) or self.sft_weight):
            raise ValueError("policy.losses: no loss has a weight above 0; give one, as sigmoid: 1")
        offset = bool(self.losses.sigmoid and self.losses.sigmoid.margin_offset)
        used = {"pair_weight": weighs, "losses.sigmoid.margin_offset": offset}
        for field, value in used.items():
            if value and not (losses and all(loss.weighted for loss in losses.values())):
                raise ValueError(
                    f"policy.{field}: goes with the losses sigmoid and dual_clip only; use these"
                )
        return self
