"""Training of reward models: TRL's RewardTrainer with a Bradley-Terry or a margin ranking loss.

A reward model is a sequence classifier with one label on any backbone. It reads the template's
full rendering of a conversation; a decoder's score is taken at its last token that is not padding.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from datasets import Dataset
from transformers import PreTrainedModel, set_seed
from trl import RewardConfig, RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

from data.errors import InputError, TrainingError
from data.recipes.losses import BRADLEY_TERRY, BradleyTerry, MarginRanking
from data.recipes.recipe import AdapterConfig, RuntimeConfig, TrainConfig
from models.batching import LengthGroups, Parts, Row
from models.chat import Tokenizer, render_conversations
from models.checkpoints import readable_length
from models.hardware import device_of, stored_dtype, training_dtype
from models.loading import load_reward_model
from models.silence import quiet
from models.text_pairs import load_reader, with_segments
from models.training.adapters import reward_adapter, save_and_merge
from models.training.launch import trained
from models.training.padding import with_safe_padding
from models.training.trackers import Tracking
from models.training.trainers import (
    OnProgress,
    PartsTrainer,
    arguments,
    check_finite,
    input_errors,
    remove_dropout,
    require_rows,
    run,
    save_model,
)
from models.training.work import Work

_CANARIES = 8  # pairs whose scores must survive saving


class _BradleyTerry(PartsTrainer, RewardTrainer):
    """-log sigmoid(chosen - rejected), as TRL has it."""


class _MarginRanking(_BradleyTerry):
    """max(0, margin - (chosen - rejected)): nothing is learnt from a pair that is far apart."""

    ranking_margin: float

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(**inputs, use_cache=False)
        chosen, rejected = outputs.logits.squeeze(-1).chunk(2)
        loss = margin_ranking_loss(chosen, rejected, self.ranking_margin).mean()
        metrics = self._metrics["train" if model.training else "eval"]
        margins = self.accelerator.gather((chosen - rejected).detach())
        metrics["accuracy"].append((margins > 0).float().mean().item())
        metrics["margin"].append(margins.mean().item())
        return (loss, outputs) if return_outputs else loss


def margin_ranking_loss(
    chosen: torch.Tensor, rejected: torch.Tensor, margin: float
) -> torch.Tensor:
    """Loss of each pair, shape of `chosen`, from scores (rewards, no unit)."""
    return torch.relu(margin - (chosen - rejected))


@quiet()
def train_reward_model(
    out: Path,
    *,
    model: Path | PreTrainedModel,
    tokenizer: Tokenizer,
    preferences: pa.Table,
    config: TrainConfig,
    loss: BradleyTerry | MarginRanking = BRADLEY_TERRY,
    adapter: AdapterConfig | None = None,
    runtime: RuntimeConfig,
    seed: int,
    on_progress: OnProgress | None = None,
    checkpoints: Path | None = None,
    tracking: Tracking | None = None,
) -> dict[str, Any]:
    """Train on PREFERENCES and save a plain model in `out`, its scores checked after reloading.

    Columns in: messages, chosen, rejected. With `adapter`, LoRA on the backbone while the head is
    trained whole; merged, and kept in `out/adapter`. A pair with a side longer than
    `config.max_length`, or than the model reads, is left out and counted in `too_long`. Returns
    steps, losses, accuracy (share of pairs in the right order as they were trained on, last epoch)
    and counts.

    Raises InputError unless the model has one label; TrainingError for a loss that is not finite
    or a saved model that scores or renders differently.
    """
    set_seed(seed)
    source = None if isinstance(model, PreTrainedModel) else model
    limit = readable_length(source, config.max_length) if source else config.max_length
    rows, too_long = tokenise_pairs(tokenizer, preferences, limit)
    require_rows(rows, too_long, "student.max_length")
    tokenizer = padding_tokenizer(tokenizer, rows)
    told: dict[str, Any] = {
        "loss": loss.model_dump(),
        "adapter": adapter.model_dump() if adapter else None,
    }
    if isinstance(model, PreTrainedModel):  # of no folder, so that no other process could read it
        stored = model.dtype
        trainer = _make_trainer(out, model, tokenizer, rows, config, loss, adapter, runtime, seed)
        meta = run(trainer, rows, config, runtime, on_progress, checkpoints, tracking, **told)
        check_finite(trainer.model, meta["steps"])
    else:
        stored = stored_dtype(model, runtime)
        given = {"model": model, "loss": loss, "adapter": adapter}
        job = Work(trainer_of, rows, config, runtime, seed, given, told, checkpoints, tracking)
        trainer, meta = trained(job, out, on_progress)
    canaries = canary_batch(rows, tokenizer)
    before, dtype = canary_scores(trainer.model, canaries), trainer.model.dtype
    plain = save_and_merge(trainer.model, out) if adapter else trainer.model
    save_model(plain, tokenizer, out, stored)
    check_saved(out, canaries, before, runtime, dtype)
    check_rendering(out, tokenizer, preferences.slice(0, _CANARIES), limit, runtime)
    return {**meta, "accuracy": meta["metrics"]["accuracy"], "too_long": too_long}


def tokenise_pairs(
    tokenizer: Tokenizer, preferences: pa.Table, max_length: int
) -> tuple[list[Row], int]:
    """Rows of chosen_ids and rejected_ids, and how many pairs were too long."""
    rows: list[Row] = []
    too_long = 0
    pairs = preferences.select(["messages", "chosen", "rejected"]).to_pylist()
    sides = (
        render_conversations(tokenizer, [(pair["messages"], pair[side]) for pair in pairs])
        for side in ("chosen", "rejected")
    )
    for chosen, rejected in zip(*sides, strict=True):
        if max(len(chosen), len(rejected)) > max_length:
            too_long += 1
        else:
            rows.append({"chosen_ids": chosen, "rejected_ids": rejected})
    return rows, too_long


def trainer_of(
    out: Path,
    rows: list[Row],
    *,
    model: Path,
    config: TrainConfig,
    loss: BradleyTerry | MarginRanking,
    adapter: AdapterConfig | None,
    runtime: RuntimeConfig,
    seed: int,
) -> PartsTrainer:
    """A trainer of the model in a folder, by what a process of its own can read."""
    set_seed(seed)
    tokenizer = padding_tokenizer(load_reader(model, runtime.trust_remote_code), rows)
    dtype = training_dtype(stored_dtype(model, runtime), runtime, frozen=adapter is not None)
    loaded = load_reward_model(model, dtype, runtime.trust_remote_code)
    return _make_trainer(out, loaded, tokenizer, rows, config, loss, adapter, runtime, seed)


def padding_tokenizer(tokenizer: Tokenizer, rows: list[Row]) -> Tokenizer:
    """The tokenizer with a padding token that ends none of the rows."""
    ends = {ids[-1] for row in rows for ids in (row["chosen_ids"], row["rejected_ids"])}
    return with_safe_padding(tokenizer, ends)


def _make_trainer(
    out: Path,
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    rows: list[Row],
    config: TrainConfig,
    loss: BradleyTerry | MarginRanking,
    adapter: AdapterConfig | None,
    runtime: RuntimeConfig,
    seed: int,
) -> PartsTrainer:
    if model.config.num_labels != 1:
        raise InputError(
            f"reward model: has {model.config.num_labels} labels, must have 1; "
            "load it with num_labels=1 and save it"
        )
    remove_dropout(model)
    kind = _MarginRanking if isinstance(loss, MarginRanking) else _BradleyTerry
    with input_errors("reward model"):
        trainer = kind(
            model=model,
            args=RewardConfig(
                **arguments(out, len(rows), config, runtime, seed), disable_dropout=False
            ),
            data_collator=Parts(
                partial(padded, tokenizer),
                runtime.train_micro_batch,
                lambda row: 1,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=reward_adapter(adapter, model) if adapter else None,
        )
    if isinstance(loss, MarginRanking):
        trainer.ranking_margin = loss.margin
    lengths = [max(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in rows]
    trainer.sampler = LengthGroups(lengths, config.batch_size, seed)
    return trainer


def canary_batch(rows: list[Row], tokenizer: Tokenizer) -> dict[str, torch.Tensor]:
    """The first pairs as one padded batch, so that padding is part of what is checked."""
    return padded(tokenizer, rows[:_CANARIES])


def padded(tokenizer: Tokenizer, rows: list[Row]) -> dict[str, torch.Tensor]:
    """The batch a model is given: all chosen conversations, then all rejected ones."""
    collate = DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id)
    return with_segments(tokenizer, collate(rows))


@torch.no_grad()
def canary_scores(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Scores of the batch, float32 on the CPU, without dropout."""
    model.eval()
    on_device = {name: tensor.to(model.device) for name, tensor in batch.items()}
    scores: torch.Tensor = model(**on_device).logits.squeeze(-1).float().cpu()
    return scores


