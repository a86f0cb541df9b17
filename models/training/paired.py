"""A student learns from pairs and from a teacher's TARGETS on answers, with TRL's SFTTrainer.

    L_DCKD = NLL(y_w) + alpha (KL(y_w) + KL(y_l)),   KL of the teacher from the student,
    L_ADPA = NLL(y_w) - gamma J(y),                  y an answer of the student at the start,

each a mean over the tokens of an answer, then over the pairs of a batch (ADPA, arXiv 2502.17927).
KL is over the kept tokens and a bucket for the rest (`models.training.divergences`), J over the
kept tokens (`models.training.advantages`). No teacher is in memory.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers import set_seed

from data.errors import InputError
from data.recipes.advantage import AdpaConfig, DckdConfig, StudentPolicy
from data.recipes.recipe import RuntimeConfig
from models.batching import Parts, Row
from models.chat import load_tokenizer
from models.checkpoints import readable_length
from models.next_tokens import next_logits, padded
from models.silence import quiet
from models.training.adapters import policy_adapter
from models.training.advantages import advantages, expected
from models.training.divergences import kl, policy_buckets, teacher_buckets
from models.training.kept_targets import KeptTargets, digest_of, shared_words
from models.training.launch import trained
from models.training.pair_rows import (
    NONE,
    TargetTables,
    both_sides,
    fitting,
    longest,
    own_answers,
)
from models.training.policies import load_learner, save_policy
from models.training.sft import TokensTrainer, trainer_over
from models.training.trackers import Tracking
from models.training.trainers import OnProgress, input_errors
from models.training.work import Work

Term = DckdConfig | AdpaConfig


class _Trainer(TokensTrainer):
    term: Term
    temperature: float
    words: int  # ids that the tokenizer has

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> torch.Tensor:
        """The loss of the pairs of a batch or of a part of it; its terms go to the log."""
        logits = next_logits(model, inputs, self.words)
        tokens = inputs["input_ids"].roll(-1, dims=1)[inputs["predicts"]]
        chosen, taught, shares = (inputs[name] for name in ("chosen", "taught", "shares"))
        own = logits[chosen]
        nll = own.logsumexp(1) - own.gather(1, tokens[chosen][:, None])[:, 0]
        loss: torch.Tensor = (nll * shares[chosen]).sum()
        if "top_ids" not in inputs:
            return loss
        self._log("loss/nll", loss)
        policy = policy_buckets(logits[taught] / self.temperature, inputs["top_ids"])
        weight, name, values = self._taught(policy, inputs)
        term = (values * shares[taught]).sum()
        self._log(name, term)
        k = inputs["top_ids"].shape[1]
        self._log("kept_mass", policy.detach()[:, :k].exp().sum(1).mean())
        total: torch.Tensor = loss + weight * term
        return total

    def _taught(
        self, policy: torch.Tensor, inputs: Mapping[str, torch.Tensor]
    ) -> tuple[float, str, torch.Tensor]:
        """Weight and name of the term beside the likelihood, and its value at each position."""
        k = inputs["top_ids"].shape[1]
        if isinstance(self.term, AdpaConfig):
            return -self.term.gamma, "advantage", expected(policy[:, :k], inputs["advantages"])
        whole = policy.shape[1] == k
        teacher = teacher_buckets(inputs["top_logps"], inputs["rest"], whole)
        return self.term.alpha, "loss/forward_kl", kl(teacher, policy)

    def _log(self, name: str, value: torch.Tensor) -> None:
        """Its mean in all processes that train."""
        everywhere = self.accelerator.gather(value.detach()[None])
        self._metrics["train"][name].append(float(everywhere.mean()))


class Collator:
    """A batch of pairs: the chosen answers, behind them the others, and the targets of both."""

    def __init__(
        self, targets: KeptTargets, references: KeptTargets | None, term: Term, padding: int
    ) -> None:
        self._targets, self._references, self._term = targets, references, term
        self._padding = padding

    def __call__(self, rows: list[Row]) -> dict[str, torch.Tensor]:
        """As `models.next_tokens.padded`, and of every position that predicts: `chosen`, whether it
        is of a chosen answer; `taught`, whether it has targets; `shares`, its share in the mean
        over pairs. Of those that are taught top_ids, top_logps and rest, or `advantages`."""
        sides = [(row, "chosen") for row in rows]
        sides += [(row, "other") for row in rows if row["other_ids"]]
        answers = [row[f"{side}_ids"] for row, side in sides]
        batch = padded(
            [(row["prompt_ids"], answer) for (row, _), answer in zip(sides, answers, strict=True)],
            self._padding,
        )
        places = [row[f"{side}_row"] for row, side in sides]
        lengths = torch.tensor([len(answer) for answer in answers])
        about = {
            "chosen": torch.tensor([side == "chosen" for _, side in sides]),
            "taught": torch.tensor([place != NONE for place in places]),
            "shares": 1 / (lengths * len(rows)),
        }
        batch |= {name: of.repeat_interleave(lengths) for name, of in about.items()}
        wanted = [place for place in places if place != NONE]
        return batch | self._read(wanted) if wanted else batch

    def _read(self, rows: list[int]) -> dict[str, torch.Tensor]:
        found = self._targets.of(rows)
        if not isinstance(self._term, AdpaConfig):
            return found
        references = self._references.of(rows) if self._references else None
        made = advantages(found, references, self._term)
        return {"top_ids": found["top_ids"], "advantages": made}


@quiet()
def train_on_pairs(
    out: Path,
    *,
    policy: Path,
    preferences: pa.Table,
    targets: Sequence[Path],
    references: Sequence[Path] = (),
    term: Term,
    temperature: float,
    config: StudentPolicy,
    runtime: RuntimeConfig,
    seed: int,
    on_progress: OnProgress | None = None,
    checkpoints: Path | None = None,
    tracking: Tracking | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Train `policy` on PREFERENCES and TARGETS; save a plain model in `out`.

    Args:
        targets: Of DCKD those on the chosen answers and on the rejected ones, on the chosen ones
            alone, or none, which is fine-tuning on the chosen answers. Of ADPA those of the
            aligned teacher on the student's answers to the prompts of the pairs.
        references: Of ADPA, those of the reference on the same answers, if there is one.

    A pair with an answer that is longer with its prompt than `config.max_length`, or than the
    policy reads, is left out and counted in `too_long`; one with an answer that a teacher could
    not read in `unread`. Returns steps, losses, counts, `learned_tokens`, and with a teacher
    `kept_mass`, of ADPA `advantage` too, at the start and at the end of the training; and the ids
    of the pairs that were learned.

    Raises InputError where no pair is left or an id is none of the policy's; CardinalityError for
    targets of other answers; TrainingError for a loss that is not finite.
    """
    tokenizer = load_tokenizer(policy, runtime.trust_remote_code)
    limit = readable_length(policy, config.max_length, "policy.model")
    kept, their = TargetTables(targets), TargetTables(references)
    pairing = own_answers if isinstance(term, AdpaConfig) else both_sides
    rows, counts = fitting(pairing(tokenizer, preferences, kept, their), limit)
    if not rows:
        raise InputError(
            f"policy.max_length: no pair is left to learn from: {counts['too_long']} are longer "
            f"than {limit} tokens, {counts['unread']} than a teacher reads; raise it, or shorten "
            "prompts or answers"
        )
    learned = [str(row.pop("pair_id")) for row in rows]
    bound = {"temperature": temperature, "term": term.model_dump(mode="json")}
    bound |= {"targets": digest_of(kept.tokens, their.tokens)}
    del kept, their  # whoever trains reads them anew
    given = {"policy": policy, "temperature": temperature, "term": term}
    given |= {"targets": list(map(str, targets)), "references": list(map(str, references))}
    job = Work(trainer_of, rows, config, runtime, seed, given, bound, checkpoints, tracking)
    trainer, meta = trained(job, out, on_progress)
    save_policy(trainer.model, out, policy, config, runtime)
    curves = {name: meta.get("history", {}).get(name) for name in ("kept_mass", "advantage")}
    meta |= {name: [curve[0], curve[-1]] for name, curve in curves.items() if curve}
    tokens = sum(len(row["chosen_ids"]) + len(row["other_ids"]) for row in rows)
    return meta | {**counts, "learned_tokens": tokens}, learned


def trainer_of(
    out: Path,
    rows: list[Row],
    *,
    policy: Path,
    targets: list[str],
    references: list[str],
    term: Term,
    temperature: float,
    config: StudentPolicy,
    runtime: RuntimeConfig,
    seed: int,
) -> _Trainer:
    """TRL's trainer over the rows, by what a process of its own can read; for LoRA the model gets a
    fresh adapter, seeded."""
    set_seed(seed)
    tokenizer = load_tokenizer(policy, runtime.trust_remote_code)
    kept, their = TargetTables(targets).tokens, TargetTables(references).tokens
    model = load_learner(policy, config, runtime)
    words = shared_words(kept, tokenizer, model)
    collate = Collator(kept, their if references else None, term, tokenizer.pad_token_id or 0)
    parts = Parts(collate, runtime.train_micro_batch, lambda row: 1)
    adapter = policy_adapter(config.adapter) if config.adapter else None
    lengths = list(map(longest, rows))
    given = model, tokenizer, rows, lengths, parts, config, runtime, seed, adapter
    with input_errors("policy"):
        trainer = trainer_over(_Trainer, out, *given)
    trainer.term, trainer.words, trainer.temperature = term, words, temperature
    return trainer
