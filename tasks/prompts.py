"""Prompts: the user's file becomes an artifact, and is split where no held-out files are named."""

from collections.abc import Mapping
from typing import Any

from data.readers.preferences import read_preferences
from data.readers.prompts import read_prompts, split_prompts, without_prompts
from data.schemas import PREFERENCES, PROMPTS
from data.store.artifacts import Artifact
from tasks.running.outside import External
from tasks.stage import Context, Rows, stage


@stage(PROMPTS, version="2", rows="source")
def import_prompts(ctx: Context, *, source: External) -> Rows:
    """Out: PROMPTS, validated; repeated prompts are dropped and counted."""
    table, counts = read_prompts(source.path, source.name or None)
    return Rows(table, counts)


def _part_size(inputs: Mapping[str, Any]) -> int:
    sizes = {"dev": inputs["dev_size"], "test": inputs["test_size"]}
    rest = (inputs["pool"].rows or 0) - sum(sizes.values())
    return int(sizes.get(inputs["part"], max(0, rest)))


@stage(PROMPTS, version="1", rows=_part_size)
def split(
    ctx: Context,
    *,
    pool: Artifact,
    part: str,
    dev_size: int,
    test_size: int,
    seed: int,
) -> Rows:
    """In: PROMPTS. Out: PROMPTS, one of the disjoint parts "test", "dev" and "pool"."""
    table = split_prompts(ctx.table(pool), dev_size, test_size, seed)[part]
    return Rows(table, {"prompts": len(table)})


@stage(PROMPTS, version="2", rows="pool")
def without(ctx: Context, *, pool: Artifact, held_out: list[Artifact]) -> Rows:
    """In: PROMPTS. Out: PROMPTS less the held-out ones, so that none is ever trained on."""
    table = ctx.table(pool)
    kept = without_prompts(table, [ctx.table(artifact) for artifact in held_out])
    return Rows(kept, {"prompts": len(kept), "held_out": len(table) - len(kept)})


@stage(PREFERENCES, version="2", rows="source")
def import_preferences(ctx: Context, *, source: External) -> Rows:
    """Out: PREFERENCES of round 0, from a file of prompt, chosen, rejected."""
    table, counts = read_preferences(source.path)
    return Rows(table, counts)
