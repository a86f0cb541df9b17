"""The losses a recipe may name, each with its settings; their functions: `models.training.losses`.

A loss is named by a key and given a weight, or its settings: `losses: {dual_clip: {weight: 1,
chosen: 3}, sigmoid: 0.5}`. A setting stands with the loss that uses it and nowhere else. What tells
the members of a union apart has no default, so that keys that leave defaults out still have it.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from data.recipes.config import AnyOf, Config


class Loss(Config):
    """One of TRL's DPO losses, without settings of its own."""

    sorts: ClassVar[bool] = False  # compares the pairs of a batch with each other
    weighted: ClassVar[bool] = False  # goes with `policy.pair_weight`

    weight: float = Field(1.0, ge=0, description="Weight of this loss in the sum")

    @model_validator(mode="before")
    @classmethod
    def _a_number_is_a_weight(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {"weight": value}
        if not isinstance(value, dict | Loss):
            got = f"{value!r}".lower() if isinstance(value, bool) else f"{value!r:.60}"
            raise ValueError(f"must be a number, or a mapping of its settings, got {got}")
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"type": "number", "minimum": 0}, handler(core_schema)]}


class SmoothedLoss(Loss):
    """One of TRL's losses that presume a share of wrong labels."""

    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Share of the labels presumed to be wrong"
    )


class SortingLoss(SmoothedLoss):
    sorts = True


class ExoPairLoss(Loss):
    label_smoothing: float = Field(
        gt=0, lt=0.5, description="Share of the labels presumed to be wrong, such as 0.001"
    )


class SigmoidLoss(Loss):
    """DPO's own loss."""

    weighted = True

    margin_offset: float = Field(
        0.0, ge=0, description="By how much the chosen reward is to be the higher one"
    )


class DualClipLoss(Loss):
    """TSO's dual-clip loss. All variants are reconstructions.

    Thresholds are in units of beta * (log pi - log pi_ref).
    """

    weighted = True

    variant: Literal["one_sided", "two_sided", "pessimistic"] = Field(
        "one_sided", description="What is clipped; docs/method.md has the formulas"
    )
    chosen: float = Field(2.0, gt=0, description="c_w: the chosen reward counts up to this")
    rejected: float = Field(
        4.0, gt=0, description="c_l: the rejected reward counts down to minus it"
    )


class ByName(Config):
    """Losses by name: those that a recipe does not name are None, and in no key."""

    @property
    def by_name(self) -> dict[str, Loss]:
        """Those the recipe names, in the order of the table."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: loss for name, loss in named.items() if loss is not None}

    @model_serializer(mode="wrap")
    def _named_alone(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: loss for name, loss in handler(self).items() if loss is not None}


class Losses(ByName):
    """The losses of a policy's training by name: TRL's DPO losses, and this project's dual_clip."""

    sigmoid: SigmoidLoss | None = Field(None, description="DPO")
    hinge: Loss | None = None
    ipo: Loss | None = None
    exo_pair: ExoPairLoss | None = None
    robust: SmoothedLoss | None = None
    nca_pair: Loss | None = None
    bco_pair: Loss | None = None
    sppo_hard: Loss | None = None
    aot: SortingLoss | None = None
    aot_unpaired: SortingLoss | None = None
    apo_zero: Loss | None = None
    apo_down: Loss | None = None
    discopop: Loss | None = None
    sigmoid_norm: Loss | None = None
    dual_clip: DualClipLoss | None = Field(None, description="TSO")

    @property
    def label_smoothing(self) -> float:
        """Of the losses that have one; TRL knows one for all. 0: none has."""
        return max(self._smoothings(), default=0.0)

    def _smoothings(self) -> set[float]:
        losses = self.by_name.values()
        return {x.label_smoothing for x in losses if isinstance(x, SmoothedLoss | ExoPairLoss)}

    @model_validator(mode="after")
    def _one_smoothing(self) -> "Losses":
        if len(self._smoothings()) > 1:
            raise ValueError(
                "policy.losses: label_smoothing must be the same for all losses that have it"
            )
        return self


class NoWeight(Config):
    """Every pair counts the same."""

    form: Literal["none"]


class PairWeight(Config):
    """OPTune's weighted DPO: a pair counts by its reward gap. Both forms are reconstructions."""

    normalize: bool = Field(False, description="Divide by the mean weight of the batch")


class SigmoidWeight(PairWeight):
    """w = sigmoid(beta_2 * gap)."""

    form: Literal["sigmoid"]
    beta_2: float = Field(1.0, ge=0, description="Scale of the reward gap")


class LinearWeight(PairWeight):
    """w = beta_2 * gap, and 0 for a gap below 0."""

    form: Literal["linear"]
    beta_2: float = Field(1.0, gt=0, description="Scale of the reward gap")


PairWeightConfig = Annotated[
    NoWeight | SigmoidWeight | LinearWeight, Field(discriminator="form"), AnyOf()
]


class BradleyTerry(Config):
    """-log sigmoid of the difference of the rewards."""

    name: Literal["bradley_terry"]


class MarginRanking(Config):
    """max(0, margin - the difference of the rewards): nothing is learnt from pairs far apart."""

    name: Literal["margin_ranking"]
    margin: float = Field(1.0, gt=0, description="Difference at which a pair is far enough apart")


def _named(value: Any) -> Any:
    """A name alone stands for the loss with its own defaults."""
    return {"name": value} if isinstance(value, str) else value


BRADLEY_TERRY = BradleyTerry(name="bradley_terry")
RewardLoss = Annotated[
    BradleyTerry | MarginRanking, Field(discriminator="name"), AnyOf(), BeforeValidator(_named)
]
