"""The sections of a recipe that train a model: policy and student.

What a recipe leaves out of them and depends on the models is filled in by
`flows.preflight.fitting`.
"""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from data.recipes.config import Config, Size, Times
from data.recipes.methods import DualClipConfig, PairWeightConfig

WORLD = "world"  # a model or prompt source of this name is made by the embedded world
SMALL = "world-small"  # a smaller policy of the embedded world
NONE = "none"  # no student at all, where the teacher or the matrix labels
TEMPLATES = ("plain", "chatml")  # chat templates of these names are this project's
FRESH = "fresh"  # a student of this name is made from the logged texts

# Of fields whose default follows from the models named: `flows.preflight.fitting` fills in what
# is left out.
BY_MODELS: dict[str, JsonValue] = {"by_models": True}
BY_PROMPTS: dict[str, JsonValue] = {"by_prompts": True}  # so too, by how many prompts there are

# TRL's DPO losses, and this project's dual_clip.
DpoLoss = Literal[
    "sigmoid", "hinge", "ipo", "exo_pair", "robust", "nca_pair", "bco_pair", "sppo_hard", "aot",
    "aot_unpaired", "apo_zero", "apo_down", "discopop", "sigmoid_norm", "dual_clip",
]  # fmt: skip
WEIGHTED = {"sigmoid", "dual_clip"}  # losses that pair_weight and margin_offset go with
SMOOTHED = {"robust", "exo_pair", "aot", "aot_unpaired"}  # losses that use label_smoothing

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


class TrainConfig(Config):
    learning_rate: float = Field(gt=0)
    epochs: Times = Field(1, ge=1)
    batch_size: Times = Field(32, ge=1, description="Rows per optimizer step")
    warmup_ratio: float = Field(0.05, ge=0, lt=1)
    scheduler: Scheduler = "linear"
    max_length: Size = Field(
        1024,
        ge=8,
        description="Longest prompt + completion, in tokens",
        json_schema_extra=BY_MODELS,
    )


class StudentConfig(TrainConfig):
    """The student reward model and how it is distilled from the teacher's labels."""

    not_in_key = frozenset({"model", "replay_path", "update"})

    model: str = Field(
        WORLD, description="Hugging Face directory or hub id, one label; 'none' where none labels"
    )
    update: bool = Field(True, description="Distill it in every round; false: it stays as it is")
    loss: Literal["bradley_terry", "margin_ranking"] = "bradley_terry"
    margin: float = Field(1.0, gt=0, description="Margin of the ranking loss")
    learning_rate: float = Field(1e-3, gt=0, json_schema_extra=BY_MODELS)
    epochs: Times = Field(2, ge=1)
    replay: float = Field(0.5, ge=0, lt=1, description="Share of earlier preferences in the data")
    replay_path: str | None = Field(
        None, description="Preferences from before the first round; the world brings its own"
    )
    adapter: AdapterConfig = AdapterConfig()


class PolicyConfig(TrainConfig):
    """The policy and how DPO tunes it."""

    not_in_key = frozenset(
        {"model", "template", "reference", "average_decay", "replay", "replay_share"}
    )

    model: str = Field(
        WORLD,
        description="Hugging Face directory or hub id of the base policy; 'none' where only pairs "
        "are made, of a matrix of recorded answers",
    )
    template: str | None = Field(
        None,
        description="Chat template for a base policy that has none: 'plain', 'chatml' or a Jinja "
        "file, which also takes the place of one that is there",
    )
    method: Literal["full", "lora"] = "lora"
    learning_rate: float = Field(1e-4, gt=0, json_schema_extra=BY_MODELS)
    beta: float = Field(0.1, gt=0)
    losses: dict[DpoLoss, Annotated[float, Field(ge=0)]] = Field(
        {"sigmoid": 1.0}, description="TRL DPO losses by name, with weights"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Of the losses robust, exo_pair (there > 0), aot"
    )
    margin_offset: float = Field(
        0.0, ge=0, description="Of the loss sigmoid: by how much the chosen reward is to be higher"
    )
    pair_weight: PairWeightConfig = PairWeightConfig()
    dual_clip: DualClipConfig = DualClipConfig()
    sft_weight: float = Field(0.0, ge=0, description="gamma of the auxiliary SFT term")
    reference: Literal["initial", "previous", "average"] = Field(
        "previous",
        description="The base policy, the policy at the start of the round, or a moving average",
    )
    average_decay: float = Field(
        0.5, gt=0, lt=1, description="Weight of the average so far when a policy joins it"
    )
    replay: Literal["none", "all", "share"] = Field(
        "none", description="Also train on earlier rounds' pairs: all, or a random share"
    )
    replay_share: float = Field(
        0.5, gt=0, lt=1, description="Of replay share: earlier pairs among all, where there are"
    )
    adapter: AdapterConfig = AdapterConfig()

    def loss_error(self) -> str | None:
        """What is wrong with the losses and their settings, in one line; None: nothing."""
        names = set(self.losses)
        if not (any(self.losses.values()) or self.sft_weight):
            return "policy.losses: no loss has a weight above 0; give one, as sigmoid: 1.0"
        used = {"pair_weight": self.pair_weight.form != "none", "margin_offset": self.margin_offset}
        for field, value in used.items():
            if value and not (names and names <= WEIGHTED):
                return f"policy.{field}: goes with the losses sigmoid and dual_clip only; use these"
        if self.margin_offset and "sigmoid" not in names:
            return "policy.margin_offset: only the loss sigmoid has it; set it to 0"
        if self.pair_weight.form == "linear" and not self.pair_weight.beta_2:
            return "policy.pair_weight.beta_2: every linear weight would be 0; give more than 0"
        if "exo_pair" in names and not self.label_smoothing:
            return "policy.label_smoothing: exo_pair needs it above 0, such as 0.001"
        if self.label_smoothing and not names & SMOOTHED:
            return f"policy.label_smoothing: only {', '.join(sorted(SMOOTHED))} use it; set it to 0"
        return None
