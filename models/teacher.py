"""A language model that teaches: its most likely next tokens at every position of an answer.

Its distribution is the plain softmax of its logits over a temperature, without top-p, penalties
or anything else that a sampler does ("raw" log-probabilities), over the tokens that a text can
have. Of what is not among the most likely there is one number, the probability of all the rest.

This is the teacher by transformers; `models.teacher_engines` opens one by what a recipe asks for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data.errors import TrainingError
from data.recipes.recipe import RuntimeConfig
from models.batching import length_batches, reading_budget
from models.chat import Completion, Messages, Tokenizer, load_tokenizer, token_ids
from models.checkpoints import context_length
from models.hardware import device_of, dtype_of
from models.isolation import Child
from models.loading import load_policy
from models.next_tokens import BATCH_TOKENS, Pair, next_logits, padded, words_of
from models.silence import quiet
from models.training.trainers import OnProgress

_AT_A_TIME = 1024  # positions whose logits are sorted at once

Items = Sequence[tuple[Messages, Completion]]
Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Targets:
    """The teacher's view of one completion of T tokens."""

    token_ids: Ids  # (T,)
    logps: Floats  # (T,) of these tokens, nats
    rest: Floats  # (T,) probability of the tokens that are not kept; 0 where all are
    top_ids: Ids  # (T, k), the most likely first
    top_logps: Floats  # (T, k), nats


class Teacher:
    """The model by transformers, in this process."""

    @quiet()
    def __init__(self, model_dir: Path, runtime: RuntimeConfig) -> None:
        """Raises InputError for a folder that is not in order."""
        folder, trusted = Path(model_dir), runtime.trust_remote_code
        self._budget = min(reading_budget(runtime), BATCH_TOKENS)
        self._tokenizer = load_tokenizer(folder, trusted)
        self._limit = context_length(folder) or np.inf
        model: Any = load_policy(folder, dtype_of(runtime), trusted)
        self._model = model.to(device_of(runtime)).eval()
        self._words = words_of(self._tokenizer, model.get_output_embeddings().weight.shape[0])

    @quiet()
    def targets(
        self,
        items: Items,
        k: int,
        temperature: float,
        at: Sequence[Ids] | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Targets | None]:
        """Of every completion, in order; None for one that is empty, longer than the teacher reads,
        or has an id that is no token.

        With `at`, for each completion of T tokens the ids (T, k) of another teacher: its own
        probabilities of these, in place of those of its most likely tokens; None where one is no
        token.

        Raises TrainingError for a likelihood that is not finite.
        """
        pairs, places = readable(self._tokenizer, items, self._limit, self._words)
        if at is not None:  # vLLM may have kept what embeddings are padded with
            known = [at[place].max(initial=-1) < self._words for place in places]
            places = places[np.array(known, bool)]
        lengths = np.array([len(prompt) + len(answer) for prompt, answer in pairs], np.int64)
        found: list[Targets | None] = [None] * len(pairs)
        done = 0
        for rows in length_batches(lengths[places].tolist(), self._budget):
            chosen = places[rows].tolist()
            ids = None if at is None else np.concatenate([at[place] for place in chosen])
            made = self._batch([pairs[place] for place in chosen], k, temperature, ids)
            for place, targets in zip(chosen, made, strict=True):
                found[place] = targets
            done += len(rows)
            if on_progress:
                on_progress(done, len(places))
        return found

    def close(self) -> None:
        self._model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _batch(
        self, pairs: list[Pair], k: int, temperature: float, at: Ids | None
    ) -> list[Targets]:
        batch = {name: x.to(self._model.device) for name, x in padded(pairs).items()}
        logits = next_logits(self._model, batch, self._words)
        tokens = torch.tensor([token for _, answer in pairs for token in answer])
        wanted = None if at is None else torch.from_numpy(at).long()
        made = [
            top_of(
                logits[start : start + _AT_A_TIME] / temperature,
                tokens[start : start + _AT_A_TIME],
                k,
                None if wanted is None else wanted[start : start + _AT_A_TIME],
            )
            for start in range(0, len(tokens), _AT_A_TIME)
        ]
        logps, rest, top_ids, top_logps = (np.concatenate(x) for x in zip(*made, strict=True))
        if not (np.isfinite(logps).all() and np.isfinite(top_logps).all()):
            raise TrainingError(
                "the teacher's log-probabilities are not finite; use runtime.dtype float32, or "
                "name another teacher"
            )
        ids = tokens.numpy().astype(np.int32)
        ends = np.cumsum([len(answer) for _, answer in pairs])[:-1]
        split = (np.split(x, ends) for x in (ids, logps, rest, top_ids, top_logps))
        return [Targets(*parts) for parts in zip(*split, strict=True)]


def top_of(
    logits: torch.Tensor, tokens: torch.Tensor, k: int, at: torch.Tensor | None = None
) -> tuple[Any, ...]:
    """Of logits (positions, vocabulary): log-probabilities of `tokens` (positions,), probability of
    all but the `k` most likely, ids and log-probabilities of these (positions, k); numpy.

    Args:
        at: Ids (positions, k) to take in place of the most likely.
    """
    total = logits.logsumexp(1, keepdim=True)
    ids = logits.topk(min(k, logits.shape[1]), dim=1).indices if at is None else at
    ids = ids.to(logits.device)
    values = logits.gather(1, ids)
    # Summed up, not one less the others, which is all rounding where they are nearly everything.
    rest = (logits.scatter(1, ids, -torch.inf).logsumexp(1, keepdim=True) - total).exp()
    own = logits.gather(1, tokens.to(logits.device)[:, None]) - total
    return (
        own[:, 0].cpu().numpy(),
        rest[:, 0].cpu().numpy(),
        ids.int().cpu().numpy(),
        (values - total).cpu().numpy(),
    )


class ChildTeacher:
    """The model by transformers, in a child process whose end gives a GPU's memory back."""

    def __init__(self, model_dir: Path, runtime: RuntimeConfig) -> None:
        self._child = Child(Teacher, model_dir, runtime)

    def targets(
        self,
        items: Items,
        k: int,
        temperature: float,
        at: Sequence[Ids] | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Targets | None]:
        found: list[Targets | None] = self._child.call(
            "targets", list(items), k, temperature, at, on_progress=on_progress
        )
        return found

    def close(self) -> None:
        self._child.close()


def readable(
    tokenizer: Tokenizer, items: Items, limit: float, words: int
) -> tuple[list[Pair], npt.NDArray[np.int64]]:
    """Token ids of all items, and the places of those that are read whole and not empty.

    Args:
        words: How many ids a text can have. What another model has sampled may hold others, as
            embeddings are often padded.
    """
    pairs = [token_ids(tokenizer, messages, text) for messages, text in items]
    fits = [
        0 <= max(answer, default=-1) < words and len(prompt) + len(answer) <= limit
        for prompt, answer in pairs
    ]
    return pairs, np.flatnonzero(np.array(fits, bool))
