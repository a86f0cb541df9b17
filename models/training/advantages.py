"""The advantage of an aligned teacher over its reference, and what a policy may expect of it.

    A(a) = log pi_aligned(a | s) - log pi_ref(a | s),   a among the aligned teacher's K tokens,
    J = sum_a pi_theta(a | s) A(a),

0 for every other token. ADPA (arXiv 2502.17927) maximises J at the positions of the student's own
answers. A DPO model is read as an optimal soft Q-function, whose scaled log-ratio to its reference
is the advantage. `fill` and `clamp` are what the released code does beside the formula.
"""

from collections.abc import Mapping

import torch

from data.recipes.advantage import AdpaConfig

Tensor = torch.Tensor

_NEAR = 1e-8  # the released code keeps so far away from 0 and 1


def advantages(
    aligned: Mapping[str, Tensor], reference: Mapping[str, Tensor] | None, config: AdpaConfig
) -> Tensor:
    """A of the aligned teacher's K tokens at every position, (positions, K), nats.

    Args:
        aligned: top_ids and top_logps, (positions, K).
        reference: The same of the reference: with `exact` at the same ids, with `fill` its own most
            likely ones; None where the recipe takes nothing off.
    """
    found = aligned["top_logps"].float()
    if reference is not None:
        logps = reference["top_logps"].float()
        if config.reference == "fill":
            logps = filled(aligned["top_ids"], found, reference["top_ids"], logps)
        found = found - logps
    return found.clamp(_NEAR, 1 - _NEAR) if config.clamp else found


def filled(ids: Tensor, logps: Tensor, reference_ids: Tensor, reference_logps: Tensor) -> Tensor:
    """The reference's log-probabilities of `ids`, (positions, K), where it has kept them too; else
    the least of `logps`, the aligned teacher's, at that position."""
    same = ids[:, :, None] == reference_ids[:, None, :]
    known = torch.where(same, reference_logps[:, None, :], 0.0).sum(2)
    return torch.where(same.any(2), known, logps.min(1, keepdim=True).values)


def expected(policy: Tensor, advantage: Tensor) -> Tensor:
    """J at every position, (positions,), of the policy's log-probabilities of the K tokens."""
    return (policy.exp() * advantage).sum(1)
