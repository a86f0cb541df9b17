"""Score: a reward model reads every completion."""

from math import isnan

import pyarrow as pa

from data.schemas import SCORES
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.stage import Context, Model, Rows, stage


def score_rows(
    ctx: Context, model: Model, items: list[tuple[list[dict[str, str]], str]], max_length: int
) -> list[float | None]:
    """Rewards of (messages, completion) pairs under a reward model, in order.

    None for a conversation that is longer than the model can read.
    """
    scorer = ctx.loaded.scorer(ctx.path(model), model.digest, max_length)
    try:
        rewards = scorer.score(items, ctx.on_progress)
    except Exception:
        ctx.loaded.release()  # it may have died: another try loads it anew
        raise
    return [None if isnan(reward) else float(reward) for reward in rewards]


@stage(SCORES, version="3", model="loaded", shards="completions", rows="completions")
def score(
    ctx: Context,
    *,
    model: Model,
    prompts: Artifact,
    completions: Artifact,
    max_length: int,
) -> Rows:
    """In: PROMPTS, COMPLETIONS. Out: SCORES, one row per completion."""
    messages = mapping(ctx.table(prompts), "prompt_id", "messages")
    table = ctx.table(completions)
    owners, texts = table["prompt_id"].to_pylist(), table["completion"].to_pylist()
    items = [(messages[owner], text) for owner, text in zip(owners, texts, strict=True)]
    rewards = score_rows(ctx, model, items, max_length)
    table = pa.table(
        {
            "completion_id": table["completion_id"],
            "prompt_id": table["prompt_id"],
            "reward": pa.array(rewards, pa.float64()),
        }
    )
    known = [reward for reward in rewards if reward is not None]
    counts = {"scored": len(known), "unscored": len(rewards) - len(known)}
    return Rows(table, counts | {"total_reward": sum(known)})
