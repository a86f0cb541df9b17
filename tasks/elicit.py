"""Elicitation: prompts for questions and for rationales, and what a teacher has made of them (ARTE,
arXiv 2406.19227, section 3.1)."""

from collections import Counter
from typing import Any

from data.elicitation import asking, asking_for_question
from data.errors import InputError
from data.recipes.tailoring import StyleConfig
from data.schemas import ASKED, DEMONSTRATIONS, PROMPTS
from data.store.artifacts import Artifact
from data.tables import index_by, mapping
from tasks.stage import Context, Rows, stage


@stage(PROMPTS, version="1", rows="seeds")
def question_prompts(ctx: Context, *, seeds: Artifact, ask: str) -> Rows:
    """In: DEMONSTRATIONS, a few questions of each task. Out: PROMPTS, one for each task, that asks
    for another question."""
    examples: dict[str, list[str]] = {}
    for one in ctx.table(seeds).to_pylist():
        examples.setdefault(one["dataset"], []).append(one["messages"][-1]["content"])
    rows = [
        {
            "prompt_id": f"ask-{task}",
            "messages": [{"role": "user", "content": asking_for_question(ask, task, texts)}],
            "dataset": task,
        }
        for task, texts in examples.items()
    ]
    return Rows(rows, {"prompts": len(rows)})


def _kept(inputs: Any) -> int:
    most = int(inputs["number"]) * int(inputs["asked"].rows or 0)
    return min(int(inputs["completions"].rows or 0), most)


@stage(PROMPTS, version="1", rows=_kept)
def drafted_questions(
    ctx: Context, *, asked: Artifact, completions: Artifact, known: list[Artifact], number: int
) -> Rows:
    """In: PROMPTS that asked for questions, COMPLETIONS of these, DEMONSTRATIONS that no draft may
    repeat. Out: PROMPTS, of each task the first `number` different questions, named by the
    completions that they are.

    Raises:
        InputError: there is none.
    """
    task_of = mapping(ctx.table(asked), "prompt_id", "dataset")
    held = [one for table in known for one in ctx.table(table).to_pylist()]
    held_out = {_plain(one["messages"][-1]["content"]) for one in held}  # tasks may share some
    taken = set[tuple[str, str]]()
    counts, kept = Counter[str](), Counter[str]()
    rows = []
    for one in ctx.table(completions).to_pylist():
        task, text = task_of[one["prompt_id"]], one["completion"].strip()
        name = (task, _plain(text))
        if one["finish_reason"] != "stop" or not text:
            counts["unfinished"] += 1
        elif name[1] in held_out:
            counts["held_out"] += 1
        elif name in taken:
            counts["repeated"] += 1
        elif kept[task] == number:
            counts["surplus"] += 1
        else:
            taken.add(name)
            kept[task] += 1
            message = {"role": "user", "content": text}
            rows.append({"prompt_id": one["completion_id"], "messages": [message], "dataset": task})
    if not rows:
        raise InputError(
            f"drafts.ask: of {counts.total()} texts that the teacher wrote none is a question to "
            f"keep ({counts['unfinished']} cut off or empty, {counts['held_out']} held out); ask "
            "otherwise, or raise generate.max_tokens"
        )
    lost = {name: counts[name] for name in ("unfinished", "held_out", "repeated", "surplus")}
    return Rows(
        rows,
        lost
        | {"kept": len(rows), "tasks_short": sum(kept[task] < number for task in task_of.values())},
    )


def _plain(text: str) -> str:
    return " ".join(text.split())


def _in_each(inputs: Any) -> int:
    return len(inputs["styles"]) * int(inputs["questions"].rows or 0)


@stage(ASKED, version="1", rows=_in_each)
def rationale_prompts(ctx: Context, *, questions: Artifact, styles: list[StyleConfig]) -> Rows:
    """In: PROMPTS or DEMONSTRATIONS. Out: ASKED, each question in every style."""
    rows = [
        {
            "prompt_id": f"{one['prompt_id']}/{style.name}",
            "messages": [
                {
                    "role": "user",
                    "content": asking(style.instruction, one["messages"][-1]["content"]),
                }
            ],
            "dataset": one["dataset"],
            "subject": style.name,
            "item_id": one["prompt_id"],
        }
        for one in ctx.table(questions).to_pylist()
        for style in styles
    ]
    return Rows(rows, {"prompts": len(rows)})


@stage(DEMONSTRATIONS, version="1", rows="rationales")
def explained(ctx: Context, *, questions: Artifact, asked: Artifact, rationales: Artifact) -> Rows:
    """In: PROMPTS or DEMONSTRATIONS; ASKED, one for each; COMPLETIONS of these. Out:
    DEMONSTRATIONS: each question, without what the teacher was told, and its rationale as text, for
    students of whatever vocabulary. Rationales that were cut off are left out.

    Raises:
        InputError: all were.
    """
    table = ctx.table(questions)
    place, item = index_by(table, "prompt_id"), mapping(ctx.table(asked), "prompt_id", "item_id")
    rows, said = table.to_pylist(), ctx.table(rationales).to_pylist()
    finished = [one for one in said if one["finish_reason"] == "stop" and one["completion"].strip()]
    if said and not finished:
        raise InputError(
            f"generate.max_tokens: all {len(said)} rationales of the teacher were cut off or "
            "empty; raise it, or ask for shorter ones"
        )
    made = [
        demonstration(rows[place[item[one["prompt_id"]]]], one["completion_id"], one["completion"])
        for one in finished
    ]
    return Rows(made, {"explained": len(made), "unfinished": len(said) - len(made)})


def demonstration(
    question: dict[str, Any], name: str, rationale: str, score: float | None = None
) -> dict[str, Any]:
    """A row of DEMONSTRATIONS of a row of PROMPTS."""
    return {
        **{one: question[one] for one in ("prompt_id", "messages", "dataset")},
        "completion_id": name,
        "completion": rationale,
        "reward": score,
    }
