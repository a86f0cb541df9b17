"""Summed log-probabilities of completions under a policy: what DPO compares with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from data.errors import InputError, TrainingError
from data.recipes.recipe import RuntimeConfig
from models.batching import length_batches, reading_budget
from models.chat import Completion, Messages, load_tokenizer, token_ids
from models.checkpoints import context_length
from models.hardware import device_of, dtype_of
from models.loading import load_policy, load_policy_in_4_bits
from models.next_tokens import BATCH_TOKENS, Pair, next_logits, padded
from models.silence import quiet
from models.training.trainers import OnProgress


@quiet()
def sequence_logps(
    model_dir: Path,
    items: Sequence[tuple[Messages, Completion]],
    *,
    max_length: int | None = None,
    runtime: RuntimeConfig,
    on_progress: OnProgress | None = None,
    in_4_bits: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """(log-probability in nats summed over the completion's tokens, number of those tokens).

    Both of shape (len(items),), float64 and int64. The end-of-turn token counts as a token of the
    completion. Nothing is ever cut: InputError for an item longer than `max_length`, where given;
    NaN for one that is longer than the model reads. TrainingError for a log-probability that is
    not finite.
    """
    tokenizer = load_tokenizer(model_dir, runtime.trust_remote_code)
    pairs = [token_ids(tokenizer, messages, completion) for messages, completion in items]
    lengths = [len(prompt) + len(completion) for prompt, completion in pairs]
    if max_length is not None and max(lengths, default=0) > max_length:
        row = next(i for i, length in enumerate(lengths) if length > max_length)
        raise InputError(
            f"item {row} has {lengths[row]} tokens, max_length is {max_length}; "
            "raise max_length or drop the item"
        )
    device = device_of(runtime)
    dtype, trusted = dtype_of(runtime), runtime.trust_remote_code
    model: Any
    if in_4_bits:
        model = load_policy_in_4_bits(model_dir, dtype, device, trusted).eval()
    else:
        model = load_policy(model_dir, dtype, trusted).to(device).eval()
    sums = np.full(len(pairs), np.nan)
    readable = np.array(lengths, np.int64) <= (context_length(model_dir) or np.inf)
    places, done = np.flatnonzero(readable), 0
    budget = min(reading_budget(runtime), BATCH_TOKENS)
    for rows in length_batches([lengths[place] for place in places], budget):
        sums[places[rows]] = batch_logps(model, [pairs[place] for place in places[rows]])
        done += len(rows)
        if on_progress:
            on_progress(done, len(places))
    if not np.isfinite(sums[readable]).all():
        raise TrainingError(
            "the policy's log-probabilities are not finite; it was trained to pieces: lower "
            "policy.learning_rate, or use runtime.dtype float32"
        )
    return sums, np.array([len(completion) for _, completion in pairs], np.int64)


@torch.inference_mode()
def batch_logps(model: PreTrainedModel, pairs: list[Pair]) -> np.ndarray:
    """Summed completion log-probabilities of (prompt_ids, completion_ids), shape (len(pairs),)."""
    batch = {name: x.to(model.device) for name, x in padded(pairs).items()}
    logits = next_logits(model, batch)
    targets = batch["input_ids"].roll(-1, dims=1)[batch["predicts"]]
    logps = logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(dim=1)
    row_of = batch["predicts"].nonzero()[:, 0]
    sums = torch.zeros(len(pairs), dtype=torch.float64)
    return sums.index_add_(0, row_of.cpu(), logps.double().cpu()).numpy()
