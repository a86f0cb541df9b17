"""How far a policy has moved from where it started, from its answers alone. No torch here."""

from collections.abc import Sequence
from math import exp

import numpy as np
from numpy.typing import NDArray

Vector = Sequence[float] | NDArray[np.float64]


def distinct_2(completions: Sequence[str]) -> float:
    """Different bigrams of whitespace-separated words over all bigrams; 0 where there are none."""
    bigrams: set[tuple[str, str]] = set()
    total = 0
    for text in completions:
        words = text.split()
        bigrams.update(zip(words, words[1:], strict=False))
        total += max(0, len(words) - 1)
    return len(bigrams) / total if total else 0.0


def perplexity(logps: Vector, tokens: Sequence[int] | NDArray[np.int64]) -> float:
    """exp of the mean negative log-probability per token, over the tokens of all completions.

    Args:
        logps: Log-probability of each completion in nats, summed over its tokens.
        tokens: How many these are.
    """
    if len(logps) != len(tokens) or len(logps) == 0:
        raise ValueError("need as many lengths as completions, and at least one")
    return exp(-float(sum(logps)) / int(sum(tokens)))


def kl_estimate(policy_logps: Vector, base_logps: Vector) -> float:
    """Monte-Carlo estimate of KL(policy || base) per completion, in nats.

    The mean of log policy(y|x) - log base(y|x) over completions y that the policy sampled. An
    estimate: with few samples it can be slightly negative. Of the policy itself only if y was
    sampled at temperature 1 and top-p 1; otherwise of what the decoding makes of it.
    """
    if len(policy_logps) != len(base_logps) or len(policy_logps) == 0:
        raise ValueError("need the same completions under both models, and at least one")
    pairs = zip(policy_logps, base_logps, strict=True)
    return float(sum(policy - base for policy, base in pairs) / len(policy_logps))
