"""Prompts: the user's file becomes an artifact, and is split where no held-out files are named."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data.artifacts import Artifact
from data.errors import InputError
from data.preference_reading import read_preferences
from data.prompts import read_prompts
from data.schemas import PREFERENCES, PROMPTS
from data.tables import write_table
from tasks.stage import Context, External, stage


@stage("prompts", version="1")
def import_prompts(out: Path, context: Context, *, source: External) -> dict[str, Any]:
    """Out: PROMPTS, validated; repeated prompts are dropped and counted."""
    table, counts = read_prompts(source.path)
    write_table(out / "data.parquet", table, PROMPTS)
    return counts


def split_table(pool: pa.Table, dev_size: int, test_size: int, seed: int) -> dict[str, pa.Table]:
    """Disjoint parts "test", "dev" and "pool" of the prompts, by seed.

    Raises:
        InputError: fewer prompts than the held-out parts take.
    """
    if len(pool) <= dev_size + test_size:
        raise InputError(
            f"prompts.path: {len(pool)} prompts are too few to hold out {dev_size} + {test_size}; "
            "bring more, lower prompts.dev_size and prompts.test_size, or name dev_path, test_path"
        )
    order = np.random.default_rng(seed).permutation(len(pool))
    bounds = {
        "test": order[:test_size],
        "dev": order[test_size : test_size + dev_size],
        "pool": order[test_size + dev_size :],
    }
    return {part: pool.take(pa.array(np.sort(rows))) for part, rows in bounds.items()}


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
    table = split_table(context.store.table(pool), dev_size, test_size, seed)[part]
    write_table(out / "data.parquet", table, PROMPTS)
    return {"prompts": len(table)}


@stage("prompts", version="1")
def without(
    out: Path, context: Context, *, pool: Artifact, held_out: list[Artifact]
) -> dict[str, Any]:
    """In: PROMPTS. Out: PROMPTS less the held-out ones, so that none is ever trained on."""
    store = context.store
    # By their text: two files may give the same prompt different ids.
    gone = {str(m) for artifact in held_out for m in store.table(artifact)["messages"].to_pylist()}
    table = store.table(pool)
    keep = [str(messages) not in gone for messages in table["messages"].to_pylist()]
    kept = table.filter(pa.array(keep))
    write_table(out / "data.parquet", kept, PROMPTS)
    return {"prompts": len(kept), "held_out": len(table) - len(kept)}


@stage("preferences", version="1")
def import_preferences(out: Path, context: Context, *, source: External) -> dict[str, Any]:
    """Out: PREFERENCES of round 0, from a file of prompt, chosen, rejected."""
    table, counts = read_preferences(source.path)
    write_table(out / "data.parquet", table, PREFERENCES)
    return counts
