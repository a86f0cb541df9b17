"""Prompts: the user's files become artifacts, held-out prompts are set apart and kept apart."""

from collections.abc import Mapping
from typing import Any

from data.readers.held_out import decontaminated, joined, others, split_prompts
from data.readers.preferences import read_preferences
from data.readers.prompts import read_prompts
from data.recipes.prompts import Decontaminate
from data.schemas import PREFERENCES, PROMPTS
from data.store.artifacts import Artifact
from tasks.running.outside import External, PromptRows
from tasks.stage import Context, Rows, stage


@stage(PROMPTS, version="4", rows="source")
def import_prompts(ctx: Context, *, source: PromptRows) -> Rows:
    """Out: PROMPTS, validated; repeated prompts are dropped and counted."""
    table, counts = read_prompts(source.rows, source.name or None, source.columns)
    return Rows(table, counts)


@stage(PROMPTS, version="1", rows="sources")
def join(ctx: Context, *, sources: list[Artifact]) -> Rows:
    """In: PROMPTS of several files. Out: PROMPTS, each once."""
    tables = [ctx.table(source) for source in sources]
    table = joined(tables)
    return Rows(table, {"prompts": len(table), "repeated": sum(map(len, tables)) - len(table)})


def _part_size(inputs: Mapping[str, Any]) -> int:
    return int(inputs[f"{inputs['part']}_size"])


@stage(PROMPTS, version="2", rows=_part_size)
def split(
    ctx: Context,
    *,
    pools: list[Artifact],
    part: str,
    dev_size: int,
    test_size: int,
    seed: int,
) -> Rows:
    """In: PROMPTS of each source, disjoint. Out: PROMPTS, the part "test" or "dev" of all."""
    tables = [ctx.table(pool) for pool in pools]
    table = split_prompts(tables, dev_size, test_size, seed)[part]
    return Rows(table, {"prompts": len(table)})


@stage(PROMPTS, version="1", rows="pool")
def decontaminate(
    ctx: Context,
    *,
    pool: Artifact,
    earlier: list[Artifact],
    held_out: list[Artifact],
    rule: Decontaminate,
) -> Rows:
    """In: PROMPTS of a source, of those before it, and held out. Out: PROMPTS, its own to train on.

    Counts: those an earlier source has, and those out by each rule of `decontaminated`.
    """
    table = ctx.table(pool)
    own = others(table, [ctx.table(artifact) for artifact in earlier])
    kept, counts = decontaminated(own, [ctx.table(artifact) for artifact in held_out], rule)
    return Rows(kept, {"prompts": len(kept), "repeated": len(table) - len(own), **counts})


@stage(PREFERENCES, version="5", rows="source")
def import_preferences(ctx: Context, *, source: External) -> Rows:
    """Out: PREFERENCES of round 0, from a file of pairs."""
    table, counts = read_preferences(source.path)
    return Rows(table, counts)
