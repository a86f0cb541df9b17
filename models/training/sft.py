"""Supervised fine-tuning on demonstrations: TRL's SFTTrainer, loss on the completion only."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PreTrainedModel, set_seed
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig, TrainConfig
from models.batching import LengthGroups, Parts, Row
from models.chat import Messages, Tokenizer, render_completion
from models.hardware import stored_dtype
from models.loading import load_policy
from models.silence import quiet
from models.training.trackers import Tracking
from models.training.trainers import (
    OnProgress,
    PartsTrainer,
    arguments,
    check_finite,
    input_errors,
    require_rows,
    run,
    save_model,
)

_IGNORED = -100  # label of a token without loss


class TokensTrainer(PartsTrainer, SFTTrainer):
    """A trainer of whatever loss over rows of tokens."""


T = TypeVar("T", bound=TokensTrainer)


class _Trainer(TokensTrainer):
    def part_loss(self, model: Any, part: Any, row_share: float, token_share: float) -> Any:
        return self.compute_loss(model, part) * token_share


@quiet()
def train_sft(
    out: Path,
    *,
    model: Path | PreTrainedModel,
    tokenizer: Tokenizer,
    conversations: Sequence[Messages],
    config: TrainConfig,
    runtime: RuntimeConfig,
    seed: int,
    on_progress: OnProgress | None = None,
    checkpoints: Path | None = None,
    tracking: Tracking | None = None,
) -> dict[str, Any]:
    """Fine-tune on the last assistant turn of each conversation; save the model in `out`.

    The loss is the mean over the completion tokens of a batch, in nats. Returns steps, losses,
    counts (`rows`, `too_long`) and TRL's metrics. Raises InputError, TrainingError.
    """
    set_seed(seed)
    rows, too_long = tokenise_conversations(tokenizer, conversations, config.max_length)
    require_rows(rows, too_long, "max_length")
    source = None if isinstance(model, PreTrainedModel) else model
    if isinstance(model, PreTrainedModel):
        stored = model.dtype
    else:
        stored = stored_dtype(model, runtime)
        model = load_policy(model, torch.float32, runtime.trust_remote_code)
    with input_errors("sft"):
        trainer = sft_trainer(out, model, tokenizer, rows, config, runtime, seed)
    meta = run(trainer, rows, config, runtime, on_progress, checkpoints, tracking)
    check_finite(trainer.model, meta["steps"])
    save_model(trainer.model, tokenizer, out, stored, like=source)
    return {**meta, "too_long": too_long}


def sft_trainer(
    out: Path,
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    rows: list[Row],
    config: TrainConfig,
    runtime: RuntimeConfig,
    seed: int,
    adapter: LoraConfig | None = None,
) -> PartsTrainer:
    """A trainer of `model`, or of an adapter of it, on rows of tokens and labels."""
    collate = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id or 0)
    parts = Parts(collate, runtime.train_micro_batch, lambda row: row["n_tokens"])
    lengths = [len(row["input_ids"]) for row in rows]
    given = model, tokenizer, rows, lengths, parts, config, runtime, seed, adapter
    return trainer_over(_Trainer, out, *given)


def trainer_over(
    kind: type[T],
    out: Path,
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    rows: list[Row],
    lengths: list[int],
    parts: Parts,
    config: TrainConfig,
    runtime: RuntimeConfig,
    seed: int,
    adapter: LoraConfig | None,
) -> T:
    """TRL's trainer over rows that are tokens already; rows of like `lengths` share a batch."""
    trainer = kind(
        model=model,
        args=SFTConfig(
            **arguments(out, len(rows), config, runtime, seed),
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        data_collator=parts,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=adapter,
    )
    trainer.sampler = LengthGroups(lengths, config.batch_size, seed)
    return trainer


def row_of(prompt: list[int], completion: list[int]) -> Row:
    """Tokens, and labels that leave the prompt out."""
    return {
        "input_ids": prompt + completion,
        "labels": [_IGNORED] * len(prompt) + completion,
        "n_tokens": len(completion),
    }


def tokenise_conversations(
    tokenizer: Tokenizer, conversations: Sequence[Messages], max_length: int
) -> tuple[list[Row], int]:
    """Rows of input_ids and labels (-100 on the prompt), and how many were too long."""
    rows: list[Row] = []
    too_long = 0
    for number, messages in enumerate(conversations):
        if not messages or messages[-1]["role"] != "assistant":
            raise InputError(f"conversation {number}: must end with an assistant message")
        prompt, completion = render_completion(tokenizer, messages[:-1], messages[-1]["content"])
        if len(prompt) + len(completion) > max_length:
            too_long += 1
            continue
        rows.append(row_of(prompt, completion))
    return rows, too_long
