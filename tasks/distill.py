"""Distill: the student learns the teacher's order (TS-Align, step 7)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from data.recipes.recipe import StudentTraining
from data.schemas import PREFERENCES
from data.store.artifacts import Artifact
from tasks.stage import Context, Model, stage


def with_replay(new: pa.Table, earlier: list[pa.Table], share: float, seed: int) -> pa.Table:
    """The round's preferences and, as `share` of the result, a sample of the earlier ones.

    Fewer where there are not enough. Against forgetting; the paper says "multi-task training"
    without its details, so the share is this project's choice.
    """
    if not earlier or share == 0:
        return new
    return pa.concat_tables([new, earlier_sample(earlier, len(new), share, seed)])


def earlier_sample(earlier: list[pa.Table], n_new: int, share: float, seed: int) -> pa.Table:
    """So many earlier rows, at random, that they are `share` of all beside `n_new` new ones."""
    pool = pa.concat_tables(earlier)
    wanted = min(len(pool), round(n_new * share / (1 - share)))
    rows = np.random.default_rng(seed).choice(len(pool), size=wanted, replace=False)
    return pool.take(pa.array(np.sort(rows)))


def _learned(inputs: Mapping[str, Any]) -> int:
    """Pairs of an epoch, as `with_replay` takes them."""
    new, share = inputs["preferences"].rows or 0, inputs["share"]
    earlier = sum(table.rows or 0 for table in inputs["replay"])
    return int(new + min(earlier, round(new * share / (1 - share))))


@stage("student", version="2", model=True, rows=_learned)
def distill(
    ctx: Context,
    *,
    student: Model,
    preferences: Artifact,
    replay: list[Artifact],
    share: float,
    config: StudentTraining,
    seed: int,
) -> dict[str, Any]:
    """In: PREFERENCES (this round's and earlier ones). Out: a reward model with its adapter."""
    from models.text_pairs import load_reader
    from models.training.reward_training import train_reward_model

    path = ctx.path(student)
    table = with_replay(ctx.table(preferences), [ctx.table(a) for a in replay], share, seed)
    return train_reward_model(
        ctx.out,
        model=path,
        tokenizer=load_reader(path, ctx.runtime.trust_remote_code),
        preferences=table.cast(PREFERENCES),
        config=config,
        loss=config.loss,
        adapter=config.adapter,
        runtime=ctx.runtime,
        seed=seed,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )
