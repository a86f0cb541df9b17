"""Direct preference optimisation of the policy (Rafailov et al. 2023, eq. 7) with TRL's DPOTrainer.

    loss = sum_i w_i L_i + gamma L_SFT,   L_sigmoid = -log sigmoid(beta (r_chosen - r_rejected)),
    r = log pi(y|x) - log pi_ref(y|x), summed over the tokens of the completion.

L_SFT is the mean negative log-likelihood of the chosen completions' tokens (TS-Align's auxiliary
term). log pi_ref comes precomputed from a table, so no reference model is in memory. Losses that
TRL lacks (models.training.losses) are added to its own, of the same forward pass.
"""

import math
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from datasets import Dataset
from transformers import PreTrainedModel, set_seed
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from data.errors import InputError
from data.recipes.losses import Loss, NoWeight, PairWeight
from data.recipes.recipe import PolicyConfig, RuntimeConfig
from data.tables import as_sampled, assert_same_ids, index_by
from models.batching import LengthGroups, Parts, Row
from models.chat import Tokenizer, load_tokenizer, token_ids
from models.checkpoints import readable_length
from models.hardware import device_of, dtype_of
from models.loading import load_policy_in_4_bits
from models.silence import quiet
from models.training.adapters import policy_adapter
from models.training.launch import trained
from models.training.losses import OWN, clipped, own_losses, pair_weights
from models.training.policies import load_learner, save_policy
from models.training.trackers import Tracking
from models.training.trainers import (
    OnProgress,
    PartsTrainer,
    arguments,
    input_errors,
    remove_dropout,
    require_rows,
)
from models.training.work import Work


class _WeightedParts(Parts):
    """Parts with the weight of every pair, which the whole batch decides: whatever the cut is."""

    def __init__(self, weight: PairWeight | NoWeight, *args: Any) -> None:
        super().__init__(*args)
        self.weight = weight

    def __call__(self, rows: list[Row]) -> dict[str, list[Any]]:
        batch = super().__call__(rows)
        if isinstance(self.weight, PairWeight):
            weights = pair_weights(torch.tensor([row["gap"] for row in rows]), self.weight)
            for part, (numbers, _) in zip(batch["parts"], self.cut(len(rows)), strict=True):
                part["pair_weights"] = weights[numbers]
        return batch


class _Trainer(PartsTrainer, DPOTrainer):
    """TRL's trainer on rows of token ids that already carry the reference log-probabilities."""

    loss_types: list[str]
    loss_weights: list[float]
    config: PolicyConfig
    own_losses: dict[str, Loss]  # by name; not among `loss_types`, which TRL computes

    def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
        if not self.own_losses:
            return super()._compute_loss(model, inputs, return_outputs)
        inputs = dict(inputs)
        weights = inputs.pop("pair_weights", 1.0)  # TRL would hand it to the model
        seen: list[Any] = []

        def forward(**kwargs: Any) -> Any:
            seen.append(model(**kwargs))
            return seen[-1]

        loss = super()._compute_loss(forward, inputs, return_outputs=False)
        # As TRL does it: prompt tokens have log-probability 0 here, and the first token has none.
        logps = seen[0].log_probs[:, 1 - inputs["input_ids"].size(1) :].sum(dim=1)
        chosen, rejected = logps.chunk(2)
        return loss + self._pair_loss(
            chosen - inputs["ref_chosen_logps"], rejected - inputs["ref_rejected_logps"], weights
        )

    def _pair_loss(self, chosen: Any, rejected: Any, weights: Any) -> Any:
        """Weighted mean over pairs of log-ratios, in nats, of the losses that TRL does not have."""
        losses = 0.0
        for name, config in self.own_losses.items():
            of_pairs = OWN[name](chosen, rejected, self.beta, config)
            losses = losses + config.weight * (weights * of_pairs).mean()
        if clip := self.config.losses.dual_clip:
            metrics = self._metrics["train" if self.model.training else "eval"]
            masks = clipped(self.beta * chosen, self.beta * rejected, clip)
            for side, mask in zip(("chosen", "rejected"), masks, strict=True):
                everywhere = self.accelerator.gather(mask.float())
                metrics[f"clipped/{side}"].append(everywhere.mean().item())
        return losses

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
    tracking: Tracking | None = None,
) -> dict[str, Any]:
    """Train `policy` on PREFERENCES given its REFERENCE_LOGPS; save a plain model in `out`.

    Columns in: pair_id, messages, chosen, rejected and their token ids; pair_id, chosen_logp,
    rejected_logp (nats). What the policy sampled is trained on as the tokens it sampled; other
    answers are tokenised from their text, and their pairs counted in `retokenized`.
    A LoRA adapter is merged into the model and kept in `out/adapter`; with QLoRA it is trained on
    weights in 4 bits, and merged into them as they were saved. A pair with a side longer
    than `config.max_length`, or than the policy reads, is left out and counted in `too_long`.
    Returns steps, losses, accuracy (share of pairs whose chosen side has the higher implicit
    reward, last epoch) and counts.

    Raises CardinalityError unless the tables hold the same pair ids, each once; InputError for
    losses that cannot be combined and for weights of pairs without a margin; TrainingError for a
    loss that is not finite.
    """
    check_losses(config, runtime)
    missing = preferences["margin"].null_count
    if isinstance(config.pair_weight, PairWeight) and missing:
        raise InputError(
            f"policy.pair_weight: {missing} of {len(preferences)} pairs have no margin, and it "
            "needs a judge's margins; set its form to none, or label with a reward model"
        )
    set_seed(seed)
    tokenizer = load_tokenizer(policy, runtime.trust_remote_code)
    limit = readable_length(policy, config.max_length, "policy.model")
    rows, counts = tokenise_pairs(tokenizer, preferences, reference, limit)
    require_rows(rows, counts["too_long"], "policy.max_length")
    given = {"policy": policy}
    job = Work(trainer_of, rows, config, runtime, seed, given, {}, checkpoints, tracking)
    sorts = any(loss.sorts for loss in config.losses.by_name.values())
    in_4_bits = config.method == "qlora"
    trainer, meta = trained(job, out, on_progress, whole=sorts, aside=in_4_bits)
    save_policy(trainer.model, out, policy, config, runtime)
    return {**meta, "accuracy": meta["metrics"]["rewards/accuracies"], **counts}