def check_saved(
    out: Path,
    batch: dict[str, torch.Tensor],
    before: torch.Tensor,
    runtime: RuntimeConfig,
    dtype: torch.dtype = torch.float32,
) -> None:
    """TrainingError unless the model in `out` gives the scores it gave before it was saved.

    A head that was not saved is made up at random when loading, with only a warning (PEFT #577).
    """
    try:
        model: Any = load_reward_model(out, dtype, runtime.trust_remote_code)
    except InputError as error:
        raise TrainingError(f"the saved reward model cannot be loaded: {error}") from error
    after = canary_scores(model.to(device_of(runtime)), batch)
    exact = dtype == stored_dtype(out, runtime) == torch.float32
    tolerance = 1e-3 if exact else 5e-2
    if not torch.allclose(before, after, rtol=tolerance, atol=tolerance):
        raise TrainingError(
            f"the saved reward model scores differ by up to {(before - after).abs().max():.3g} "
            "from those before saving; train it again and keep the saved files as they are"
        )


def check_rendering(
    out: Path, tokenizer: Tokenizer, pairs: pa.Table, max_length: int, runtime: RuntimeConfig
) -> None:
    """TrainingError unless the tokenizer in `out` renders the pairs as they were trained on."""
    saved = load_reader(out, runtime.trust_remote_code)
    if tokenise_pairs(saved, pairs, max_length) != tokenise_pairs(tokenizer, pairs, max_length):
        raise TrainingError(
            "the saved reward model's tokenizer renders conversations differently from the one it "
            "was trained with; keep the saved chat template and tokenizer as they are"
        )
