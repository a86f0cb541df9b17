"""Optimize: the policy is tuned on the round's preferences with DPO (TS-Align, step 6)."""

from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data.errors import TrainingError
from data.recipes.recipe import PolicyConfig
from data.schemas import PREFERENCES, REFERENCE_LOGPS
from data.store.artifacts import Artifact
from data.tables import as_sampled, write_table
from tasks.distill import earlier_sample
from tasks.stage import SCORING, TRAINING, Context, Model, stage

CANARIES = 8  # pairs on which a freshly saved policy is compared with the one before
_ANSWER = 32  # tokens of a greedy answer to them


def _concatenated(context: Context, tables: list[Artifact]) -> pa.Table:
    return pa.concat_tables([context.store.table(artifact) for artifact in tables])


@stage(
    "reference_logps",
    version="3",
    libraries=SCORING,
    isolated=True,
    shards="preferences",
    retries=1,
)
def reference(
    out: Path, context: Context, *, policy: Model, preferences: Artifact
) -> dict[str, Any]:
    """In: PREFERENCES. Out: REFERENCE_LOGPS under the reference policy, computed once."""
    from models.logps import sequence_logps

    table = context.table(preferences)
    messages = table["messages"].to_pylist()
    sides = (as_sampled(table, side, f"{side}_token_ids") for side in ("chosen", "rejected"))
    logps, _ = sequence_logps(
        context.path(policy),
        list(zip(messages * 2, chain(*sides), strict=True)),
        runtime=context.runtime,
        on_progress=context.on_progress,
    )
    result = pa.table(
        {
            "pair_id": table["pair_id"],
            # Null for a side that is longer than the policy reads: the training leaves it out.
            "chosen_logp": pa.array(logps[: len(table)], pa.float64(), from_pandas=True),
            "rejected_logp": pa.array(logps[len(table) :], pa.float64(), from_pandas=True),
        }
    )
    write_table(out / "data.parquet", result, REFERENCE_LOGPS)
    return {"pairs": len(result)}


@stage("policy", version="1", libraries=SCORING, isolated=True)
def average(
    out: Path, context: Context, *, average: Model, policy: Model, decay: float
) -> dict[str, Any]:
    """Out: the moving average of the policies, `policy` having joined it."""
    from models.training.averaging import average_models

    return average_models(
        out,
        average=context.path(average),
        policy=context.path(policy),
        decay=decay,
        runtime=context.runtime,
    )


@stage("preferences", version="2")
def sample_earlier(
    out: Path, context: Context, *, earlier: list[Artifact], new: Artifact, share: float, seed: int
) -> dict[str, Any]:
    """In: PREFERENCES of earlier rounds. Out: so many of them as make `share` of the data."""
    tables = [context.store.table(artifact) for artifact in earlier]
    table = earlier_sample(tables, new.rows or 0, share, seed)
    write_table(out / "data.parquet", table, PREFERENCES)
    return {"pairs": len(table)}


@stage("policy", version="3", libraries=TRAINING, isolated=True)
def optimize(
    out: Path,
    context: Context,
    *,
    policy: Model,
    preferences: list[Artifact],
    reference: list[Artifact],
    config: PolicyConfig,
    seed: int,
) -> dict[str, Any]:
    """In: PREFERENCES, REFERENCE_LOGPS. Out: a policy, merged if it was tuned with an adapter."""
    from models.training.dpo import train_dpo

    pairs, logps = _concatenated(context, preferences), _concatenated(context, reference)
    meta = train_dpo(
        out,
        policy=context.path(policy),
        preferences=pairs,
        reference=logps,
        config=config,
        runtime=context.runtime,
        seed=seed,
        on_progress=context.on_progress,
        checkpoints=context.scratch,
        tracking=context.tracking,
    )
    before = context.path(policy)
    readable = logps.drop_null()["pair_id"]
    canaries = pairs.filter(pc.is_in(pairs["pair_id"], readable)).slice(0, CANARIES)
    return meta | check_policy(out, before, context, canaries, config.max_length)


def check_policy(
    saved: Path, before: Path, context: Context, pairs: pa.Table, max_length: int
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
    old, new = (sequence_logps(m, items, runtime=context.runtime)[0] for m in (before, saved))
    change = float(abs(new - old).max())
    if change == 0:
        raise TrainingError(
            "the saved policy answers exactly as before its training; raise policy.learning_rate, "
            "or see whether its adapter fits the model"
        )
    asked, answered = (_answers(m, messages, max_length, context) for m in (before, saved))
    changed = [a != b for a, b in zip(asked, answered, strict=True)]
    return {
        "canary_change": change,
        "canary_answers": len(changed),
        "canary_answers_changed": sum(changed),
    }


def _answers(model: Path, messages: list[Any], max_length: int, context: Context) -> list[str]:
    """Greedy answers to the prompts that leave room for one."""
    from models.chat import load_tokenizer, render_prompt
    from models.checkpoints import readable_length
    from models.engines import open_engine
    from models.engines.base import Sampling

    tokenizer = load_tokenizer(model, context.runtime.trust_remote_code)
    max_length = readable_length(model, max_length)
    prompts = [render_prompt(tokenizer, talk) for talk in messages]
    prompts = [prompt for prompt in prompts if len(prompt) + _ANSWER <= max_length]
    if not prompts:
        return []
    engine = open_engine("transformers", model, context.runtime, max_length + _ANSWER, seed=0)
    try:
        greedy = Sampling(k=1, temperature=0.0, top_p=1.0, max_tokens=_ANSWER)
        return [output.text for (output,) in engine.generate(prompts, [0] * len(prompts), greedy)]
    finally:
        engine.close()
