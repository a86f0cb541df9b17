"""Direct preference optimisation of the policy (Rafailov et al. 2023, eq. 7) with TRL's DPOTrainer.

    loss = sum_i w_i L_i + gamma L_SFT,   L_sigmoid = -log sigmoid(beta (r_chosen - r_rejected)),
    r = log pi(y|x) - log pi_ref(y|x), summed over the tokens of the completion.

L_SFT is the mean negative log-likelihood of the chosen completions' tokens (TS-Align's auxiliary
term). log pi_ref comes precomputed from a table, so no reference model is in memory.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
from datasets import Dataset
from transformers import AutoModelForCausalLM, set_seed
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from data.errors import InputError
from data.recipe import PolicyConfig, RuntimeConfig
from data.tables import assert_same_ids, index_by
from models.adapters import policy_adapter, save_and_merge
from models.batching import LengthGroups, Parts, Row
from models.chat import Tokenizer, load_tokenizer, render_completion
from models.hardware import stored_dtype, training_dtype
from models.silence import quiet
from models.trainers import (
    OnProgress,
    PartsTrainer,
    arguments,
    input_errors,
    remove_dropout,
    require_rows,
    run,
    save_model,
)

_SORTING = {"aot", "aot_unpaired"}  # compare the pairs of a batch with each other


class _Trainer(PartsTrainer, DPOTrainer):
    """TRL's trainer on rows of token ids that already carry the reference log-probabilities."""

    loss_types: list[str]
    loss_weights: list[float]

    def part_loss(self, model: Any, part: Any, row_share: float, token_share: float) -> Any:
        # TRL averages the SFT term over tokens and the others over pairs.
        weights = self.loss_weights
        self.loss_weights = [
            weight * token_share / row_share if name == "sft" else weight
            for name, weight in zip(self.loss_types, weights, strict=True)
        ]
        try:
            return self.compute_loss(model, part) * row_share
        finally:
            self.loss_weights = weights

    def _prepare_dataset(self, dataset: Dataset, *args: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *args: Any) -> Dataset:
        return dataset


@quiet()
def train_dpo(
    out: Path,
    *,
    policy: Path,
    preferences: pa.Table,
    reference: pa.Table,
    config: PolicyConfig,
    runtime: RuntimeConfig,
    seed: int,
    on_progress: OnProgress | None = None,
    checkpoints: Path | None = None,
) -> dict[str, Any]:
    """Train `policy` on PREFERENCES given its REFERENCE_LOGPS; save a plain model in `out`.

    Columns in: pair_id, messages, chosen, rejected; pair_id, chosen_logp, rejected_logp (nats).
    A LoRA adapter is merged into the model and kept in `out/adapter`. A pair with a side longer
    than `config.max_length` is left out and counted in `too_long`. Returns steps, losses, accuracy
    (share of pairs whose chosen side has the higher implicit reward, last epoch) and counts.

    Raises CardinalityError unless the tables hold the same pair ids, each once; InputError for
    losses that cannot be combined; TrainingError for a loss that is not finite.
    """
    check_losses(config, runtime)
    set_seed(seed)
    tokenizer = load_tokenizer(policy, runtime.trust_remote_code)
    rows, too_long = tokenise_pairs(tokenizer, preferences, reference, config.max_length)
    require_rows(rows, too_long, "policy.max_length")
    trainer = make_trainer(out, policy, tokenizer, rows, config, runtime, seed)
    meta = run(trainer, rows, config, runtime, on_progress, checkpoints)
    model = trainer.model
    if config.method == "lora":
        model = save_and_merge(model, out)
    # TRL may have set a padding token, so the tokenizer is read again.
    tokenizer = load_tokenizer(policy, runtime.trust_remote_code)
    save_model(model, tokenizer, out, stored_dtype(policy, runtime))
    return {**meta, "accuracy": meta["metrics"]["rewards/accuracies"], "too_long": too_long}


def check_losses(config: PolicyConfig, runtime: RuntimeConfig) -> tuple[list[str], list[float]]:
    """TRL's loss names and weights, the SFT term last. Raises InputError."""
    names, weights = [str(name) for name in config.losses], list(config.losses.values())
    if config.sft_weight:
        names, weights = [*names, "sft"], [*weights, config.sft_weight]
    if not any(weights):
        raise InputError("policy.losses: no loss has a weight above 0; give one, as sigmoid: 1.0")
    if runtime.train_micro_batch and _SORTING & set(names):
        raise InputError("runtime.train_micro_batch: must be 0 with the aot losses, they sort")
    return names, weights


def tokenise_pairs(
    tokenizer: Tokenizer, preferences: pa.Table, reference: pa.Table, max_length: int
) -> tuple[list[Row], int]:
    """TRL's columns, joined by pair_id, and how many pairs were too long."""
    assert_same_ids(preferences, reference, "pair_id")
    at = index_by(reference, "pair_id")
    chosen_logps = reference["chosen_logp"].to_pylist()
    rejected_logps = reference["rejected_logp"].to_pylist()
    columns = preferences.select(["pair_id", "messages", "chosen", "rejected"])
    rows: list[Row] = []
    too_long = 0
    for pair in columns.to_pylist():
        prompt, chosen = render_completion(tokenizer, pair["messages"], pair["chosen"])
        _, rejected = render_completion(tokenizer, pair["messages"], pair["rejected"])
        if len(prompt) + max(len(chosen), len(rejected)) > max_length:
            too_long += 1
            continue
        row = at[pair["pair_id"]]
        rows.append(
            {
                "prompt_ids": prompt,
                "chosen_ids": chosen,
                "rejected_ids": rejected,
                "ref_chosen_logps": chosen_logps[row],
                "ref_rejected_logps": rejected_logps[row],
            }
        )
    return rows, too_long


def make_trainer(
    out: Path,
    policy: Path,
    tokenizer: Tokenizer,
    rows: list[Row],
    config: PolicyConfig,
    runtime: RuntimeConfig,
    seed: int,
) -> _Trainer:
    """TRL's DPOTrainer over `rows`; for LoRA the model gets a fresh adapter, seeded."""
    lora = config.method == "lora"
    loss_types, loss_weights = check_losses(config, runtime)
    model = AutoModelForCausalLM.from_pretrained(
        str(policy),
        use_safetensors=True,
        dtype=training_dtype(stored_dtype(policy, runtime), runtime, frozen=lora),
        trust_remote_code=runtime.trust_remote_code,
    )
    remove_dropout(model)
    with input_errors("policy"):
        trainer = _Trainer(
            model=model,
            args=DPOConfig(
                **arguments(out, len(rows), config, runtime, seed),
                beta=config.beta,
                loss_type=loss_types,
                loss_weights=loss_weights,
                precompute_ref_log_probs=True,
                disable_dropout=False,  # the backbone has none left; the adapter's is the recipe's
            ),
            data_collator=Parts(
                DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id or 0),
                runtime.train_micro_batch,
                lambda row: len(row["chosen_ids"]),
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=policy_adapter(config.adapter) if lora else None,
        )
    trainer.sampler = LengthGroups(
        [
            len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
            for row in rows
        ],
        config.batch_size,
        seed,
    )
    return trainer
