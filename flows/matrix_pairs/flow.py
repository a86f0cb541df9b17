"""A model matrix of recorded answers: pairs by the places of the models, nothing is generated.

At most a judge is asked to correct the presumed order. No policy and no student are trained; the
result is a table of pairs, each with both models and the axis of the matrix that sets them apart.
"""

from dataclasses import dataclass, replace

from data.recipes.recipe import NONE
from data.store.artifacts import TABLE, Artifact
from data.summary import Round, StudentSummary
from flows.judging import corrected, speaker
from flows.loop.summary import axis_summaries, ledger
from flows.matrix_pairs.recipe import MatrixRecipe
from flows.matrix_pairs.told import told
from flows.result import Made, Result
from tasks.matrix import keep_order, pair_up
from tasks.recorded_cells import import_cell_prompts, pair_table, read_cell
from tasks.running.subflow import subflow
from tasks.stage import Run


@dataclass(frozen=True)
class Cells:
    """The prompts that anyone answered, and the answers of each cell."""

    prompts: Artifact
    completions: tuple[Artifact, ...]


@dataclass(frozen=True)
class MatrixOutcome:
    asked: Artifact
    completions: tuple[Artifact, ...]
    mined: Artifact
    preferences: Artifact
    pairs: Artifact


def read_cells(run: Run, recipe: MatrixRecipe) -> Cells:
    """The recorded answers of every cell of the matrix."""
    files = [run.outside[cell.called] for cell in recipe.cells]
    prompts = import_cell_prompts(cells=files)
    completions = [
        read_cell.as_(cell.name, title=f"answers of {cell.name}")(
            prompts=prompts, source=file, name=cell.name
        )
        for cell, file in zip(recipe.cells, files, strict=True)
    ]
    return Cells(prompts, tuple(completions))


def ordered(run: Run, recipe: MatrixRecipe, cells: Cells, mined: Artifact) -> Artifact:
    """The preferences: in the matrix's order, or in that of a judge."""
    config = recipe.matrix.correction
    if config.judge == NONE:
        return keep_order(mined=mined, prompts=cells.prompts, round_number=1)
    field = "matrix.correction.judge"
    teacher = config.judge == "teacher"
    return corrected(
        run.outside["teacher.model"] if teacher else speaker(run, field, run.outside[field]),
        mined=mined,
        prompts=cells.prompts,
        config=config,
        min_margin=recipe.teacher.min_margin,
        round_number=1,
        max_length=recipe.max_length,
    )


@subflow("matrix", run_name="{name} / matrix")
def pair_recorded(name: str, *, run: Run, recipe: MatrixRecipe, cells: Cells) -> MatrixOutcome:
    """One round without generation and training."""
    mined = pair_up(
        prompts=cells.prompts,
        completions=list(cells.completions),
        places=list(recipe.cells),
        own=[],
        config=recipe.matrix,
        drop_truncated=recipe.matrix.drop_truncated,
        seed=recipe.seed,
    )
    preferences = ordered(run, recipe, cells, mined)
    pairs = pair_table(preferences=preferences, places=list(recipe.cells))
    return MatrixOutcome(cells.prompts, cells.completions, mined, preferences, pairs)


def matrix_summary(outcome: MatrixOutcome) -> Round:
    """Pairs of recorded answers: no policy, no student."""
    counts = ledger(
        outcome.asked, outcome.completions, outcome.mined, outcome.preferences, too_long=0
    )
    return Round(
        round=1,
        ledger=counts,
        teacher_calls=outcome.preferences.meta["teacher_calls"],
        swap_rate=counts.swap_rate,
        student=StudentSummary(),
        matrix=axis_summaries(outcome.preferences, outcome.pairs),
    )


def pair_a_matrix(run: Run, recipe: MatrixRecipe) -> Made:
    """Pairs of a recorded model matrix, linked into the run's folder; no models come of it."""
    cells = read_cells(run, recipe)
    run.so_far(lambda: Result(headline="labelled", measures={}))
    run.progress.section("Model matrix")
    run.round = 1
    outcome = pair_recorded(recipe.run, run=run, recipe=recipe, cells=cells)
    return lambda: paired(run, recipe, outcome)


def paired(run: Run, recipe: MatrixRecipe, outcome: MatrixOutcome) -> Result:
    """The pairs, and what became of the presumed order."""
    entry = matrix_summary(outcome)
    entry.stages = run.take_records()
    run.progress.note(f"{entry.ledger.labelled:,} pairs of {entry.ledger.asked:,} prompts")
    config = recipe.model_dump(mode="json", exclude_none=True)
    table = run.context.store.path(outcome.pairs) / TABLE
    return replace(told(config, entry), files={"pairs.parquet": table})
