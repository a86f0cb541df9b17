"""Optimize: the policy is tuned on the round's preferences with DPO (TS-Align, step 6)."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from data.errors import TrainingError
from data.recipes.recipe import PolicyConfig
from data.schemas import PREFERENCES, REFERENCE_LOGPS
from data.store.artifacts import Artifact
from data.tables import as_sampled
from tasks.distill import earlier_sample
from tasks.stage import Context, Model, Rows, stage

CANARIES = 8  # pairs on which a freshly saved policy is compared with the one before
_ANSWER = 32  # tokens of a greedy answer to them


def _concatenated(ctx: Context, tables: list[Artifact]) -> pa.Table:
    return pa.concat_tables([ctx.table(artifact) for artifact in tables])


@stage(REFERENCE_LOGPS, version="3", model=True, shards="preferences", rows="preferences")
def reference(ctx: Context, *, policy: Model, preferences: Artifact) -> Rows:
    """In: PREFERENCES. Out: REFERENCE_LOGPS under the reference policy, computed once."""
    return _reference(ctx, policy, preferences, in_4_bits=False)


@stage(REFERENCE_LOGPS, version="1", model=True, shards="preferences", rows="preferences")
def reference_in_4_bits(
    ctx: Context, *, policy: Model, preferences: Artifact, method: Literal["qlora"]
) -> Rows:
    """The same under the reference policy as QLoRA holds it, from which its training starts."""
    return _reference(ctx, policy, preferences, in_4_bits=True)


def _reference(ctx: Context, policy: Model, preferences: Artifact, in_4_bits: bool) -> Rows:
    from models.logps import sequence_logps

    table = ctx.table(preferences)
    messages = table["messages"].to_pylist()
    sides = (as_sampled(table, side, f"{side}_token_ids") for side in ("chosen", "rejected"))
    logps, _ = sequence_logps(
        ctx.path(policy),
        list(zip(messages * 2, chain(*sides), strict=True)),
        runtime=ctx.runtime,
        on_progress=ctx.on_progress,
        in_4_bits=in_4_bits,
    )
    result = pa.table(
        {
            "pair_id": table["pair_id"],
            # Null for a side that is longer than the policy reads: the training leaves it out.
            "chosen_logp": pa.array(logps[: len(table)], pa.float64(), from_pandas=True),
            "rejected_logp": pa.array(logps[len(table) :], pa.float64(), from_pandas=True),
        }
    )
    return Rows(result, {"pairs": len(result)})


@stage("policy", version="1", model=True)
def average(ctx: Context, *, average: Model, policy: Model, decay: float) -> dict[str, Any]:
    """Out: the moving average of the policies, `policy` having joined it."""
    from models.training.averaging import average_models

    return average_models(
        ctx.out,
        average=ctx.path(average),
        policy=ctx.path(policy),
        decay=decay,
        runtime=ctx.runtime,
    )


def _sampled(inputs: Mapping[str, Any]) -> int:
    earlier = sum(table.rows or 0 for table in inputs["earlier"])
    share = inputs["share"]
    return int(min(earlier, round((inputs["new"].rows or 0) * share / (1 - share))))


@stage(PREFERENCES, version="3", rows=_sampled)
def sample_earlier(
    ctx: Context, *, earlier: list[Artifact], new: Artifact, share: float, seed: int
) -> Rows:
    """In: PREFERENCES of earlier rounds. Out: so many of them as make `share` of the data."""
    tables = [ctx.table(artifact) for artifact in earlier]
    table = earlier_sample(tables, new.rows or 0, share, seed)
    return Rows(table, {"pairs": len(table)})


@stage("policy", version="3", model=True, rows="preferences")
def optimize(
    ctx: Context,
    *,
    policy: Model,
    preferences: list[Artifact],
    reference: list[Artifact],
    config: PolicyConfig,
    seed: int,
) -> dict[str, Any]:
    """In: PREFERENCES, REFERENCE_LOGPS. Out: a policy, merged if it was tuned with an adapter."""
    from models.training.dpo import train_dpo

    pairs, logps = _concatenated(ctx, preferences), _concatenated(ctx, reference)
    meta = train_dpo(
        ctx.out,
        policy=ctx.path(policy),
        preferences=pairs,
        reference=logps,
        config=config,
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )
    before = ctx.path(policy)
    readable = logps.drop_null()["pair_id"]
    canaries = pairs.filter(pc.is_in(pairs["pair_id"], readable)).slice(0, CANARIES)
    return meta | check_policy(ctx.out, before, ctx, canaries, config.max_length)


def check_policy(
    saved: Path, before: Path, ctx: Context, pairs: pa.Table, max_length: int
) -> dict[str, Any]:
    """How much a saved policy differs from the one before, on a few pairs.

    `canary_change` is the largest change, in nats, of the log-probabilities of the chosen
    completions, `canary_answers_changed` how many of the `canary_answers` greedy answers changed.

    Raises TrainingError unless the saved policy loads, is finite, and differs from the one before:
    an adapter that was never merged or weights that were not saved answer as before.
    """
    from models.logps import sequence_logps

    messages = pairs["messages"].to_pylist()
    items = list(zip(messages, as_sampled(pairs, "chosen", "chosen_token_ids"), strict=True))
    old, new = (sequence_logps(m, items, runtime=ctx.runtime)[0] for m in (before, saved))
    change = float(abs(new - old).max())
    if change == 0:
        raise TrainingError(
            "the saved policy answers exactly as before its training; raise policy.learning_rate, "
            "or see whether its adapter fits the model"
        )
    asked, answered = (_answers(m, messages, max_length, ctx) for m in (before, saved))
    changed = [a != b for a, b in zip(asked, answered, strict=True)]
    return {
        "canary_change": change,
        "canary_answers": len(changed),
        "canary_answers_changed": sum(changed),
    }


def _answers(model: Path, messages: list[Any], max_length: int, ctx: Context) -> list[str]:
    """Greedy answers to the prompts that leave room for one."""
    from models.chat import load_tokenizer, render_prompt
    from models.checkpoints import readable_length
    from models.engines import open_engine
    from models.engines.base import Sampling

    tokenizer = load_tokenizer(model, ctx.runtime.trust_remote_code)
    max_length = readable_length(model, max_length)
    prompts = [render_prompt(tokenizer, talk) for talk in messages]
    prompts = [prompt for prompt in prompts if len(prompt) + _ANSWER <= max_length]
    if not prompts:
        return []
    engine = open_engine("transformers", model, ctx.runtime, max_length + _ANSWER, seed=0)
    try:
        greedy = Sampling(k=1, temperature=0.0, top_p=1.0, max_tokens=_ANSWER)
        return [output.text for (output,) in engine.generate(prompts, [0] * len(prompts), greedy)]
    finally:
        engine.close()
