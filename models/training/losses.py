"""Losses of preference pairs that TRL does not have: OPTune's weights, TSO's dual clip, an offset.

OWN has their functions by name; their settings, and all losses that a recipe may name, are in
`data.recipes.losses`. What is not in OWN is TRL's.

Rewards are implicit: beta * (log pi - log pi_ref), summed over a completion's tokens, no unit. Only
that OPTune multiplies DPO by a weight that grows with the reward gap, and that TSO clips both
rewards, is published; the formulas of both are a reconstruction (docs/method.md).
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from data.recipes.losses import (
    DualClipLoss,
    LinearWeight,
    Losses,
    PairWeight,
    SigmoidLoss,
    SigmoidWeight,
)

Tensor = torch.Tensor


def pair_weights(gap: Tensor, config: PairWeight) -> Tensor:
    """Weights of all pairs of a batch, of the shape of `gap`: the judge's reward gaps, in its unit.

    sigmoid: w = sigmoid(beta_2 gap). linear: w = beta_2 gap, and 0 for a gap below 0. With
    `normalize` they are divided by their mean, unless all are 0. OPTune, both a reconstruction.
    """
    weights = _FORMS[type(config)](gap, config)
    if config.normalize and weights.any():
        weights = weights / weights.mean()
    return weights


_FORMS: dict[type[PairWeight], Callable[[Tensor, Any], Tensor]] = {
    SigmoidWeight: lambda gap, config: torch.sigmoid(config.beta_2 * gap),
    LinearWeight: lambda gap, config: config.beta_2 * gap.clamp(min=0),
}


def offset_sigmoid(h: Tensor, beta: float, offset: float) -> Tensor:
    """-log sigmoid(beta h - offset) per pair; `h`: difference of the log-ratios, in nats.

    DPO with a constant offset: of none of the three papers, nor a reconstruction of one. Offset 0
    is DPO.
    """
    return -F.logsigmoid(beta * h - offset)


def dual_clip_loss(chosen: Tensor, rejected: Tensor, config: DualClipLoss) -> Tensor:
    """-log sigmoid(margin) per pair of rewards, the margin clipped. TSO, all a reconstruction.

    one_sided:   min(r_w, c_w) - max(r_l, -c_l).
    two_sided:   r_w within [-c_w, c_w] minus r_l within [-c_l, c_l]. A chosen reward that has
                 fallen below -c_w has no gradient that would raise it again.
    pessimistic: the larger loss, of two_sided and of DPO. (Of one_sided and of DPO the larger is
                 always one_sided.)
    """
    return -F.logsigmoid(_margin(chosen, rejected, config))


def clipped(chosen: Tensor, rejected: Tensor, config: DualClipLoss) -> tuple[Tensor, Tensor]:
    """Which chosen, which rejected rewards are clipped, so have no gradient: two boolean masks."""
    if config.variant == "one_sided":
        return chosen > config.chosen, rejected < -config.rejected
    outside = chosen.abs() > config.chosen, rejected.abs() > config.rejected
    if config.variant == "two_sided":
        return outside
    worse = _two_sided(chosen, rejected, config) < chosen - rejected
    return outside[0] & worse, outside[1] & worse


def _margin(chosen: Tensor, rejected: Tensor, config: DualClipLoss) -> Tensor:
    if config.variant == "one_sided":
        return chosen.clamp(max=config.chosen) - rejected.clamp(min=-config.rejected)
    two_sided, plain = _two_sided(chosen, rejected, config), chosen - rejected
    if config.variant == "two_sided":
        return two_sided
    # Not torch.minimum: it halves the gradients where both are equal.
    return torch.where(two_sided < plain, two_sided, plain)


def _two_sided(chosen: Tensor, rejected: Tensor, config: DualClipLoss) -> Tensor:
    return chosen.clamp(-config.chosen, config.chosen) - rejected.clamp(
        -config.rejected, config.rejected
    )


def _sigmoid(chosen: Tensor, rejected: Tensor, beta: float, config: SigmoidLoss) -> Tensor:
    return offset_sigmoid(chosen - rejected, beta, config.margin_offset)


def _dual_clip(chosen: Tensor, rejected: Tensor, beta: float, config: DualClipLoss) -> Tensor:
    return dual_clip_loss(beta * chosen, beta * rejected, config)


# Losses of each pair, of its log-ratios log pi - log pi_ref (chosen, rejected; in nats), beta and
# the loss's settings.
OWN: dict[str, Callable[[Tensor, Tensor, float, Any], Tensor]] = {
    "sigmoid": _sigmoid,
    "dual_clip": _dual_clip,
}


def own_losses(losses: Losses, weighted: bool) -> set[str]:
    """Names of the recipe's losses that are not left to TRL: its sigmoid knows no weights of pairs
    and no offset."""
    offset = losses.sigmoid is not None and losses.sigmoid.margin_offset > 0
    own = OWN.keys() if weighted or offset else OWN.keys() - {"sigmoid"}
    return set(losses.by_name) & own
