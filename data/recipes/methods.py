"""Sections of a recipe that fill a slot in another way than TS-Align does: OPTune's and TSO's.

What the papers say and what is this project's choice is in docs/method.md.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from data.recipes.config import Config, Times

# YAML has no tuples, and recipes are read strictly.
FROM_LIST = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
CELL_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class RefreshConfig(Config):
    """OPTune: the same prompts in every round, of which only a share is answered again."""

    share: float = Field(gt=0, le=1, description="rho: share of the prompts answered again")
    by: Literal["reward", "random"] = Field(
        "reward", description="Those with the lowest stored reward, or any, as a control"
    )
    reward: Literal["mean", "min", "max", "chosen"] = Field(
        "mean", description="What the reward of a prompt is, of its stored completions'"
    )
    baseline: Literal["none", "initial"] = Field(
        "none", description="initial: minus the mean reward of the first round's completions"
    )


class PairWeightConfig(Config):
    """OPTune's weighted DPO: a pair counts by its reward gap. Both forms are reconstructions."""

    form: Literal["none", "sigmoid", "linear"] = Field(
        "none", description="w = sigmoid(beta_2 * gap), or beta_2 * gap"
    )
    beta_2: float = Field(1.0, ge=0, description="Scale of the reward gap")
    normalize: bool = Field(False, description="Divide by the mean weight of the batch")


class DualClipConfig(Config):
    """TSO's dual-clip loss, for `policy.losses: {dual_clip: 1}`. All variants are reconstructions.

    Thresholds are in units of beta * (log pi - log pi_ref).
    """

    variant: Literal["one_sided", "two_sided", "pessimistic"] = "one_sided"
    chosen: float = Field(2.0, gt=0, description="c_w: the chosen reward counts up to this")
    rejected: float = Field(
        4.0, gt=0, description="c_l: the rejected reward counts down to minus it"
    )


class Place(Config):
    """Where a sampler stands in the model matrix; see data.matrix for the order."""

    name: str = Field(pattern=CELL_NAME, description="Names the sampler in pairs and counts")
    human: bool = Field(False, description="Recorded answers of people, above every model")
    family: str = Field("policy", description="Only cells of one family are compared")
    version: float = Field(
        0, description="Higher is newer; of 'policy', 0 is the newest and -1 a round earlier"
    )
    scale: float = Field(1, gt=0, description="Higher is larger, such as billions of parameters")


class CellConfig(Place):
    """One sampler of the model matrix: its place in it, and where its answers come from."""

    not_in_key = frozenset({"model", "path"})

    model: str | None = Field(
        None, description="'policy' (this run's), 'world-small', or a Hugging Face directory"
    )
    path: str | None = Field(None, description="Recorded answers: AlpacaEval outputs of one model")

    @property
    def source(self) -> str:
        """Where its answers come from: a model's name or a file."""
        return self.model or self.path or ""

    @model_validator(mode="after")
    def _one_source(self) -> "CellConfig":
        if self.human and self.model not in (None, "world"):
            raise ValueError(f"cell {self.name}: answers of people come from a path, or 'world'")
        if not self.human and self.model in ("world", "teacher", "fresh", "none"):
            raise ValueError(
                f"cell {self.name}: '{self.model}' is no sampler; name 'policy', 'world-small' or "
                "a Hugging Face directory"
            )
        if (self.model is None) == (self.path is None):
            raise ValueError(f"cell {self.name}: needs either a model or a path")
        if self.model == "policy" and (self.version > 0 or self.version % 1):
            raise ValueError(f"cell {self.name}: a version of the policy is 0, -1, -2, ...")
        return self


class CorrectionConfig(Config):
    """What a judge makes of the order that the matrix presumes (TSO's validity)."""

    not_in_key = frozenset({"judge"})

    judge: str = Field(
        "teacher",
        description="'teacher', 'none', or the directory of a language model that names the "
        "better of two answers; it is asked in both orders",
    )
    on_reversed: Literal["swap", "drop"] = Field(
        "swap", description="The judge prefers the presumed negative"
    )
    on_unsure: Literal["drop", "keep"] = Field(
        "drop", description="A tie, too small a margin, or a verdict that turns with the order"
    )


class MatrixConfig(Config):
    """TSO's model matrix: samplers, and which of their answers make a pair.

    A cell beats another of its family that is neither newer nor larger and not both equal; people
    beat all models.
    """

    not_in_key = frozenset({"cells", "correction"})

    cells: Annotated[tuple[CellConfig, ...], FROM_LIST] = Field(min_length=2)
    positives: Literal["maximal", "any", "human"] = Field(
        "maximal", description="Chosen from unbeaten cells, from any that beats another, or people"
    )
    axes: Annotated[tuple[Literal["version", "scale", "both", "human"], ...], FROM_LIST] = Field(
        ("version", "scale", "both", "human"), description="What chosen and rejected may differ in"
    )
    per_prompt: Times = Field(0, ge=0, description="Most pairs of a prompt, at random; 0: all")
    correction: CorrectionConfig = CorrectionConfig()

    @model_validator(mode="after")
    def _names(self) -> "MatrixConfig":
        names = [cell.name for cell in self.cells]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two cells are named {min(twice)}; give each its own name")
        return self
