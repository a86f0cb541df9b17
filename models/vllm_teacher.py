"""A teacher by vLLM: the log-probabilities of prompts, which answers are part of."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models.chat import load_tokenizer
from models.checkpoints import embedding_rows, readable_length, weight_shapes
from models.engines.base import OnProgress
from models.engines.vllm import start_vllm
from models.next_tokens import words_of
from models.teacher import Ids, Items, Targets, readable
from models.vllm_server import PromptServer


class VllmTeacher:
    """The model by vLLM, which is started for `k` tokens: by itself it gives 20 at most."""

    def __init__(self, model_dir: Path, runtime: RuntimeConfig, max_length: int, k: int) -> None:
        """`max_length`: of a prompt with its completion, in tokens."""
        self._tokenizer = load_tokenizer(model_dir, runtime.trust_remote_code)
        self._limit = readable_length(model_dir, max_length + 1) - 1  # it adds a token
        rows = embedding_rows(weight_shapes(model_dir, "teacher.model"))
        self._k = min(k, words_of(self._tokenizer, rows or k))
        self._child = start_vllm(
            model_dir, runtime, self._limit + 1, server=PromptServer, max_logprobs=self._k
        )

    def targets(
        self,
        items: Items,
        k: int,
        temperature: float,
        at: Sequence[Ids] | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Targets | None]:
        """As those of Teacher; the rest is one less the kept, to some 1e-6."""
        if at is not None or temperature != 1:
            raise InputError(
                "teacher.engine: vllm gives its most likely tokens at temperature 1 alone; use "
                "transformers"
            )
        pairs, places = readable(self._tokenizer, items, self._limit, words_of(self._tokenizer))
        found: list[Targets | None] = [None] * len(pairs)
        report = on_progress or (lambda done, total: None)
        sequences = [[*pairs[place][0], *pairs[place][1]] for place in places]
        k = min(k, self._k)
        made = self._child.call("top_logprobs", sequences, k, on_progress=report)
        for place, (flat_ids, flat) in zip(places, made, strict=True):
            answer = len(pairs[place][1])
            ids = np.array(flat_ids, np.int32).reshape(-1, 1 + k)[-answer:]
            logps = np.array(flat, np.float32).reshape(-1, 1 + k)[-answer:]
            rest = 1 - np.exp(logps[:, 1:].astype(np.float64)).sum(1)
            found[place] = Targets(
                token_ids=ids[:, 0],
                logps=logps[:, 0],
                rest=rest.clip(min=0).astype(np.float32),
                top_ids=ids[:, 1:],
                top_logps=logps[:, 1:],
            )
        return found

    def close(self) -> None:
        self._child.close()
