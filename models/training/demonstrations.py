"""Fine-tuning of a policy on answers that were picked from its own, with TRL's SFTTrainer.

    loss = -log pi(y|x), the mean over the tokens of the completions of a batch, in nats.

An answer is trained on as the tokens that were sampled, as DPO does it (models.training.dpo): a
detour through its text may give other tokens, and would end an answer that was cut off.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
from transformers import set_seed

from data.errors import InputError
from data.recipes.recipe import RuntimeConfig
from data.recipes.training import AdaptedTraining
from data.tables import as_sampled
from models.batching import Row
from models.chat import Tokenizer, load_tokenizer, token_ids
from models.checkpoints import readable_length
from models.silence import quiet
from models.training.adapters import policy_adapter
from models.training.launch import trained
from models.training.policies import load_learner, save_policy
from models.training.sft import row_of, sft_trainer
from models.training.trackers import Tracking
from models.training.trainers import OnProgress, PartsTrainer, input_errors
from models.training.work import Work


@quiet()
def train_on_answers(
    out: Path,
    *,
    policy: Path,
    demonstrations: pa.Table,
    config: AdaptedTraining,
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
    rows = tokenise_answers(load_tokenizer(policy, runtime.trust_remote_code), demonstrations)
    given = {"policy": policy}
    job = Work(trainer_of, rows, config, runtime, seed, given, {}, checkpoints, tracking)
    trainer, meta = trained(job, out, on_progress)
    save_policy(trainer.model, out, policy, config, runtime)
    return meta


def trainer_of(
    out: Path,
    rows: list[Row],
    *,
    policy: Path,
    config: AdaptedTraining,
    runtime: RuntimeConfig,
    seed: int,
) -> PartsTrainer:
    """A trainer of the policy, or of an adapter of it, by what a process of its own can read."""
    set_seed(seed)
    tokenizer = load_tokenizer(policy, runtime.trust_remote_code)
    adapter = policy_adapter(config.adapter) if config.adapter else None
    model = load_learner(policy, config, runtime)
    with input_errors("policy"):
        return sft_trainer(out, model, tokenizer, rows, config, runtime, seed, adapter)


def that_fit(
    policy: Path, demonstrations: pa.Table, config: AdaptedTraining, trust_remote_code: bool
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
        rows.append(row_of(prompt, completion))
    return rows
