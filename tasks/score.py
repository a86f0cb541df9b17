"""Score: a reward model reads every completion."""

from math import isnan
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.schemas import SCORES
from data.store.artifacts import Artifact
from data.tables import mapping, write_table
from tasks.stage import SCORING, Context, Model, stage


def score_rows(
    context: Context, model: Model, items: list[tuple[list[dict[str, str]], str]], max_length: int
) -> list[float | None]:
    """Rewards of (messages, completion) pairs under a reward model, in order.

    None for a conversation that is longer than the model can read.
    """
    scorer = context.loaded.scorer(context.path(model), model.digest, max_length)
    try:
        rewards = scorer.score(items, context.on_progress)
    except Exception:
        context.loaded.release()  # it may have died: another try loads it anew
        raise
    return [None if isnan(reward) else float(reward) for reward in rewards]


@stage("scores", version="3", libraries=SCORING, shards="completions", retries=1)
def score(
    out: Path,
    context: Context,
    *,
    model: Model,
    prompts: Artifact,
    completions: Artifact,
    max_length: int,
) -> dict[str, Any]:
    """In: PROMPTS, COMPLETIONS. Out: SCORES, one row per completion."""
    messages = mapping(context.table(prompts), "prompt_id", "messages")
    table = context.table(completions)
    owners, texts = table["prompt_id"].to_pylist(), table["completion"].to_pylist()
    items = [(messages[owner], text) for owner, text in zip(owners, texts, strict=True)]
    rewards = score_rows(context, model, items, max_length)
    scored = pa.table(
        {
            "completion_id": table["completion_id"],
            "prompt_id": table["prompt_id"],
            "reward": pa.array(rewards, pa.float64()),
        }
    )
    write_table(out / "data.parquet", scored, SCORES)
    known = [reward for reward in rewards if reward is not None]
    return {
        "scored": len(known),
        "unscored": len(rewards) - len(known),
        "total_reward": sum(known),
    }
