"""What a run of ARTE has measured."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from data.measures import Measure, RoundValue, Value
from data.statistics import dataset_mean
from data.store.store import Store
from data.tailoring import Draft, mean
from flows.arte.recipe import ArteRecipe
from flows.arte.state import Outcome
from tasks.one_shot import shots_named
from tasks.tailor import drafts_of

Measures = dict[str, Measure]


def of_run(store: Store, recipe: ArteRecipe, one: Outcome) -> Measures:
    """Accuracies, scores and counts. `accuracy` is that with the first number of examples."""
    before, after = store.table(one.before), store.table(one.after)
    first, *others = recipe.evaluate.shots
    found = {"accuracy": accuracy(recipe, before, after, first)}
    found |= {f"accuracy_{n}_shot": accuracy(recipe, before, after, n) for n in others}
    found |= {
        f"accuracy_in_{task}": Measure(
            **part.model_dump(), title=f"accuracy in {task}", unit="share", better="higher",
            group="tasks",
        )
        for task, part in found["accuracy"].parts.items()
    }  # fmt: skip
    found |= scores_learned(store, one)
    found["one_shot"] = Measure(
        value=one.items.one_shot.meta["one_shot"],
        title="accuracy with one example, before",
        about="Of the student on validation questions; below min_one_shot in a task a run ends.",
        unit="share",
        group="student",
        parts={name: Value(value=x) for name, x in one.items.one_shot.meta["by_task"].items()},
    )
    if one.right:
        marks = store.table(one.right)["correct"].to_pylist()
        found["learned_right"] = Measure(
            value=mean([float(x) for x in marks]),
            n=len(marks),
            title="right rationales among those learned",
            about="By the world's own answers, which the method is not told.",
            unit="share",
            better="higher",
            group="drafts",
        )
    return found | {name: summed(*about) for name, about in counts(one).items()}


def accuracy(recipe: ArteRecipe, before: pa.Table, after: pa.Table, shots: int) -> Measure:
    """Share of test questions answered right after so many examples, in the mean of tasks."""
    points = [
        RoundValue(round=number, **_value(found), parts=_parts(found))
        for number, found in enumerate(of_shots(recipe, table, shots) for table in (before, after))
    ]
    shown = f" after {shots} examples" if shots else ""
    return Measure(
        **points[1].model_dump(include={"value", "ci95", "n", "round", "parts"}),
        title=f"accuracy{shown}",
        short="accuracy" + (f", {shots} shots" if shots else ""),
        about="Share of test questions whose answer is exactly right, in the mean of tasks; "
        "intervals are over questions.",
        unit="share",
        better="higher",
        even=points[0].value,
        group="policy",
        rounds=points,
    )


def of_shots(recipe: ArteRecipe, graded: pa.Table, shots: int) -> dict[str, Any]:
    """As `data.statistics.dataset_mean` has it, of the tasks."""
    rows = [one for one in graded.to_pylist() if one["subject"] == shots_named(shots)]
    return dataset_mean(
        [float(one["correct"]) for one in rows],
        [one["dataset"] for one in rows],
        recipe.evaluate.bootstrap_samples,
        recipe.seed,
    )


def scores_learned(store: Store, one: Outcome) -> Measures:
    """Mean one-shot score of the drafts that were learned, where these were scored."""
    table = store.table(one.tailored.learned)
    scores: dict[str, list[float]] = {}
    columns = (table[name].to_pylist() for name in ("dataset", "reward"))
    for task, score in zip(*columns, strict=True):
        if score is not None:
            scores.setdefault(task, []).append(score)
    if not scores:
        return {}
    parts = {task: mean(values) for task, values in sorted(scores.items())}
    about = {"unit": "share", "group": "tasks"}
    found = {"learned_score": Measure.model_validate(
        {"value": mean(list(parts.values())), "title": "one-shot score of the drafts learned"}
        | about | {"parts": {task: Value(value=x) for task, x in parts.items()}}
    )}  # fmt: skip
    return found | {
        f"learned_score_in_{task}": Measure.model_validate(
            {"value": value, "title": f"one-shot score of the drafts learned in {task}"} | about
        )
        for task, value in parts.items()
    }


def counts(one: Outcome) -> dict[str, tuple[str, str, int]]:
    """What adds up over rounds: group, title and number."""
    pairs = one.tailored.pairs.meta if one.tailored.pairs else {}
    found = {
        "prompts": ("drafts", "questions drafted", one.drafts.questions.kept.rows or 0),
        "drafts": ("drafts", "drafts scored", one.drafts.scores.rows or 0),
        "trained": ("drafts", "examples learned", one.policy.meta["rows"]),
        "one_shot_answers": ("cost", "answers that scored drafts", one.drafts.answered.rows or 0),
        "tokens": ("cost", "tokens written", sum(x.meta.get("tokens", 0) for x in one.sampled)),
    }
    if pairs:
        for name, title in (("question", "pairs of questions"), ("rationale", "of rationales")):
            found[f"{name}_pairs"] = ("drafts", title, pairs[f"{name}_pairs"])
    return found


def summed(group: str, title: str, value: int) -> Measure:
    return Measure(
        value=value,
        title=title,
        unit="count",
        group=group,
        adds_up=True,
        rounds=[RoundValue(round=1, value=value)],
    )


def scored(store: Store, one: Outcome) -> list[Draft]:
    """The drafts with their scores."""
    drafts, rationales = one.drafts, one.drafts.rationales
    tables = (rationales.explained, drafts.scores, rationales.asked, rationales.said)
    return drafts_of(*(store.table(table) for table in tables))


def chance_spread(drafts: Sequence[Draft], k: int) -> tuple[float, float]:
    """Standard deviation of the scores of drafts within their tasks, and what it would be if every
    draft of a task were worth the same: that of a share of `k` questions."""
    by_task: dict[str, list[float]] = {}
    for one in drafts:
        by_task.setdefault(one.task, []).append(one.score)
    within = [np.var(values) for values in by_task.values()]
    chance = [mean(values) * (1 - mean(values)) / k for values in by_task.values()]
    return float(np.sqrt(np.mean(within))), float(np.sqrt(np.mean(chance)))


def _value(found: dict[str, Any]) -> dict[str, Any]:
    return {"value": found["mean"], "ci95": tuple(found["ci95"]), "n": found["n"]}


def _parts(found: dict[str, Any]) -> dict[str, Value]:
    return {name: Value(**_value(part)) for name, part in found["by_dataset"].items()}
