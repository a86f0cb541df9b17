"""The fallback engine: a sampling loop over transformers' forward pass with a KV cache.

Every completion draws its uniform numbers from its own seed and picks tokens by the inverse of the
cumulative distribution, so its randomness does not depend on who shares its batch.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

from data.recipes.recipe import RuntimeConfig
from models.batching import length_batches, reading_budget, sampling_budget
from models.chat import load_tokenizer, stop_ids
from models.checkpoints import readable_length
from models.engines.base import (
    OnProgress,
    Output,
    Sampling,
    Served,
    canary_logprobs,
    check_lengths,
    hand_over,
    make_output,
    sample_seeds,
)
from models.hardware import device_of, dtype_of
from models.loading import check_samples, load_policy
from models.next_tokens import words_of
from models.templates import stop_marks

_LONGEST_MARK = 32  # tokens in which words that end an answer are looked for after each step


class TransformersEngine:
    """Slower than vLLM on a GPU; needs nothing that training does not need."""

    name = "transformers"

    def __init__(self, model_dir: Path, runtime: RuntimeConfig, max_model_len: int) -> None:
        self.version = version("transformers")
        self._runtime = runtime
        self._max_model_len = readable_length(model_dir, max_model_len)
        self._tokenizer = load_tokenizer(model_dir, runtime.trust_remote_code)
        self._marks = stop_marks(self._tokenizer)
        self._words = words_of(self._tokenizer)  # embeddings may be padded beyond
        self._model: PreTrainedModel | None = None
        # Told of every token as it is sampled: its row of the batch and its id.
        self.on_token: Callable[[int, int], None] | None = None
        self._read(Path(model_dir))
        self._served = Served(Path(model_dir), canary_logprobs(self, self._tokenizer))

    def load(self, model_dir: Path) -> None:
        self._served = hand_over(self, self._tokenizer, self._read, self._served, Path(model_dir))

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        seeds: Sequence[int],
        sampling: Sampling,
        on_progress: OnProgress | None = None,
    ) -> list[list[Output]]:
        lengths = [len(prompt) for prompt in prompts]
        check_lengths(lengths, self._max_model_len - 1)
        # A budget for one row of each prompt, so that all its samples share the prompt's pass.
        budget = max(1, sampling_budget(self._runtime) // sampling.k)
        outputs: list[list[Output]] = [[] for _ in prompts]
        done = 0
        widths = [n + sampling.max_tokens for n in lengths]
        # However much some are padded: every batch more reads all weights once a token.
        for rows in length_batches(widths, budget, most_padding=1.0):
            answers = self._sample(
                [prompts[row] for row in rows], [seeds[row] for row in rows], sampling
            )
            for row, samples in zip(rows, answers, strict=True):
                outputs[row] = [
                    make_output(self._tokenizer, ids, self._stop, self._marks) for ids in samples
                ]
            done += len(rows)
            if on_progress:
                on_progress(done, len(prompts))
        return outputs

    @torch.inference_mode()
    def logprobs(
        self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        pairs = list(zip(prompts, completions, strict=True))
        lengths = [len(prompt) + len(completion) for prompt, completion in pairs]
        check_lengths([len(prompt) for prompt in prompts], self._max_model_len - 1)
        check_lengths(lengths, self._max_model_len - 1, "sequence")
        model = self._awake()
        values: list[list[float]] = [[] for _ in pairs]
        for rows in length_batches(lengths, reading_budget(self._runtime)):
            ids, mask = _right_padded([[*pairs[row][0], *pairs[row][1]] for row in rows])
            ids, mask = ids.to(model.device), mask.to(model.device)
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
            chosen = logits[:, :-1].gather(2, ids[:, 1:, None])[..., 0]
            chosen = (chosen - logits[:, :-1].logsumexp(-1)).cpu()
            for i, row in enumerate(rows):
                values[row] = chosen[i, len(pairs[row][0]) - 1 : lengths[row] - 1].tolist()
        return values

    def sleep(self) -> None:
        if device_of(self._runtime).type == "cuda":
            self._model = None
            torch.cuda.empty_cache()

    def close(self) -> None:
        self._model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _read(self, model_dir: Path) -> None:
        self._model = None  # never two in memory
        model: Any = load_policy(
            model_dir, dtype_of(self._runtime), self._runtime.trust_remote_code
        )
        check_samples(model, model_dir)
        self._model = model.to(device_of(self._runtime)).eval()
        self._stop = stop_ids(self._tokenizer, model_dir)

    def _awake(self) -> PreTrainedModel:
        if self._model is None:
            self._read(self._served.model_dir)
        assert self._model is not None
        return self._model

    @torch.inference_mode()
    def _sample(
        self, prompts: list[Sequence[int]], seeds: list[int], sampling: Sampling
    ) -> list[list[list[int]]]:
        """`sampling.k` token id lists for each prompt; samples of prompt i are rows i*k to i*k+k-1.

        Rows that have ended are dropped from the batch when they are half of it.
        """
        model, k = self._awake(), sampling.k
        ids, mask = _left_padded(prompts)
        ids, mask = ids.to(model.device), mask.to(model.device)
        position = mask.sum(1, keepdim=True)  # of the next token
        cache = DynamicCache(config=model.config)
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            logits_to_keep=1,
        ).logits[:, -1]
        cache.batch_repeat_interleave(k)
        logits, mask, position = (x.repeat_interleave(k, dim=0) for x in (logits, mask, position))
        room = (self._max_model_len - position).clamp(max=sampling.max_tokens)
        steps = int(room.max())
        uniform = _uniform(seeds, k, steps).to(model.device)
        stop = torch.tensor(self._stop, device=model.device)
        rows = torch.arange(len(prompts) * k, device=model.device)
        tokens = torch.full((len(rows), steps), -1, device=model.device)
        running = torch.ones_like(rows, dtype=torch.bool)
        for step in range(steps):
            token = pick(logits[:, : self._words].float(), uniform[rows, step], sampling)
            tokens[rows[running], step] = token[running]
            if self.on_token:
                for row, sampled in zip(
                    rows[running].tolist(), token[running].tolist(), strict=True
                ):
                    self.on_token(row, sampled)
            running &= ~torch.isin(token, stop) & (step + 1 < room[rows, 0])
            if self._marks:
                recent = tokens[rows[running], max(0, step + 1 - _LONGEST_MARK) : step + 1]
                running[running.clone()] = ~self._ended(recent)
            if not running.any():
                break
            if running.sum() * 2 <= len(running):
                keep = running.nonzero()[:, 0]
                cache.batch_select_indices(keep)
                rows, token, mask, position = rows[keep], token[keep], mask[keep], position[keep]
                running = running[keep]
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
            logits = model(
                input_ids=token[:, None],
                attention_mask=mask,
                position_ids=position,
                past_key_values=cache,
            ).logits[:, -1]
            position = position + 1
        answers = [[t for t in row if t >= 0] for row in tokens.tolist()]
        return [answers[i : i + k] for i in range(0, len(answers), k)]

    def _ended(self, recent: torch.Tensor) -> torch.Tensor:
        """Which rows of token ids (rows, tokens) hold words that end an answer."""
        texts = self._tokenizer.batch_decode(recent.tolist())
        ended = [any(mark in text for mark in self._marks) for text in texts]
        return torch.tensor(ended, dtype=torch.bool, device=recent.device)


def pick(logits: torch.Tensor, uniform: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """One token id for each row of `logits` (rows, vocabulary), by inverse CDF at `uniform`.

    With top_p, the smallest set of most likely tokens that reaches it is sampled from
    (Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration").
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = (logits / sampling.temperature).softmax(dim=-1)
    order = None
    if sampling.top_p < 1:
        probabilities, order = probabilities.sort(dim=-1, descending=True, stable=True)
        before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill(before >= sampling.top_p, 0.0)
    cumulative = probabilities.cumsum(dim=-1)
    # Scaled by the sum, which rounding keeps from being one, so that the last token is reachable
    # and no token of probability zero is.
    target = uniform[:, None] * cumulative[:, -1:]
    index = torch.searchsorted(cumulative, target, right=True).clamp(max=logits.shape[-1] - 1)
    return (index if order is None else order.gather(1, index))[:, 0]


def _uniform(seeds: list[int], k: int, steps: int) -> torch.Tensor:
    """Numbers in [0, 1) of shape (len(seeds) * k, steps), each row from its own sample's seed."""
    rows = [
        np.random.default_rng(sample_seed).random(steps, dtype=np.float32)
        for seed in seeds
        for sample_seed in sample_seeds(seed, k)
    ]
    return torch.from_numpy(np.stack(rows))


def _left_padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, mask) of shape (rows, longest): the last token of every row is in the last column."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def _right_padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(row) for row in rows)
    ids = torch.tensor([list(row) + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask
