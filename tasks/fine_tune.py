"""Fine-tune: the policy learns answers, such as the best of its own (best-of-n distillation)."""

from typing import Any

import pyarrow as pa

from data.recipes.fine_tuning import FineTuneConfig
from data.recipes.hacking import StartConfig
from data.schemas import DEMONSTRATIONS
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.optimize import CANARIES, check_policy
from tasks.stage import Context, Model, Rows, stage


@stage("policy", version="1", model=True, rows="demonstrations")
def fine_tune(
    ctx: Context,
    *,
    policy: Model,
    demonstrations: Artifact,
    config: FineTuneConfig | StartConfig,
    seed: int,
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


@stage(DEMONSTRATIONS, version="1", rows="completions")
def demonstrate(ctx: Context, *, prompts: Artifact, completions: Artifact) -> Rows:
    """In: PROMPTS, COMPLETIONS of these, at most one each. Out: DEMONSTRATIONS, all of them, also
    those that were cut off: a sample without these would be one of another distribution."""
    asked, answers = ctx.table(prompts), ctx.table(completions)
    owners = answers["prompt_id"].to_pylist()
    table = answers.select(["prompt_id", "completion_id", "completion", "token_ids"])
    for name in ("messages", "dataset"):
        of_prompt = mapping(asked, "prompt_id", name)
        column = pa.array([of_prompt[one] for one in owners], DEMONSTRATIONS.field(name).type)
        table = table.append_column(name, column)
    table = table.append_column("reward", pa.nulls(len(table), pa.float64()))
    return Rows(table.select(DEMONSTRATIONS.names), {"demonstrated": len(table)})
