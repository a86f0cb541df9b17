"""How far two engines agree on one policy; point it at any model and prompts."""

from collections.abc import Sequence

import numpy as np

from models.engines.base import Engine, Sampling


def parity(
    left: Engine, right: Engine, prompts: Sequence[Sequence[int]], max_tokens: int = 24
) -> tuple[float, float]:
    """(share of identical greedy completions, largest difference of log-probabilities in nats).

    Log-probabilities are compared on the completions of `left`, token by token.
    """
    greedy = Sampling(k=1, temperature=0.0, top_p=1.0, max_tokens=max_tokens)
    seeds = [0] * len(prompts)
    ours, theirs = left.generate(prompts, seeds, greedy), right.generate(prompts, seeds, greedy)
    completions = [outputs[0].token_ids for outputs in ours]
    pairs = zip(
        left.logprobs(prompts, completions), right.logprobs(prompts, completions), strict=True
    )
    worst = max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs)
    return float(np.mean([a == b for a, b in zip(ours, theirs, strict=True)])), worst
