"""Recorded answers of a model matrix, in place of sampling its cells."""

from data.readers.recorded_cells import (
    answered_prompts,
    cell_completions,
    lengths_by_axis,
    matrix_pairs,
)
from data.recipes.methods import Place
from data.schemas import COMPLETIONS, MATRIX_PAIRS, PROMPTS
from data.store.artifacts import Artifact
from tasks.running.outside import External
from tasks.stage import Context, Rows, stage


@stage(PROMPTS, version="1")
def import_cell_prompts(ctx: Context, *, cells: list[External]) -> Rows:
    """Out: PROMPTS that at least one cell has answered."""
    table = answered_prompts([cell.path for cell in cells])
    return Rows(table, {"prompts": len(table)})


@stage(COMPLETIONS, version="2", rows="prompts")
def read_cell(ctx: Context, *, prompts: Artifact, source: External, name: str) -> Rows:
    """In: PROMPTS. Out: COMPLETIONS, the recorded answers of the cell `name`, at most one each.

    A prompt that the file does not answer has none.
    """
    asked = ctx.table(prompts)
    table = cell_completions(source.path, name, asked)
    return Rows(table, {"generated": len(table), "unanswered": len(asked) - len(table)})


@stage(MATRIX_PAIRS, version="1", rows="preferences")
def pair_table(ctx: Context, *, preferences: Artifact, places: list[Place]) -> Rows:
    """In: PREFERENCES. Out: MATRIX_PAIRS, for use outside of this project."""
    table = matrix_pairs(ctx.table(preferences), places)
    return Rows(table, {"pairs": len(table), "by_axis": lengths_by_axis(table)})
