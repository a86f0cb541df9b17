"""How far a policy is from a teacher on given answers, over the whole vocabulary."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data.errors import TrainingError
from data.recipes.recipe import RuntimeConfig
from models.batching import length_batches, reading_budget
from models.chat import Completion, Messages, load_tokenizer, token_ids
from models.checkpoints import context_length
from models.hardware import device_of, dtype_of
from models.loading import load_policy
from models.next_tokens import BATCH_TOKENS, Pair, next_logits, padded, words_of
from models.silence import quiet
from models.training.divergences import kl
from models.training.trainers import OnProgress

Floats = npt.NDArray[np.float64]


@quiet()
def token_divergences(
    teacher: Path,
    policy: Path,
    items: Sequence[tuple[Messages, Completion]],
    *,
    temperature: float,
    runtime: RuntimeConfig,
    on_progress: OnProgress | None = None,
    of_answers: bool = False,
) -> tuple[Floats, Floats]:
    """KL(teacher || policy) and KL(policy || teacher) in nats, of each item the mean over the
    tokens of its completion, or with `of_answers` their sum, shape (len(items),); NaN for what one
    of them cannot read whole.

    Each reads the prompt in its own chat template and the completion as the teacher's tokens. Both
    are in memory. Raises TrainingError for a value that is not finite.
    """
    trusted = runtime.trust_remote_code
    tokenizers = [load_tokenizer(one, trusted) for one in (teacher, policy)]
    models: list[Any] = [
        load_policy(one, dtype_of(runtime), trusted).to(device_of(runtime)).eval()
        for one in (teacher, policy)
    ]
    read = [token_ids(tokenizers[0], messages, text) for messages, text in items]
    answers = [answer for _, answer in read]
    prompts = [token_ids(tokenizers[1], messages, [])[0] for messages, _ in items]
    pairs = [read, list(zip(prompts, answers, strict=True))]
    lengths = np.array([[len(p) + len(a) for p, a in side] for side in pairs], np.int64)
    limits = [context_length(one) or np.inf for one in (teacher, policy)]
    rows_of = [one.get_output_embeddings().weight.shape[0] for one in models]
    words = min(words_of(one, n) for one, n in zip(tokenizers, rows_of, strict=True))
    fits = (lengths <= np.array(limits)[:, None]).all(0)
    fits &= np.array([0 <= max(answer, default=-1) < words for answer in answers], bool)
    places, longest = np.flatnonzero(fits), lengths.max(0, initial=0)
    found, done = np.full((2, len(items)), np.nan), 0
    budget = min(reading_budget(runtime), BATCH_TOKENS)
    for rows in length_batches(longest[places].tolist(), budget):
        chosen = places[rows]
        sides = [[side[place] for place in chosen] for side in pairs]
        parts = _by_token(models, sides, temperature, words)
        found[:, chosen] = np.stack([x.sum(1) if of_answers else x.mean(1) for x in parts], axis=1)
        done += len(rows)
        if on_progress:
            on_progress(done, len(places))
    if not np.isfinite(found[:, places]).all():
        raise TrainingError(
            "the distance of policy and teacher is not finite; use runtime.dtype float32"
        )
    return found[0], found[1]


@torch.inference_mode()
def _by_token(
    models: list[Any], sides: list[list[Pair]], temperature: float, words: int
) -> list[Floats]:
    """Both divergences at every token of each pair of a batch, shape (2, tokens) each."""
    logps = []
    for model, pairs in zip(models, sides, strict=True):
        batch = {name: x.to(model.device) for name, x in padded(pairs).items()}
        logps.append((next_logits(model, batch, words) / temperature).log_softmax(1))
    p, q = logps
    ends = np.cumsum([len(answer) for _, answer in sides[0]])[:-1]
    values = torch.stack([kl(p, q), kl(q, p)]).double().cpu().numpy()
    return np.split(values, ends, axis=1)
