"""Fine-tuning of a policy on answers that were picked from its own, with TRL's SFTTrainer.

    loss = -log pi(y|x), the mean over the tokens of the completions of a batch, in nats.

An answer is trained on as the tokens that were sampled, as DPO does it (models.training.dpo): a
detour through its text may give other tokens, and would end an answer that was cut off.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset
from transformers import set_seed
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from data.errors import InputError
from data.recipes.fine_tuning import FineTuneConfig
from data.recipes.recipe import RuntimeConfig
from data.tables import as_sampled
from models.batching import LengthGroups, Parts, Row
from models.chat import Tokenizer, load_tokenizer, token_ids
from models.checkpoints import readable_length
from models.hardware import stored_dtype, training_dtype
from models.loading import load_policy
from models.silence import quiet
from models.training.adapters import policy_adapter, save_and_merge
from models.training.trackers import Tracking
from models.training.trainers import (
    OnProgress,
    PartsTrainer,
    arguments,
    input_errors,
    remove_dropout,
    run,
    save_model,
)

_IGNORED = -100  # label of a token without loss


class _Trainer(PartsTrainer, SFTTrainer):
    def part_loss(self, model: Any, part: Any, row_share: float, token_share: float) -> Any:
        return self.compute_loss(model, part) * token_share


@quiet()
def train_on_answers(
    out: Path,
    *,
    policy: Path,
    demonstrations: pa.Table,
    config: FineTuneConfig,
    runtime: RuntimeConfig,
    seed: int,
    on_progress: OnProgress | None = None,
    checkpoints: Path | None = None,
    tracking: Tracking | None = None,
) -> dict[str, Any]:
    """Train `policy` on DEMONSTRATIONS that fit into it; save a plain model in `out`.

    A LoRA adapter is merged into the model and kept in `out/adapter`. Returns steps, losses and
    counts. Raises TrainingError for a loss that is not finite.
    """
    set_seed(seed)
    tokenizer = load_tokenizer(policy, runtime.trust_remote_code)
    rows = tokenise_answers(tokenizer, demonstrations)
    trainer = _make_trainer(out, policy, tokenizer, rows, config, runtime, seed)
    meta = run(trainer, rows, config, runtime, on_progress, checkpoints, tracking)
    model = save_and_merge(trainer.model, out) if config.adapter else trainer.model
    # TRL may have set a padding token, so the tokenizer is read again.
    tokenizer = load_tokenizer(policy, runtime.trust_remote_code)
    save_model(model, tokenizer, out, stored_dtype(policy, runtime), like=policy)
    return meta


def that_fit(
    policy: Path, demonstrations: pa.Table, config: FineTuneConfig, trust_remote_code: bool
) -> pa.Table:
    """The DEMONSTRATIONS of at most `config.max_length` tokens, and that the policy reads whole.

    Raises InputError where none is.
    """
    tokenizer = load_tokenizer(policy, trust_remote_code)
    limit = readable_length(policy, config.max_length, "policy.model")
    rows = tokenise_answers(tokenizer, demonstrations)
    found = demonstrations.filter(pa.array([len(row["input_ids"]) <= limit for row in rows]))
    if not len(found):
        raise InputError(
            f"policy.max_length: all {len(rows)} picked answers are longer with their prompts than "
            f"{limit} tokens; raise it, or shorten prompts or answers"
        )
    return found


def tokenise_answers(tokenizer: Tokenizer, demonstrations: pa.Table) -> list[Row]:
    """Rows of input_ids and labels (-100 on the prompt), in order."""
    rows: list[Row] = []
    answers = as_sampled(demonstrations, "completion", "token_ids")
    for messages, answer in zip(demonstrations["messages"].to_pylist(), answers, strict=True):
        prompt, completion = token_ids(tokenizer, messages, answer)
        rows.append(
            {
                "input_ids": prompt + completion,
                "labels": [_IGNORED] * len(prompt) + completion,
                "n_tokens": len(completion),
            }
        )
    return rows


def _make_trainer(
    out: Path,
    policy: Path,
    tokenizer: Tokenizer,
    rows: list[Row],
    config: FineTuneConfig,
    runtime: RuntimeConfig,
    seed: int,
) -> _Trainer:
    frozen = config.adapter is not None
    dtype = training_dtype(stored_dtype(policy, runtime), runtime, frozen=frozen)
    model = load_policy(policy, dtype, runtime.trust_remote_code)
    remove_dropout(model)
    with input_errors("policy"):
        trainer = _Trainer(
            model=model,
            args=SFTConfig(
                **arguments(out, len(rows), config, runtime, seed),
                dataset_kwargs={"skip_prepare_dataset": True},
            ),
            data_collator=Parts(
                DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id or 0),
                runtime.train_micro_batch,
                lambda row: row["n_tokens"],
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=policy_adapter(config.adapter) if config.adapter else None,
        )
    trainer.sampler = LengthGroups([len(row["input_ids"]) for row in rows], config.batch_size, seed)
    return trainer
