"""The preference set of ARTE: the questions that tell models apart, by an item response model."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.schemas import DEMONSTRATIONS, ITEMS
from data.store.artifacts import Artifact
from tasks.stage import Context, Rows, stage


def _answered(inputs: Any) -> int:
    return max((one.rows or 0) for one in inputs["graded"])


@stage(ITEMS, version="1", model=True, rows=_answered)
def response_model(ctx: Context, *, graded: list[Artifact], k: int) -> Rows:
    """In: GRADED of several models, the same questions. Out: ITEMS of a two-parameter logistic
    model, of each task one; a model with so many examples is a person. Chosen are in each task the
    `k` of the highest discrimination.
    """
    from models.item_response import fit_2pl

    rows = []
    for task, (items, responses) in score_matrices([ctx.table(one) for one in graded]).items():
        fit = fit_2pl(responses)
        order = np.argsort(-fit.discrimination, kind="stable")
        chosen = set(order[:k].tolist())
        for number, item in enumerate(items):
            rows.append(
                {
                    "item_id": item,
                    "dataset": task,
                    "right": float(responses[:, number].mean()),
                    "discrimination": float(fit.discrimination[number]),
                    "difficulty": float(fit.difficulty[number]),
                    "chosen": number in chosen,
                }
            )
    return Rows(rows, {"items": len(rows), "chosen": sum(row["chosen"] for row in rows)})


Matrix = tuple[list[str], np.ndarray]  # items, and answers of shape (persons, items)


def score_matrices(graded: list[pa.Table]) -> dict[str, Matrix]:
    """Whose answers are right, by task: persons are the subjects of every table."""
    items: dict[str, dict[str, int]] = {}
    persons: dict[str, dict[tuple[int, str], dict[str, bool]]] = {}
    for number, table in enumerate(graded):
        for row in table.to_pylist():
            task, person = row["dataset"], (number, row["subject"])
            known = items.setdefault(task, {})
            known.setdefault(row["item_id"], len(known))
            answers = persons.setdefault(task, {}).setdefault(person, {})
            answers[row["item_id"]] = row["correct"]
    return {task: (list(known), _matrix(known, persons[task])) for task, known in items.items()}


def _matrix(items: dict[str, int], persons: dict[tuple[int, str], dict[str, bool]]) -> np.ndarray:
    return np.array([[answers[item] for item in items] for answers in persons.values()], float)


@stage(DEMONSTRATIONS, version="1", rows="questions")
def pick_items(ctx: Context, *, questions: Artifact, items: Artifact) -> Rows:
    """In: DEMONSTRATIONS, ITEMS of these. Out: DEMONSTRATIONS, those that are chosen."""
    chosen = ctx.table(items).filter(pc.field("chosen"))["item_id"]
    table = ctx.table(questions)
    found = table.filter(pc.is_in(table["prompt_id"], chosen.combine_chunks()))
    return Rows(found, {"items": len(found)})
