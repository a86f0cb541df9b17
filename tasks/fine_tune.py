"""Fine-tune: the policy learns the best of its own answers (best-of-n distillation)."""

from typing import Any

from data.recipes.fine_tuning import FineTuneConfig
from data.store.artifacts import Artifact
from tasks.optimize import CANARIES, check_policy
from tasks.stage import Context, Model, stage


@stage("policy", version="1", model=True, rows="demonstrations")
def fine_tune(
    ctx: Context, *, policy: Model, demonstrations: Artifact, config: FineTuneConfig, seed: int
) -> dict[str, Any]:
    """In: DEMONSTRATIONS. Out: a policy, merged if it was tuned with an adapter."""
    from models.training.demonstrations import that_fit, train_on_answers

    before, picked = ctx.path(policy), ctx.table(demonstrations)
    table = that_fit(before, picked, config, ctx.runtime.trust_remote_code)
    meta = train_on_answers(
        ctx.out,
        policy=before,
        demonstrations=table,
        config=config,
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )
    names = {"completion": "chosen", "token_ids": "chosen_token_ids"}
    canaries = table.slice(0, CANARIES)
    canaries = canaries.rename_columns([names.get(one, one) for one in table.column_names])
    checked = check_policy(ctx.out, before, ctx, canaries, config.max_length)
    return meta | {"too_long": len(picked) - len(table)} | checked
