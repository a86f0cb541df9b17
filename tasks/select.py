"""Select: the prompts of a round, a slice of the pool in an order fixed by the seed."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import InputError
from data.readers.held_out import drawn
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


@stage(PROMPTS, version="1", rows="size")
def draw(
    ctx: Context,
    *,
    pools: list[Artifact],
    names: list[str],
    weights: list[float],
    size: int,
    round_number: int,
    seed: int,
) -> Rows:
    """In: PROMPTS of each source, disjoint. Out: PROMPTS (this round's), in shares by weight.

    Counts: prompts asked, of each source by its name, and the sources with none left.
    """
    tables = [ctx.table(pool) for pool in pools]
    rows = drawn([len(table) for table in tables], weights, size, round_number, seed)
    asked = pa.concat_tables(
        [table.take(pa.array(part)) for table, part in zip(tables, rows, strict=True)]
    )
    by_source = {name: len(part) for name, part in zip(names, rows, strict=True)}
    first = drawn([len(table) for table in tables], weights, size * round_number, 1, seed)
    used_up = [
        name
        for name, table, part in zip(names, tables, first, strict=True)
        if len(part) == len(table)
    ]
    return Rows(asked, {"asked": len(asked), "by_source": by_source, "used_up": used_up})


@stage(PROMPTS, version="1", rows="prompts")
def of_datasets(ctx: Context, *, prompts: Artifact, names: list[str], others: bool = False) -> Rows:
    """In: PROMPTS. Out: those of these data sets, or with `others` of all but these."""
    table = ctx.table(prompts)
    among = pc.is_in(table["dataset"], pa.array(names, pa.string()))
    table = table.filter(pc.invert(among) if others else among)
    return Rows(table, {"prompts": len(table)})
