"""A policy learns a teacher's distribution from TARGETS, with TRL's SFTTrainer.

    loss = sum_i w_i L_i,   each L_i the mean over the tokens of the completions of a batch, nats.

The teacher is in no memory: what it said is read from a table. An answer is trained on as the
tokens that the teacher has read, which are those that were sampled. `models.training.divergences`
has the losses.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from data.errors import InputError
from data.recipes.distillation import DistilledPolicy, DistillLosses
from data.recipes.recipe import RuntimeConfig
from data.schemas import TARGETS
from data.table_file import TableFile
from models.batching import Parts, Row
from models.chat import Messages, Tokenizer, load_tokenizer, render_prompts
from models.checkpoints import readable_length
from models.next_tokens import next_logits, padded
from models.silence import quiet
from models.training.adapters import policy_adapter
from models.training.divergences import losses_of
from models.training.kept_targets import KeptTargets, digest_of, shared_words
from models.training.launch import trained
from models.training.policies import load_learner, save_policy
from models.training.sft import TokensTrainer, trainer_over
from models.training.trackers import Tracking
from models.training.trainers import OnProgress, input_errors
from models.training.work import Work


class _Trainer(TokensTrainer):
    losses: DistillLosses
    temperature: float
    words: int  # ids that the tokenizer has

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> torch.Tensor:
        """The weighted sum of the losses, a mean over positions; what they are goes to the log."""
        logits = next_logits(model, inputs, self.words)
        tokens = inputs["input_ids"].roll(-1, dims=1)[inputs["predicts"]]
        found, kept = losses_of(logits, tokens, inputs, self.losses, self.temperature)
        metrics = self._metrics["train"]
        metrics["kept_mass"].append(self._everywhere(kept))
        total = torch.zeros((), device=logits.device)
        for name, values in found.items():
            total = total + self.losses.by_name[name].weight * values.mean()
            if len(found) > 1:
                metrics[f"loss/{name}"].append(self._everywhere(values.detach()))
        return total

    def _everywhere(self, values: torch.Tensor) -> float:
        """Their mean, in all processes that train."""
        return float(self.accelerator.gather(values.mean()[None]).mean())

    def part_loss(self, model: Any, part: Any, row_share: float, token_share: float) -> Any:
        return self.compute_loss(model, part) * token_share


class _Collator:
    """A batch with the targets of its completions."""

    def __init__(self, targets: KeptTargets, padding: int) -> None:
        self._targets, self._padding = targets, padding

    def __call__(self, rows: list[Row]) -> dict[str, Any]:
        pairs = [(row["prompt_ids"], row["completion_ids"]) for row in rows]
        return padded(pairs, self._padding) | self._targets.of([row["row"] for row in rows])


@quiet()
def train_on_targets(
    out: Path,
    *,
    policy: Path,
    prompts: Mapping[str, Messages],
    targets: Sequence[Path],
    config: DistilledPolicy,
    temperature: float,
    runtime: RuntimeConfig,
    seed: int,
    on_progress: OnProgress | None = None,
    checkpoints: Path | None = None,
    tracking: Tracking | None = None,
) -> tuple[dict[str, Any], list[tuple[str, list[int]]]]:
    """Train `policy` on TARGETS in these files, whose every `prompt_id` is in `prompts`; save a
    plain model.

    A completion that is longer with its prompt than `config.max_length`, or than the policy reads,
    is left out and counted in `too_long`; one that the teacher could not read in `unread`. Returns
    steps, losses, counts, `learned_tokens` and `kept_mass`, the policy's mean probability of the
    tokens kept at the start and at the end of the training; and of every row that was learned its
    prompt and the tokens of its answer.

    Raises InputError where no row is left or an id is none of the policy's; TrainingError for a
    loss that is not finite.
    """
    tokenizer = load_tokenizer(policy, runtime.trust_remote_code)
    limit = readable_length(policy, config.max_length, "policy.model")
    kept = read_targets(targets)
    rows, counts = tokenised(tokenizer, prompts, kept, limit)
    if not rows:
        raise InputError(
            f"policy.max_length: no answer is left to learn from: {counts['too_long']} are longer "
            f"than {limit} tokens, {counts['unread']} than the teacher reads; raise it, or shorten "
            "prompts or answers"
        )
    learned = [(kept.owners[row["row"]], row["completion_ids"]) for row in rows]
    bound = {"temperature": temperature, "targets": digest_of(kept)}
    del kept  # whoever trains reads them anew
    given = {"policy": policy, "targets": [str(one) for one in targets]}
    given |= {"temperature": temperature}
    job = Work(trainer_of, rows, config, runtime, seed, given, bound, checkpoints, tracking)
    trainer, meta = trained(job, out, on_progress)
    save_policy(trainer.model, out, policy, config, runtime)
    mass = meta["history"]["kept_mass"]
    tokens = sum(row["n_tokens"] for row in rows)
    meta |= {**counts, "learned_tokens": tokens, "kept_mass": [mass[0], mass[-1]]}
    return meta, learned


def read_targets(paths: Sequence[Path | str]) -> KeptTargets:
    """TARGETS in these files. Raises ArtifactError."""
    return KeptTargets([TableFile(one, TARGETS) for one in paths])


def tokenised(
    tokenizer: Tokenizer,
    prompts: Mapping[str, Messages],
    kept: KeptTargets,
    limit: int,
) -> tuple[list[Row], dict[str, int]]:
    """Token ids of prompt and completion with the number of their row of the targets, and counts.

    Args:
        limit: The longest row that is learned, in tokens.
    """
    names = list(dict.fromkeys(kept.owners))
    rendered = render_prompts(tokenizer, [prompts[name] for name in names])
    ids = dict(zip(names, rendered, strict=True))
    rows: list[Row] = []
    counts = {"too_long": 0, "unread": 0}
    for number, owner in enumerate(kept.owners):
        prompt, completion = ids[owner], kept.tokens(number)
        if not completion:
            counts["unread"] += 1
        elif len(prompt) + len(completion) > limit:
            counts["too_long"] += 1
        else:
            rows.append(
                {
                    "prompt_ids": prompt,
                    "completion_ids": completion,
                    "n_tokens": len(completion),
                    "row": number,
                }
            )
    return rows, counts


def trainer_of(
    out: Path,
    rows: list[Row],
    *,
    policy: Path,
    targets: list[str],
    temperature: float,
    config: DistilledPolicy,
    runtime: RuntimeConfig,
    seed: int,
) -> _Trainer:
    """TRL's trainer over the rows, by what a process of its own can read; for LoRA the model gets a
    fresh adapter, seeded."""
    set_seed(seed)
    tokenizer, kept = load_tokenizer(policy, runtime.trust_remote_code), read_targets(targets)
    model = load_learner(policy, config, runtime)
    words = shared_words(kept, tokenizer, model)
    collate = _Collator(kept, tokenizer.pad_token_id or 0)
    parts = Parts(collate, runtime.train_micro_batch, lambda row: row["n_tokens"])
    lengths = [len(row["prompt_ids"]) + row["n_tokens"] for row in rows]
    adapter = policy_adapter(config.adapter) if config.adapter else None
    given = model, tokenizer, rows, lengths, parts, config, runtime, seed, adapter
    with input_errors("policy"):
        trainer = trainer_over(_Trainer, out, *given)
    trainer.losses, trainer.words, trainer.temperature = config.losses, words, temperature
    return trainer
