"""The world of puzzles: questions with answers, a teacher that writes and explains them, a student
that learns from examples, and a zoo of further models. A bootstrap of its own, for ARTE.
"""

from typing import Any

from data.errors import InputError
from data.final_answer import is_right
from data.readers.questions import Part
from data.readers.texts import text_row
from data.schemas import DEMONSTRATIONS, GRADED
from data.store.artifacts import Artifact
from data.world import puzzle_lessons, puzzles
from tasks.stage import Context, Rows, stage

_VOCABULARY_LESSONS = 3_000  # hold every word there is


def _of_all(inputs: Any) -> int:
    return len(puzzles.FAMILIES) * int(inputs["size"])


@stage(DEMONSTRATIONS, version="2", rows=_of_all)
def world_puzzles(ctx: Context, *, part: Part, size: int, seed: int) -> Rows:
    """Out: DEMONSTRATIONS, `size` different puzzles of every family with their answers; no puzzle
    is in two parts, and none is learned from. Raises InputError where they run out."""
    rows = []
    for family in puzzles.FAMILIES:
        try:
            found = puzzles.different(family, part, size, seed)
        except ValueError as error:
            raise InputError(f"tasks.{part}: {error}; ask for fewer") from None
        for one in found:
            asked = [{"role": "user", "content": one.text}]
            rows.append(text_row(asked, one.answer, family))
    return Rows(rows, {"questions": len(rows)})


@stage("tokenizer", version="2", model=True)
def puzzle_tokenizer(ctx: Context) -> dict[str, Any]:
    """Out: a tokenizer with a chat template, from the words of the lessons."""
    from models.world.models import train_tokenizer

    texts = puzzle_lessons.teacher_lessons(_VOCABULARY_LESSONS, 0)
    texts += puzzle_lessons.student_lessons(_VOCABULARY_LESSONS, 0)
    return train_tokenizer(ctx.out, conversations=texts)


@stage("policy", version="2", model=True)
def puzzle_teacher(
    ctx: Context, *, tokenizer: Artifact, lessons: int, width: int, layers: int, seed: int
) -> dict[str, Any]:
    """Out: a language model that writes puzzles, and explains them in every style."""
    return _trained(ctx, tokenizer, puzzle_lessons.teacher_lessons, lessons, width, layers, seed)


@stage("policy", version="2", model=True)
def puzzle_student(
    ctx: Context, *, tokenizer: Artifact, lessons: int, width: int, layers: int, seed: int
) -> dict[str, Any]:
    """Out: a language model that solves puzzles in the style of those it is shown."""
    return _trained(ctx, tokenizer, puzzle_lessons.student_lessons, lessons, width, layers, seed)


def _trained(
    ctx: Context, tokenizer: Artifact, make: Any, lessons: int, width: int, layers: int, seed: int
) -> dict[str, Any]:
    from models.world.models import train_puzzle_model

    return train_puzzle_model(
        ctx.out,
        tokenizer=ctx.path(tokenizer),
        conversations=make(lessons, seed),
        runtime=ctx.runtime,
        seed=seed,
        width=width,
        layers=layers,
        on_progress=ctx.on_progress,
        checkpoints=ctx.scratch,
        tracking=ctx.tracking,
    )


@stage(GRADED, version="1", rows="demonstrations")
def grade_by_solving(ctx: Context, *, demonstrations: Artifact) -> Rows:
    """In: DEMONSTRATIONS, puzzles with rationales. Out: GRADED, by the puzzles' own answers; a text
    that is no puzzle has none. It only measures: nothing of the method is told.
    """
    rows = []
    for one in ctx.table(demonstrations).to_pylist():
        answer = puzzles.solve(one["messages"][-1]["content"])
        right = answer is not None and is_right(one["completion"], puzzles.MARKER, answer)
        rows.append(
            {
                "prompt_id": one["completion_id"],
                "dataset": one["dataset"],
                "subject": "learned",
                "item_id": one["prompt_id"],
                "correct": right,
            }
        )
    return Rows(rows, {"right": sum(row["correct"] for row in rows)})
