"""Divergences of a policy from a teacher of which the K most likely tokens are kept.

Both distributions are over K + 1 buckets: the teacher's K tokens, and one for all the rest. KL over
buckets is at most KL over tokens, and equal to it where nothing is left for the rest. Without that
bucket the policy's mass outside of the K would be nobody's, and would be free.

Formulas: GKD (Agarwal et al. 2024, arXiv 2306.13649, section 2 and equation 1). The bucket of the
rest is this project's choice; it is also how DCKD's released code reads its 51 buckets.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from data.recipes.distillation import DistillLosses, JsdLoss
from data.recipes.losses import Loss

Tensor = torch.Tensor

_LEAST = -80.0  # nats; of a bucket that float32 cannot tell from nothing


def policy_buckets(logits: Tensor, top_ids: Tensor) -> Tensor:
    """Log-probabilities of the buckets, (positions, K + 1), or K where the K are the vocabulary.

    Args:
        logits: (positions, vocabulary), float32, over the temperature.
        top_ids: (positions, K), the teacher's tokens, each once.
    """
    total = logits.logsumexp(1, keepdim=True)
    kept = logits.gather(1, top_ids) - total
    if top_ids.shape[1] == logits.shape[1]:
        return kept
    # Summed up, not one less the others: that would be all rounding, and so its gradient, where
    # the policy is as sure as the teacher.
    rest = logits.scatter(1, top_ids, -torch.inf).logsumexp(1, keepdim=True) - total
    return torch.cat([kept, rest], dim=1)


def teacher_buckets(top_logps: Tensor, rest: Tensor, whole: bool) -> Tensor:
    """The same of the teacher, which sum to one although they were kept in half precision.

    Args:
        top_logps: (positions, K), nats.
        rest: (positions,), the probability of all others.
        whole: The K are the vocabulary, so that there is no bucket for the rest.
    """
    kept = top_logps.float().log_softmax(1)
    if whole:
        return kept
    rest = rest.float()[:, None]
    return torch.cat([kept + torch.log1p(-rest), rest.log().clamp(min=_LEAST)], dim=1)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) in nats at each position, of log-probabilities (positions, buckets)."""
    return (p.exp() * (p - q)).sum(1)


def forward_kl(teacher: Tensor, policy: Tensor, config: Loss) -> Tensor:
    """KL(teacher || policy): whatever the teacher may say the policy may say too."""
    return kl(teacher, policy)


def reverse_kl(teacher: Tensor, policy: Tensor, config: Loss) -> Tensor:
    """KL(policy || teacher): the policy says nothing that the teacher would not say."""
    return kl(policy, teacher)


def jsd(teacher: Tensor, policy: Tensor, config: JsdLoss) -> Tensor:
    """beta KL(teacher || m) + (1 - beta) KL(policy || m), m = beta teacher + (1 - beta) policy."""
    share = torch.tensor(config.beta, dtype=policy.dtype, device=policy.device)
    mixture = torch.logaddexp(teacher + share.log(), policy + torch.log1p(-share))
    return config.beta * kl(teacher, mixture) + (1 - config.beta) * kl(policy, mixture)


# Of log-probabilities of the buckets of teacher and policy, and the loss's settings.
DIVERGENCES: dict[str, Callable[[Tensor, Tensor, Any], Tensor]] = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jsd": jsd,
}


def losses_of(
    logits: Tensor,
    tokens: Tensor,
    targets: Mapping[str, Tensor],
    losses: DistillLosses,
    temperature: float,
) -> tuple[dict[str, Tensor], Tensor]:
    """Every loss that is named, unweighted, and the policy's probability of the K tokens: each a
    value for each position, (positions,). There is no factor of the squared temperature.

    Args:
        logits: (positions, vocabulary), float32, of the policy.
        tokens: (positions,), the tokens that follow.
        targets: top_ids (positions, K), top_logps (positions, K) and rest (positions,).
    """
    found: dict[str, Tensor] = {}
    policy = policy_buckets(logits / temperature, targets["top_ids"])
    k = targets["top_ids"].shape[1]
    teacher = teacher_buckets(targets["top_logps"], targets["rest"], k == logits.shape[1])
    for name, config in losses.by_name.items():
        if name == "sft":
            found[name] = logits.logsumexp(1) - logits.gather(1, tokens[:, None])[:, 0]
        else:
            found[name] = DIVERGENCES[name](teacher, policy, config)
    return found, policy.detach()[:, :k].exp().sum(1)
