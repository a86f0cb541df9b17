"""Recorded answers of a model matrix, in place of sampling its cells."""

from pathlib import Path
from typing import Any

from data.readers.recorded_cells import (
    answered_prompts,
    cell_completions,
    lengths_by_axis,
    matrix_pairs,
)
from data.recipes.methods import Place
from data.schemas import COMPLETIONS, MATRIX_PAIRS, PROMPTS
from data.store.artifacts import Artifact
from data.tables import write_table
from tasks.running.outside import External
from tasks.stage import Context, stage


@stage("prompts", version="1")
def import_cell_prompts(out: Path, context: Context, *, cells: list[External]) -> dict[str, Any]:
    """Out: PROMPTS that at least one cell has answered."""
    table = answered_prompts([cell.path for cell in cells])
    write_table(out / "data.parquet", table, PROMPTS)
    return {"prompts": len(table)}


@stage("completions", version="2")
def read_cell(
    out: Path, context: Context, *, prompts: Artifact, source: External, name: str
) -> dict[str, Any]:
    """In: PROMPTS. Out: COMPLETIONS, the recorded answers of the cell `name`, at most one each.

    A prompt that the file does not answer has none.
    """
    asked = context.store.table(prompts)
    table = cell_completions(source.path, name, asked)
    write_table(out / "data.parquet", table, COMPLETIONS)
    return {"generated": len(table), "unanswered": len(asked) - len(table)}


@stage("matrix_pairs", version="1")
def pair_table(
    out: Path, context: Context, *, preferences: Artifact, places: list[Place]
) -> dict[str, Any]:
    """In: PREFERENCES. Out: MATRIX_PAIRS, for use outside of this project."""
    table = matrix_pairs(context.store.table(preferences), places)
    write_table(out / "data.parquet", table, MATRIX_PAIRS)
    return {"pairs": len(table), "by_axis": lengths_by_axis(table)}