def check_losses(
    config: PolicyConfig, runtime: RuntimeConfig
) -> tuple[dict[str, float], dict[str, Loss]]:
    """Weights of TRL's losses, the SFT term last, and our own losses. Raises InputError."""
    losses = config.losses.by_name
    sorts = any(loss.sorts for loss in losses.values())
    if runtime.train_micro_batch and sorts:
        raise InputError("runtime.train_micro_batch: must be 0 with the aot losses, they sort")
    if runtime.train.processes > 1 and sorts:
        raise InputError("runtime.train.processes: must be 1 with the aot losses, they sort")
    own = own_losses(config.losses, weighted=isinstance(config.pair_weight, PairWeight))
    of_trl = {name: loss.weight for name, loss in losses.items() if name not in own}
    if config.sft_weight:
        of_trl["sft"] = config.sft_weight
    return of_trl, {name: loss for name, loss in losses.items() if name in own}


def tokenise_pairs(
    tokenizer: Tokenizer, preferences: pa.Table, reference: pa.Table, max_length: int
) -> tuple[list[Row], dict[str, int]]:
    """TRL's columns, joined by pair_id, with the judge's `gap` (nan: none is known), and counts.

    `too_long`: pairs left out. `retokenized`: rows of which a side is known as text alone.
    """
    assert_same_ids(preferences, reference, "pair_id")
    at = index_by(reference, "pair_id")
    chosen_logps = reference["chosen_logp"].to_pylist()
    rejected_logps = reference["rejected_logp"].to_pylist()
    columns = preferences.select(["pair_id", "messages", "margin"]).to_pylist()
    sides = (as_sampled(preferences, side, f"{side}_token_ids") for side in ("chosen", "rejected"))
    rows: list[Row] = []
    counts = {"too_long": 0, "retokenized": 0}
    for pair, better, worse in zip(columns, *sides, strict=True):
        prompt, chosen = token_ids(tokenizer, pair["messages"], better)
        _, rejected = token_ids(tokenizer, pair["messages"], worse)
        if len(prompt) + max(len(chosen), len(rejected)) > max_length:
            counts["too_long"] += 1
            continue
        counts["retokenized"] += isinstance(better, str) or isinstance(worse, str)
        row = at[pair["pair_id"]]
        rows.append(
            {
                "prompt_ids": prompt,
                "chosen_ids": chosen,
                "rejected_ids": rejected,
                "ref_chosen_logps": chosen_logps[row],
                "ref_rejected_logps": rejected_logps[row],
                "gap": math.nan if pair["margin"] is None else pair["margin"],
            }
        )
    return rows, counts


def trainer_of(
    out: Path,
    rows: list[Row],
    *,
    policy: Path,
    config: PolicyConfig,
    runtime: RuntimeConfig,
    seed: int,
) -> _Trainer:
    """`make_trainer` by what a process of its own can read."""
    set_seed(seed)
    tokenizer = load_tokenizer(policy, runtime.trust_remote_code)
    return make_trainer(out, policy, tokenizer, rows, config, runtime, seed)


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
    of_trl, own = check_losses(config, runtime)
    model = _base(policy, config, runtime)
    remove_dropout(model)
    parts = _WeightedParts(
        config.pair_weight,
        DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id or 0),
        runtime.train_micro_batch,
        lambda row: len(row["chosen_ids"]),
    )
    with input_errors("policy"):
        trainer = _Trainer(
            model=model,
            args=DPOConfig(
                **arguments(out, len(rows), config, runtime, seed),
                beta=config.beta,
                loss_type=list(of_trl),
                loss_weights=list(of_trl.values()),
                label_smoothing=config.losses.label_smoothing,
                precompute_ref_log_probs=True,
                disable_dropout=False,  # the backbone has none left; the adapter's is the recipe's
            ),
            data_collator=parts,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            peft_config=policy_adapter(config.adapter) if config.adapter else None,
        )
    if config.method == "qlora":  # TRL has its adapter learn in bfloat16
        for parameter in trainer.model.parameters():
            parameter.data = parameter.data.float() if parameter.requires_grad else parameter.data
    trainer.config, trainer.own_losses = config, own
    trainer.sampler = LengthGroups(
        [
            len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
            for row in rows
        ],
        config.batch_size,
        seed,
    )
    return trainer


def _base(policy: Path, config: PolicyConfig, runtime: RuntimeConfig) -> PreTrainedModel:
    """The model that learns, or that the adapter is put on: in 4 bits where QLoRA trains it."""
    if config.method == "qlora" and device_of(runtime).type == "cuda":
        own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        return load_policy_in_4_bits(policy, dtype_of(runtime), own, runtime.trust_remote_code)
    return load_learner(policy, config, runtime)
