"""Tailoring: pairs that align a teacher with its student, and the drafts that a student learns
(ARTE, arXiv 2406.19227, section 3.4)."""

import random
from typing import Any

import pyarrow as pa

from data.errors import InputError
from data.schemas import DEMONSTRATIONS, PREFERENCES, SCORES
from data.store.artifacts import Artifact
from data.tables import mapping
from data.tailoring import (
    Choice,
    Draft,
    Pair,
    draft_scores,
    picked,
    question_pairs,
    rationale_pairs,
)
from tasks.elicit import demonstration
from tasks.stage import Context, Rows, stage


@stage(SCORES, version="1", rows="drafts")
def one_shot_scores(ctx: Context, *, drafts: Artifact, graded: Artifact) -> Rows:
    """In: DEMONSTRATIONS, GRADED on behalf of these. Out: SCORES, the share of items that the
    student answers right after each draft; `prompt_id` is the draft's question."""
    right: dict[str, list[bool]] = {}
    table = ctx.table(graded)
    for name, correct in zip(*(table[c].to_pylist() for c in ("subject", "correct")), strict=True):
        right.setdefault(name, []).append(correct)
    scores = draft_scores(right)
    questions = mapping(ctx.table(drafts), "completion_id", "prompt_id")
    rows = [
        {"completion_id": name, "prompt_id": question, "reward": scores[name]}
        for name, question in questions.items()
    ]
    return Rows(rows, {"scored": len(rows)})


def drafts_of(drafts: pa.Table, scores: pa.Table, asked: pa.Table, said: pa.Table) -> list[Draft]:
    """DEMONSTRATIONS with their scores and styles, in order.

    Args:
        asked: ASKED, what the teacher was told.
        said: COMPLETIONS, by which drafts are named.
    """
    style = mapping(asked, "prompt_id", "subject")
    told = mapping(said, "completion_id", "prompt_id")
    score = mapping(scores, "completion_id", "reward")
    columns = ("completion_id", "prompt_id", "dataset")
    return [
        Draft(name, question, task, style[told[name]], score[name])
        for name, question, task in zip(*(drafts[c].to_pylist() for c in columns), strict=True)
    ]


def _at_most(inputs: Any) -> int:
    """Rationale pairs, one a question, and the question pairs of each task."""
    of_questions = int(inputs["number"]) * int(inputs["asked"].rows or 0)
    return int(inputs["naive"].rows or 0) + of_questions


@stage(PREFERENCES, version="1", rows=_at_most)
def teacher_pairs(
    ctx: Context,
    *,
    asked: Artifact,
    questions: Artifact,
    naive: Artifact,
    prompted: Artifact,
    rationales: Artifact,
    drafts: Artifact,
    scores: Artifact,
    number: int,
    share: float,
    seed: int,
) -> Rows:
    """Out: PREFERENCES of the teacher's own questions and rationales, for its DPO.

    In: `asked` PROMPTS for questions and `questions` COMPLETIONS of these; `naive` ASKED, every
    question without a style; `prompted` ASKED in styles and `rationales` COMPLETIONS of these;
    `drafts` DEMONSTRATIONS and their SCORES.

    Raises:
        InputError: all drafts score alike, so that there is no pair.
    """
    tables = (ctx.table(one) for one in (drafts, scores, prompted, rationales))
    known = drafts_of(*tables)
    rng = random.Random(f"tailor-{seed}")
    rows = _rows(
        rationale_pairs(known),
        {one["item_id"]: one for one in ctx.table(naive).to_pylist()},
        {one.draft: one.question for one in known},
        ctx.table(rationales),
        "rationale",
    )
    by_question = question_pairs(known, number, share, rng)
    of_questions = ctx.table(questions)
    rows += _rows(
        by_question,
        {one["prompt_id"]: one for one in ctx.table(asked).to_pylist()},
        mapping(of_questions, "completion_id", "prompt_id"),
        of_questions,
        "question",
    )
    if not rows:
        raise InputError(
            "items.k: every draft scores alike on the chosen questions, so that nothing is "
            "preferred; take more items, more drafts, or another student"
        )
    return Rows(
        rows, {"rationale_pairs": len(rows) - len(by_question), "question_pairs": len(by_question)}
    )


def _rows(
    pairs: list[Pair],
    prompts: dict[str, dict[str, Any]],
    prompt_of: dict[str, str],
    completions: pa.Table,
    source: str,
) -> list[dict[str, Any]]:
    """PREFERENCES of pairs of completions, as they were sampled.

    Args:
        prompts: What is learned to be answered, by name.
        prompt_of: The name of that, by completion.
    """
    said = {one["completion_id"]: one for one in completions.to_pylist()}
    rows = []
    for number, pair in enumerate(pairs):
        prompt = prompts[prompt_of[pair.chosen]]
        row: dict[str, Any] = {
            "pair_id": f"{source}-{number}",
            "prompt_id": prompt["prompt_id"],
            "messages": prompt["messages"],
            "dataset": pair.task,
            "source": source,
            "margin": pair.scores[0] - pair.scores[1],
            "chosen_reward": pair.scores[0],
            "weight": 1.0,
            "swapped": False,
            "round": 1,
        }
        for side, name in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            row |= {
                side: said[name]["completion"],
                f"{side}_token_ids": said[name]["token_ids"],
                f"{side}_id": name,
                f"{side}_model": "teacher",
            }
        rows.append(row)
    return rows


@stage(DEMONSTRATIONS, version="1", rows="questions")
def pick_drafts(
    ctx: Context,
    *,
    questions: Artifact,
    prompted: Artifact,
    rationales: Artifact,
    drafts: Artifact,
    scores: Artifact,
    choice: Choice,
    style: str | None,
    seed: int,
) -> Rows:
    """In: PROMPTS; ASKED, these in styles, COMPLETIONS of that; DEMONSTRATIONS, the drafts, and
    their SCORES. Out: DEMONSTRATIONS, of each question one draft; `reward` is its score.

    See `data.tailoring.picked`.
    """
    drafted = ctx.table(drafts)
    known = drafts_of(drafted, *(ctx.table(one) for one in (scores, prompted, rationales)))
    text = mapping(drafted, "completion_id", "completion")
    chosen = {
        one.question: one for one in picked(known, choice, style, random.Random(f"pick-{seed}"))
    }
    asked = [row for row in ctx.table(questions).to_pylist() if row["prompt_id"] in chosen]
    found = [(row, chosen[row["prompt_id"]]) for row in asked]
    rows = [demonstration(row, one.draft, text[one.draft], one.score) for row, one in found]
    return Rows(rows, {"picked": len(rows)})
