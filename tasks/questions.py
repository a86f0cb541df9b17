"""Questions with exact answers of a user's file, and their parts."""

from data.readers.questions import Part, parted_questions, read_questions
from data.recipes.tailoring import QuestionColumns, TasksConfig
from data.schemas import DEMONSTRATIONS
from data.store.artifacts import Artifact
from tasks.running.outside import External
from tasks.stage import Context, Rows, stage


@stage(DEMONSTRATIONS, version="1", rows="source")
def import_questions(ctx: Context, *, source: External, columns: QuestionColumns) -> Rows:
    """Out: DEMONSTRATIONS, validated: `completion` is the answer, `dataset` the task."""
    found = read_questions(source.path, columns)
    return Rows(found.table, found.counts)


@stage(DEMONSTRATIONS, version="1", rows="questions")
def part_of_questions(
    ctx: Context, *, questions: Artifact, part: Part, sizes: list[int], seed: int
) -> Rows:
    """In: DEMONSTRATIONS of all questions. Out: those of a part, of which `sizes` says how many
    there are of each task: seeds, validation, test."""
    seeds, validation, test = sizes
    config = TasksConfig(seeds=seeds, validation=validation, test=test)
    table = parted_questions(ctx.table(questions), config, seed)[part]
    return Rows(table, {"questions": len(table)})
