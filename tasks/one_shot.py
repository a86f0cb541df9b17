"""Questions after examples: what models answer right in context, and what each draft is worth as
the one example (ARTE, arXiv 2406.19227, section 3.3)."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from data.errors import InputError
from data.final_answer import is_right
from data.schemas import ASKED, GRADED
from data.store.artifacts import Artifact
from data.tables import mapping
from tasks.stage import Context, Rows, stage


def shots_named(shots: int) -> str:
    """The subject of questions after so many examples."""
    return f"{shots} shots"


def _each(inputs: Any) -> int:
    return len(inputs["shots"]) * int(inputs["questions"].rows or 0)


@stage(ASKED, version="1", rows=_each)
def ask_questions(
    ctx: Context, *, questions: Artifact, examples: Artifact, shots: list[int]
) -> Rows:
    """In: DEMONSTRATIONS to ask, DEMONSTRATIONS to show. Out: ASKED, each question after so many
    examples of its task, the first of these.

    Raises:
        InputError: a task has not so many.
    """
    known: dict[str, list[dict[str, str]]] = {}
    for one in ctx.table(examples).to_pylist():
        known.setdefault(one["dataset"], []).extend(shown(one["messages"], one["completion"]))
    rows = []
    for one in ctx.table(questions).to_pylist():
        there = known.get(one["dataset"], [])
        if 2 * max(shots) > len(there):
            raise InputError(
                f"shots: {max(shots)} examples of the task {one['dataset']!r} are asked for, and "
                f"the teacher has finished {len(there) // 2}; raise tasks.seeds or "
                "generate.max_tokens, or lower the shots"
            )
        for number in shots:
            rows.append(
                {
                    "prompt_id": f"{one['prompt_id']}/{number}",
                    "messages": [*there[: 2 * number], *one["messages"]],
                    "dataset": one["dataset"],
                    "subject": shots_named(number),
                    "item_id": one["prompt_id"],
                }
            )
    return Rows(rows, {"asked": len(rows)})


def shown(messages: Sequence[dict[str, str]], answer: str) -> list[dict[str, str]]:
    """An example: the last of these messages, answered."""
    return [messages[-1], {"role": "assistant", "content": answer}]


def _on_each(inputs: Any) -> int:
    return int(inputs["drafts"].rows or 0) * int(inputs["k"])


@stage(ASKED, version="1", rows=_on_each)
def ask_after_drafts(ctx: Context, *, drafts: Artifact, items: Artifact, k: int) -> Rows:
    """In: DEMONSTRATIONS, the drafts; DEMONSTRATIONS, at most `k` questions of each task. Out:
    ASKED, each of these after each draft of its task, the only example."""
    of_task: dict[str, list[dict[str, Any]]] = {}
    for one in ctx.table(items).to_pylist():
        of_task.setdefault(one["dataset"], []).append(one)
    rows = []
    for draft in ctx.table(drafts).to_pylist():
        example = shown(draft["messages"], draft["completion"])
        for item in of_task.get(draft["dataset"], [])[:k]:
            rows.append(
                {
                    "prompt_id": f"{draft['completion_id']}/{item['prompt_id']}",
                    "messages": [*example, *item["messages"]],
                    "dataset": draft["dataset"],
                    "subject": draft["completion_id"],
                    "item_id": item["prompt_id"],
                }
            )
    return Rows(rows, {"asked": len(rows)})


@stage(GRADED, version="1", rows="completions")
def grade(
    ctx: Context, *, asked: Artifact, completions: Artifact, questions: Artifact, marker: str
) -> Rows:
    """In: ASKED, COMPLETIONS of these, DEMONSTRATIONS with the right answers. Out: GRADED."""
    answers = mapping(ctx.table(questions), "prompt_id", "completion")
    table, said = ctx.table(asked), mapping(ctx.table(completions), "prompt_id", "completion")
    names, items = (table[name].to_pylist() for name in ("prompt_id", "item_id"))
    right = [
        is_right(said[name], marker, answers[item]) for name, item in zip(names, items, strict=True)
    ]
    made = table.drop_columns(["messages"]).append_column("correct", pa.array(right, pa.bool_()))
    return Rows(made, {"answered": len(right), "right": sum(right)})


@stage("one_shot", version="1")
def require_one_shot(ctx: Context, *, graded: Artifact, floor: float) -> dict[str, Any]:
    """In: GRADED, the student's. Out: one_shot.json: share of questions that it answers right with
    one example, by task and in the mean of tasks.

    Raises:
        InputError: in a task it is below the floor, where scores of drafts would be chance.
    """
    by_task = accuracies(ctx.table(graded), shots_named(1))
    found = sum(by_task.values()) / len(by_task)
    if low := [f"{share:.1%} in {task}" for task, share in by_task.items() if share < floor]:
        raise InputError(
            f"policy.model: with one example the student answers {', '.join(low)} of the "
            f"validation questions right, and min_one_shot is {floor:.1%}; at the floor the scores "
            "of drafts are chance. Take a student that can learn the tasks in context, or leave "
            "out those that it cannot"
        )
    result = {"one_shot": found, "by_task": by_task}
    (ctx.out / "one_shot.json").write_text(json.dumps(result, sort_keys=True))
    return result


def accuracies(graded: pa.Table, subject: str) -> dict[str, float]:
    """Share of questions of each task that are answered right on behalf of a subject."""
    right: dict[str, list[bool]] = {}
    for one in graded.to_pylist():
        if one["subject"] == subject:
            right.setdefault(one["dataset"], []).append(one["correct"])
    return {task: sum(found) / len(found) for task, found in right.items()}
