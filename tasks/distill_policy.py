"""Distill the policy: it learns what a teacher would have said at every position of answers."""

from typing import Any

import pyarrow as pa

from data.recipes.distillation import DistilledPolicy
from data.store.artifacts import TABLE, Artifact
from data.tables import mapping
from tasks.optimize import CANARIES, check_policy
from tasks.stage import Context, Model, stage


@stage("policy", version="1", model=True, rows="targets")
def distill_policy(
    ctx: Context,
    *,
    policy: Model,
    prompts: Artifact,
    targets: list[Artifact],
    config: DistilledPolicy,
    temperature: float,
    seed: int,
) -> dict[str, Any]:
    """In: PROMPTS, TARGETS of one teacher or of several, each of other prompts, at this
    temperature. Out: a policy, merged if it was tuned with an adapter."""
    from models.training.distilled import train_on_targets

    messages = mapping(ctx.table(prompts), "prompt_id", "messages")
    before, read = ctx.path(policy), [ctx.path(one) / TABLE for one in targets]
    meta, learned = train_on_targets(
        ctx.out,
        policy=before,
        prompts=messages,
        targets=read,
        config=config,
        temperature=temperature,
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )
    owners, tokens = zip(*learned[:CANARIES], strict=True)
    canaries = pa.table(
        {
            "messages": [messages[owner] for owner in owners],
            "chosen": pa.nulls(len(owners), pa.string()),
            "chosen_token_ids": list(tokens),
        }
    )
    return meta | check_policy(ctx.out, before, ctx, canaries, config.max_length)
