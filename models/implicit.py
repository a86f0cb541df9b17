"""A language model as a reward model: how likely it finds an answer, beside a reference or alone.

    reward(x, y) = beta * (log p(y | x) - log p_ref(y | x))

This is the implicit reward of a policy that direct preference optimisation has tuned (Rafailov et
al. 2023, equation 5, less a term that all answers to a prompt share). Without a reference it is
beta times the log-likelihood; `per_token` divides it by the number of the answer's tokens, which is
the reward of SimPO (Meng, Xia and Chen 2024, equation 4).

A folder of a causal language model is one by its file `implicit_reward.json`, which holds `beta`
and `per_token`; the reference, with the same vocabulary, is the folder `reference` in it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.recipes.recipe import RuntimeConfig
from models.batching import length_batches, reading_budget
from models.chat import load_tokenizer, token_ids
from models.checkpoints import readable_length
from models.finite import finite_rewards
from models.hardware import device_of, dtype_of
from models.loading import load_policy
from models.logps import batch_logps
from models.next_tokens import BATCH_TOKENS
from models.reward_files import REFERENCE, implicit_reward


class ImplicitScorer:
    """A `models.rewards.Scorer`: batches of similar length under `runtime.token_budget`."""

    def __init__(self, model_dir: Path, runtime: RuntimeConfig, max_length: int) -> None:
        """Raises InputError for a folder that is not in order."""
        folder, trusted = Path(model_dir), runtime.trust_remote_code
        self._settings = implicit_reward(folder)
        self._budget = min(reading_budget(runtime), BATCH_TOKENS)
        self._tokenizer = load_tokenizer(folder, trusted)
        parts = [folder, *(one for one in [folder / REFERENCE] if one.is_dir())]
        self._max_length = min(readable_length(part, max_length) for part in parts)
        models: list[Any] = [load_policy(part, dtype_of(runtime), trusted) for part in parts]
        self._models = [model.to(device_of(runtime)).eval() for model in models]

    def score(self, items: Any, on_progress: Any = None) -> np.ndarray:
        """Rewards of (messages, completion) pairs in nats times beta, shape (len(items),), float64.

        NaN for a conversation longer than the models' limit: nothing is ever cut. Raises
        TrainingError for a likelihood that is not finite.
        """
        pairs = [token_ids(self._tokenizer, messages, text) for messages, text in items]
        lengths = np.array([len(prompt) + len(answer) for prompt, answer in pairs], np.int64)
        places = np.flatnonzero(lengths <= self._max_length)
        rewards, done = np.full(len(pairs), np.nan), 0
        for rows in length_batches(lengths[places].tolist(), self._budget):
            batch = [pairs[place] for place in places[rows]]
            rewards[places[rows]] = finite_rewards(self._rewards(batch))
            done += len(rows)
            if on_progress:
                on_progress(done, len(places))
        return rewards

    def close(self) -> None:
        self._models = []
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _rewards(self, batch: list[tuple[list[int], list[int]]]) -> np.ndarray:
        own, *reference = (batch_logps(model, batch) for model in self._models)
        rewards = self._settings.beta * (own - sum(reference))
        if self._settings.per_token:
            rewards = rewards / np.array([len(answer) for _, answer in batch])
        return rewards
