"""Select: the prompts of a round, a slice of the pool in an order fixed by the seed."""

import numpy as np
import pyarrow as pa

from data.errors import InputError
from data.schemas import PROMPTS
from data.store.artifacts import Artifact
from tasks.stage import Context, Rows, stage


def take_slice(pool: pa.Table, size: int, round_number: int, seed: int) -> pa.Table:
    """Rows of round `round_number` (from 1): rounds never share a prompt."""
    order = np.random.default_rng(seed).permutation(len(pool))
    rows = order[(round_number - 1) * size : round_number * size]
    if len(rows) < size:
        raise InputError(
            f"prompts.per_round: round {round_number} needs {round_number * size} prompts in all, "
            f"the pool has {len(pool)}; lower prompts.per_round or rounds, or bring more prompts"
        )
    return pool.take(pa.array(np.sort(rows)))


@stage(PROMPTS, version="1", rows="size")
def select(ctx: Context, *, pool: Artifact, size: int, round_number: int, seed: int) -> Rows:
    """In: PROMPTS (pool). Out: PROMPTS (this round's)."""
    table = take_slice(ctx.table(pool), size, round_number, seed)
    return Rows(table, {"asked": len(table)})
