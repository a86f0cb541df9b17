"""Prompts: the user's file becomes an artifact, and is split where no held-out files are named."""

from pathlib import Path
from typing import Any

from data.readers.preferences import read_preferences
from data.readers.prompts import read_prompts, split_prompts, without_prompts
from data.schemas import PREFERENCES, PROMPTS
from data.store.artifacts import Artifact
from data.tables import write_table
from tasks.running.outside import External
from tasks.stage import Context, stage


@stage("prompts", version="2")
def import_prompts(out: Path, context: Context, *, source: External) -> dict[str, Any]:
    """Out: PROMPTS, validated; repeated prompts are dropped and counted."""
    table, counts = read_prompts(source.path, source.name or None)
    write_table(out / "data.parquet", table, PROMPTS)
    return counts


@stage("prompts", version="1")
def split(
    out: Path,
    context: Context,
    *,
    pool: Artifact,
    part: str,
    dev_size: int,
    test_size: int,
    seed: int,
) -> dict[str, Any]:
    """In: PROMPTS. Out: PROMPTS, one of the disjoint parts "test", "dev" and "pool"."""
    table = split_prompts(context.store.table(pool), dev_size, test_size, seed)[part]
    write_table(out / "data.parquet", table, PROMPTS)
    return {"prompts": len(table)}


@stage("prompts", version="2")
def without(
    out: Path, context: Context, *, pool: Artifact, held_out: list[Artifact]
) -> dict[str, Any]:
    """In: PROMPTS. Out: PROMPTS less the held-out ones, so that none is ever trained on."""
    store = context.store
    table = store.table(pool)
    kept = without_prompts(table, [store.table(artifact) for artifact in held_out])
    write_table(out / "data.parquet", kept, PROMPTS)
    return {"prompts": len(kept), "held_out": len(table) - len(kept)}


@stage("preferences", version="2")
def import_preferences(out: Path, context: Context, *, source: External) -> dict[str, Any]:
    """Out: PREFERENCES of round 0, from a file of prompt, chosen, rejected."""
    table, counts = read_preferences(source.path)
    write_table(out / "data.parquet", table, PREFERENCES)
    return counts
