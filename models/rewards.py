"""Reward models: sequence classifiers with one label on any backbone, encoder or decoder.

A language model that rewards by its likelihood is in `models.implicit`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from models.batching import length_batches, reading_budget
from models.chat import Messages, render_conversations
from models.checkpoints import readable_length
from models.finite import finite_rewards
from models.hardware import device_of, dtype_of
from models.isolation import Child
from models.loading import load_reward_model
from models.reward_files import check_reward_model, is_implicit
from models.text_pairs import load_reader, reads_segments, with_segments

OnProgress = Callable[[int, int], None]
Items = Sequence[tuple[Messages, str]]


class Scorer(Protocol):
    """A loaded reward model."""

    def score(self, items: Items, on_progress: OnProgress | None = None) -> np.ndarray:
        """Raw rewards of (messages, completion) pairs, shape (len(items),), float64.

        NaN for a conversation longer than the model's limit: nothing is ever cut.
        """

    def close(self) -> None:
        """Free what the model holds. Idempotent."""


def load_scorer(
    model_dir: Path,
    runtime: RuntimeConfig,
    max_length: int,
    backend: Literal["transformers", "vllm"] = "transformers",
    field: str = "model",
) -> Scorer:
    """A reward model ready to score conversations of at most `max_length` tokens.

    Raises:
        InputError: not a reward model, see `check_reward_model`.
    """
    check_reward_model(model_dir, field)
    if is_implicit(model_dir):
        from models.implicit import ImplicitScorer

        return ImplicitScorer(Path(model_dir), runtime, max_length)
    kind = VllmScorer if backend == "vllm" else TransformersScorer
    return kind(Path(model_dir), runtime, max_length)


def open_scorer(model_dir: Path, runtime: RuntimeConfig, max_length: int, device: str) -> Scorer:
    """As `load_scorer`; on "cuda" in a child process, whose end gives all memory back."""
    if device != "cuda":
        return load_scorer(model_dir, runtime, max_length)
    return ChildScorer(model_dir, runtime, max_length)


class ChildScorer:
    """A scorer in a child process of its own."""

    def __init__(self, model_dir: Path, runtime: RuntimeConfig, max_length: int) -> None:
        self._child = Child(load_scorer, model_dir, runtime, max_length)

    def score(self, items: Items, on_progress: OnProgress | None = None) -> np.ndarray:
        rewards: np.ndarray = self._child.call("score", list(items), on_progress=on_progress)
        return rewards

    def close(self) -> None:
        self._child.close()


class TransformersScorer:
    """Batches of similar length under `runtime.token_budget`, padded on the right."""

    def __init__(self, model_dir: Path, runtime: RuntimeConfig, max_length: int) -> None:
        self._runtime = runtime
        self._tokenizer = load_reader(model_dir, runtime.trust_remote_code)
        self._max_length = readable_length(model_dir, max_length)
        model: Any = load_reward_model(model_dir, dtype_of(runtime), runtime.trust_remote_code)
        self._model = model.to(device_of(runtime)).eval()

    @torch.inference_mode()
    def score(self, items: Items, on_progress: OnProgress | None = None) -> np.ndarray:
        sequences, places = _render(self._tokenizer, items, self._max_length)
        rewards = np.full(len(items), np.nan)
        done = 0
        lengths = [len(ids) for ids in sequences]
        for rows in length_batches(lengths, reading_budget(self._runtime)):
            rewards[places[rows]] = self._batch([sequences[row] for row in rows])
            done += len(rows)
            if on_progress:
                on_progress(done, len(sequences))
        return rewards

    def close(self) -> None:
        self._model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _batch(self, sequences: list[list[int]]) -> np.ndarray:
        width = max(len(ids) for ids in sequences)
        text_config = self._model.config.get_text_config()
        # Decoders read the last token that is not `pad_token_id`: where that is also EOS they would
        # read the token before the end, so pad with something no sequence ends with.
        text_config.pad_token_id = _padding(text_config.pad_token_id, {s[-1] for s in sequences})
        ids = torch.full((len(sequences), width), text_config.pad_token_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, sequence in enumerate(sequences):
            ids[i, : len(sequence)] = torch.tensor(sequence)
            mask[i, : len(sequence)] = 1
        batch = with_segments(self._tokenizer, {"input_ids": ids, "attention_mask": mask})
        device = self._model.device
        logits = self._model(**{name: part.to(device) for name, part in batch.items()}).logits
        return finite_rewards(logits[:, 0].double().cpu().numpy())


class VllmScorer:
    """vLLM's pooling runner in a child process: faster than transformers on a GPU."""

    def __init__(self, model_dir: Path, runtime: RuntimeConfig, max_length: int) -> None:
        from models.engines.vllm import start_vllm

        self._tokenizer = load_reader(model_dir, runtime.trust_remote_code)
        if reads_segments(self._tokenizer):
            raise InputError("a reward model that reads token_type_ids needs transformers")
        self._max_length = readable_length(model_dir, max_length)
        self._child = start_vllm(
            model_dir,
            runtime,
            self._max_length,
            runner="pooling",
            skip_tokenizer_init=False,  # the pooling runner starts only with one
        )

    def score(self, items: Items, on_progress: OnProgress | None = None) -> np.ndarray:
        sequences, places = _render(self._tokenizer, items, self._max_length)
        rewards = np.full(len(items), np.nan)
        report = on_progress or (lambda done, total: None)
        scores = self._child.call("score", sequences, on_progress=report)
        rewards[places] = finite_rewards(np.array(scores, np.float64))
        return rewards

    def close(self) -> None:
        self._child.close()


def _padding(wanted: int | None, last_tokens: set[int]) -> int:
    if wanted is not None and wanted not in last_tokens:
        return wanted
    return next(i for i in range(len(last_tokens) + 1) if i not in last_tokens)


def _render(tokenizer: Any, items: Items, max_length: int) -> tuple[list[list[int]], np.ndarray]:
    """Token ids of the conversations that fit, and their places among the items."""
    sequences = render_conversations(tokenizer, items)
    fitting = [i for i, ids in enumerate(sequences) if len(ids) <= max_length]
    return [sequences[i] for i in fitting], np.array(fitting, np.int64)
